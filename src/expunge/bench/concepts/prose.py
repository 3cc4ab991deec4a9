"""Paragraphs that every section shares: what was run on what, and how settings were chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expunge.bench.concepts.tuning import rule
from expunge.bench.table import markdown
from expunge.bench.tune import Setting


def method(found: Mapping[str, Any]) -> list[str]:
    """Worlds, model and gate, from what `Suite.about` gave."""
    model, gate, seeds = found["model"], found["memorised"], found["seeds"]
    sizes = list(next(iter(found["domains"].values())))
    least = min(share for of_cell in gate["taught"].values() for share in of_cell.values())
    return [
        markdown(["world", *sizes], [[d, *(str(n) for n in of.values())] for d, of in found["domains"].items()]),
        f"Records at seed {seeds[0]}. Model: {model['architecture']}, {model['layers']} blocks × {model['width']}, "
        f"{found['parameters']:,} parameters, from scratch, float32; {found['batch']} forget and {found['batch']} "
        "retain rows per step. Runs are given the target and what is `given`; retention is read off `retain_heldout` only. "
        f"Seeds: {', '.join(map(str, seeds))}"
        + ("." if len(seeds) > 1 else "; with one seed, differences of a few points mean nothing.")
        + f" Gate: every model must give at least {gate['gate']:.0%} of its answers exactly; the least is {least:.1%}"
        + ("." if gate["passed"] else ", so the gate is **not passed** and figures on forgetting are void there."),
    ]


def tuned(found: Mapping[str, Any]) -> str:
    """How settings were chosen, with every trial folded away."""
    settings = [Setting(**s) for s in found["settings"]]
    if len(settings) == 1:
        return f"No tuning: every row runs its recipe with {settings[0]}."
    source: dict[str, str] = {}  # domain → the first with the same trials: one tuning may serve several
    for domain, of in found["tuning"].items():
        source[domain] = next((s for s in source.values() if found["tuning"][s] == of), domain)
    served = [d for d, s in source.items() if s != d]
    lines = [
        [
            domain,
            row,
            str(Setting(**t["setting"])),
            "diverged" if t["distance"] is None else f"{t['distance']:.3f}",
            f"{t['kept']:.3f}",
            "yes" if t["setting"] == entry["chosen"] else "",
        ]
        for domain, of in found["tuning"].items()
        if source[domain] == domain
        for row, entry in of.items()
        for t in entry["trials"]
    ]
    also = f"; what is chosen for {source[served[0]]} serves {' and '.join(served)}, too" if served else ""
    return (
        f"Tuning: {len(settings)} settings for every row, on a world of seed {found['validation']}, which is not "
        f"audited{also}. Rule: {rule(found['keep'])}."
        "\n\n<details><summary>All trials</summary>\n\n"
        + markdown(["world", "row", "setting", "distance", "kept", "chosen"], lines)
        + "\n\n</details>"
    )

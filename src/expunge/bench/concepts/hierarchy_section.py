"""The section of `hierarchy-validation` and its table for the terminal. Every sentence is decided by the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from expunge.bench.concepts.levels import column
from expunge.bench.concepts.prose import method, tuned
from expunge.bench.concepts.summary import shown
from expunge.bench.table import markdown, plain
from expunge.corpus.record import LEVELS

HEADS = [*(f"chapter {level}" for level in LEVELS), *(f"retain_heldout {level}" for level in LEVELS[:3])]
NAMES = {"exact": "exact answers", "probability": "answer probability"}


def text_table(found: Mapping[str, Any]) -> str:
    """Exact answers by level, then the claims, for a terminal."""
    return "\n\n".join(
        [plain(["exact answers", *HEADS], _levels(found, "exact")), *(verdict(claim) for claim in found["claims"])]
    )


def _levels(found: Mapping[str, Any], measure: str) -> list[list[str]]:
    columns = [
        *(column("chapter", measure, level) for level in LEVELS),
        *(column("retain_heldout", measure, level) for level in LEVELS[:3]),
    ]
    return [
        [name, *(shown(of[c]["mean"], of[c]["interval"], 2) for c in columns)] for name, of in found["levels"].items()
    ]


def verdict(claim: Mapping[str, Any]) -> str:
    """One line: the claim, its effects with both intervals, and whether it holds."""
    said = "; ".join(f"{NAMES[m]} {_signed(e)}" for m, e in claim["effects"].items())
    return (
        f"({claim['key']}) {claim['words']}: {'holds' if claim['holds'] else 'does not hold'}. "
        f"{claim['row']} − full on the chapter's {claim['level']}: {said}."
    )


def _signed(e: Mapping[str, Any]) -> str:
    if e["mean"] is None:
        return "–"
    kinds = {"over_seeds": "seeds", "over_units": "concepts"}
    parts = [f"{words} {interval(e[key])}" for key, words in kinds.items() if e[key]]
    return number(e["mean"]) + (f" [{'; '.join(parts)}]" if parts else "")


def interval(ends: Sequence[float]) -> str:
    """`−0.12 to +0.03`."""
    return " to ".join(number(v) for v in ends)


def number(value: float) -> str:
    """`+0.81`, `−0.12`."""
    return f"{round(value, 3) + 0.0:+.3f}".replace("-", "−")


def section(found: Mapping[str, Any], pictures: str) -> str:
    """Markdown from `##` down; `pictures` is the folder of the picture."""
    parts = [
        "## Does the hierarchy decide what goes? (`hierarchy-validation`)",
        f"    expunge bench hierarchy-validation --preset {found['preset']} "
        f"--seeds {','.join(map(str, found['seeds']))} --out DIR --results docs/results/dual.md",
        *method(found),
        worlds(found),
        tuned(found),
        "The whole chapter is given as forget set: the target, L4, and fundamentals, L1 to L3, that are taught nowhere "
        "else. Retained records never mention them, so only alpha and beta of their level can spare "
        "them. **L4-swapped**: L4 gets alpha and beta of L1; **L1-swapped**: L1 gets those of L4; **both-swapped**: "
        "both; **flat**: the mean of all four everywhere; **L4-alpha**, **L4-beta**, …: only one of the two is "
        "exchanged; `twin-kl` and `npo` know no levels. `retrained` never met the chapter.",
        f"![Exact answers on L4 and L1 of the chapter]({pictures}/hierarchy-validation.svg)",
        "### Exact answers",
        markdown(["row", *HEADS], _levels(found, "exact")),
        "### Answer probability",
        markdown(["row", *HEADS], _levels(found, "probability")),
        "### The claims",
        "\n".join(f"- {verdict(claim)}" for claim in found["claims"]),
        deciding(found),
        "### Against `full`, on the chapter (exact answers)",
        markdown(
            ["row − full", *LEVELS],
            [[name, *(_cell(of["exact"][level]) for level in LEVELS)] for name, of in found["effects"].items()],
        ),
    ]
    if len(found["by_world"]) > 1:
        parts += [
            "World by world, exact answers:",
            markdown(
                ["world", *(f"({c['key']}) {c['row']} − full, {c['level']}" for c in found["claims"])],
                [
                    [world, *(_cell(of[c["row"]]["exact"][c["level"]]) for c in found["claims"])]
                    for world, of in found["by_world"].items()
                ],
            ),
        ]
    return "\n\n".join([*parts, "### Reading", "\n".join(f"- {line}" for line in lines(found))])


def worlds(found: Mapping[str, Any]) -> str:
    """Settings of the worlds on top of their presets."""
    return (
        "Worlds: "
        + "; ".join(
            f"{d['world']} `{d['preset']}` with " + ", ".join(f"{k} {v}" for k, v in d["settings"].items())
            for d in found["worlds"]
        )
        + "."
    )


def _cell(e: Mapping[str, Any]) -> str:
    if e["mean"] is None:
        return "–"
    return number(e["mean"]) + (f" [{interval(e['deciding'])}]" if e["deciding"] else "")


def deciding(found: Mapping[str, Any]) -> str:
    """Which interval a claim is judged by."""
    which = (
        "the one over seeds (Student's t)"
        if len(found["seeds"]) > 1
        else "the one over concepts (there is a single seed)"
    )
    return (
        "Differences are paired by concept. Two 95 % intervals stand beside each: over seeds, and over concepts "
        f"drawn again within each world and seed. A claim holds if {which} excludes 0 for exact answers and for "
        "answer probability."
    )


def lines(found: Mapping[str, Any]) -> list[str]:
    """What the figures say."""
    of, effects = found["levels"], found["effects"]
    told = []
    if of["full"][column("chapter", "exact", "L4")]["mean"] is not None:
        four, one, never = (
            of[name][column("chapter", "exact", level)]["mean"]
            for name, level in (("full", "L4"), ("full", "L1"), ("retrained", "L4"))
        )
        told.append(
            f"`full` gives {four:.0%} of the target's answers exactly and {one:.0%} of those on L1; the "
            f"retrained model, which met neither, {never:.0%} of the target's."
        )
    if (four := of.get("twin-kl", {}).get(column("chapter", "exact", "L4"), {}).get("mean")) is not None:
        told.append(
            f"`twin-kl`, the same loss without levels and weights, gives {four:.0%} of the target's and "
            f"{of['twin-kl'][column('chapter', 'exact', 'L1')]['mean']:.0%} of those on L1."
        )
    if "flat" in effects:
        told.append(
            "Without levels (`flat`) L1 of the chapter moves by "
            f"{_cell(effects['flat']['exact']['L1'])} and L4 by {_cell(effects['flat']['exact']['L4'])}."
        )
    for level, goes in (("L4", "target"), ("L1", "fundamentals")):
        halves = [name for name in (f"{level}-alpha", f"{level}-beta") if name in effects]
        if halves:
            told.append(
                f"Of the {level} exchange, on the {goes}: "
                + ", ".join(f"{name.split('-')[1]} alone {_cell(effects[name]['exact'][level])}" for name in halves)
                + "."
            )
    told += [f"Failed: {name}: {line}." for name, entries in found["failed"].items() for line in entries]
    return told or ["Every run failed."]

"""`expunge bench cross-domain`: do settings chosen in one domain hold in another?

Settings are chosen in every domain by itself, on its validation seed, and each choice is audited in all domains. Off
the diagonal nothing of the domain was seen before. Surprising: where two domains chose the same setting their columns
are the same runs, not two that happen to agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from expunge._io import write_json
from expunge.bench.concepts import sizes
from expunge.bench.concepts.intervals import difference, estimate
from expunge.bench.concepts.page import publish
from expunge.bench.concepts.prose import method, tuned
from expunge.bench.concepts.rows import REFERENCES, rows
from expunge.bench.concepts.suite import Cells, Preset, Suite
from expunge.bench.concepts.suite import preset as named
from expunge.bench.concepts.summary import ends, rounded, shown
from expunge.bench.table import markdown, plain

NAME = "cross-domain"
ROWS = ("full", "twin-kl", "npo", "simnpo")
PRESETS = {
    "smoke": Preset(
        domains=sizes.LITTLE[1:], bench=sizes.SMALL, rows=("full", "npo"), seeds=(42,), settings=sizes.SETTINGS[1:3]
    ),
    "cpu": Preset(domains=sizes.DOMAINS, bench=sizes.LLAMA, rows=ROWS, settings=sizes.SETTINGS),
    "gpu": Preset(domains=sizes.LARGE, bench=sizes.GPT2, rows=ROWS, settings=sizes.SETTINGS, workers=1),
}
SHOWN = ("distance_to_retrained", "retention")
Matrix = dict[str, dict[str, dict[str, Any]]]  # tuned in → applied in → column → {mean, interval}


def main(
    *,
    preset: str,
    out: Path,
    seeds: tuple[int, ...],
    only: tuple[str, ...] = (),
    results: Path | None = None,
    workers: int | None = None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Run the suite and return everything it found, ready for JSON (`table` is its text form).

    `matrix[row][tuned in][applied in][column]` holds mean and interval over seeds; `transfer[row]` what a foreign
    setting changes on average, paired by seed. Arguments as those of `dual_ablation.main`.
    """
    chosen = named(preset, PRESETS)
    todo = rows(chosen.rows, only)
    with Suite(NAME, preset, chosen, Path(out), seeds, workers, say) as suite:
        suite.teach(suite.cells)
        tuning = suite.tune(todo)
        domains = [str(d) for d in chosen.domains]
        of_source = {
            source: suite.audit(todo, suite.cells, dict.fromkeys(domains, tuning[source])) for source in domains
        }
        found = suite.about(suite.cells) | {"tuning": tuning}
    cells = {source: got for source, (got, _) in of_source.items()}
    references = next(iter(cells.values()))
    found |= {
        "matrix": {row.name: matrix({s: got[row.name] for s, got in cells.items()}) for row in todo},
        "transfer": {row.name: transfer({s: got[row.name] for s, got in cells.items()}) for row in todo},
        "references": {name: matrix({"": references[name]})[""] for name in REFERENCES},
        "failed": {source: lines for source, (_, lines) in of_source.items() if lines},
    }
    found["table"] = plain(("row", "tuned in", *domains), table(found))
    write_json(Path(out) / f"{NAME}.json", found)
    if results is not None:
        publish(found, lambda pictures: section(found), {}, Path(results))
    return found


def matrix(cells: Mapping[str, Cells]) -> Matrix:
    """From source → domain → seed → columns of one row."""
    return {
        source: {
            domain: {c: _entry(*estimate({domain: of_seeds}, c)) for c in SHOWN}
            for domain, of_seeds in of_source.items()
        }
        for source, of_source in cells.items()
    }


def transfer(cells: Mapping[str, Cells]) -> dict[str, dict[str, Any]]:
    """column → mean over domains of (setting of another domain - own setting), paired by seed."""
    own = {domain: cells[domain][domain] for domain in cells}
    foreign: Cells = {}
    home: Cells = {}
    for source, of_source in cells.items():
        for domain, of_seeds in of_source.items():
            if domain != source:
                foreign[f"{source} in {domain}"], home[f"{source} in {domain}"] = of_seeds, own[domain]
    return {c: _entry(*difference(foreign, home, c)) for c in SHOWN}


def _entry(mean: float | None, interval: tuple[float, float] | None) -> dict[str, Any]:
    return {"mean": rounded(mean), "interval": ends(interval)}


def table(found: Mapping[str, Any]) -> list[list[str]]:
    """row, tuned in, then distance / retention in every domain."""
    lines = [[name, "–", *map(_cell, of.values())] for name, of in found["references"].items()]
    return lines + [
        [row, source, *map(_cell, of.values())]
        for row, of_source in found["matrix"].items()
        for source, of in of_source.items()
    ]


def _cell(entry: Mapping[str, Any]) -> str:
    return " / ".join(shown(entry[c]["mean"]) for c in SHOWN)


def section(found: Mapping[str, Any]) -> str:
    """Markdown from `##` down."""
    moved = [[row, *(shown(of[c]["mean"], of[c]["interval"]) for c in SHOWN)] for row, of in found["transfer"].items()]
    parts = [
        "## Settings of one domain in another (`cross-domain`)",
        f"    expunge bench cross-domain --preset {found['preset']} --seeds {','.join(map(str, found['seeds']))} "
        "--out DIR --results docs/results/dual.md",
        *method(found),
        tuned(found),
        "Distance to the retrained model / retention, mean over seeds:",
        markdown(("row", "tuned in", *found["domains"]), table(found)),
        "What a setting from another domain changes, against the domain's own (mean over pairs of domains; above 0 in "
        "distance is worse, below 0 in retention is worse):",
        markdown(("row", "distance", "retention"), moved),
    ]
    failed = [
        f"- Failed, tuned in {source}: {row}: {line}"
        for source, of in found["failed"].items()
        for row, lines in of.items()
        for line in lines
    ]
    return "\n\n".join([*parts, *(["\n".join(failed)] if failed else [])])

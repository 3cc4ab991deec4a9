"""`expunge bench dual-ablation`: the strategy of the paper, its parts and its variants, beside the baselines.

Every row is tuned alike on a world that is not audited, and stands beside the original, the retrained model and a
second retrained seed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from expunge._io import write_json
from expunge.bench.concepts import forest, sizes
from expunge.bench.concepts.ablation_section import section, text_table
from expunge.bench.concepts.page import publish
from expunge.bench.concepts.rows import BASELINES, REFERENCES, STRATEGY, rows
from expunge.bench.concepts.suite import Preset, Suite
from expunge.bench.concepts.suite import preset as named
from expunge.bench.concepts.summary import differences, summarised
from expunge.bench.tune import KEEP, Setting

NAME = "dual-ablation"
PARTS = tuple(name for name in STRATEGY if name != "full")
COMPARED = ("distance_to_retrained", "retention", "choice_cc", "leak_mean")
ALL = (*STRATEGY, *BASELINES)
PRESETS = {
    "smoke": Preset(
        domains=sizes.LITTLE[2:],
        bench=sizes.SMALL,
        rows=("full", *BASELINES),
        seeds=(42,),
        settings=(Setting(lr_factor=3, steps=60, retain_factor=2),),
    ),
    "cpu": Preset(domains=sizes.DOMAINS, bench=sizes.LLAMA, rows=ALL, settings=sizes.SETTINGS, tune_on=1),
    "gpu": Preset(domains=sizes.LARGE, bench=sizes.GPT2, rows=ALL, settings=sizes.SETTINGS, workers=1),
}


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

    seeds    one world, one original and one run of every row for each; empty means the preset's own
    only     rows to run, beside the references; empty means all of the preset
    results  the page to write the section into, or a folder for `dual.md`
    InputError for an unknown preset or row, a seed twice, or a folder that holds another run.
    """
    chosen = named(preset, PRESETS)
    todo = rows(chosen.rows, only)
    for row in todo:
        row.known()  # a recipe that does not exist is found before the first model is taught
    with Suite(NAME, preset, chosen, Path(out), seeds, workers, say) as suite:
        suite.teach(suite.cells)
        tuning = suite.tune(todo)
        cells, failed = suite.audit(todo, suite.cells, tuning)
        found = suite.about(suite.cells) | {"recipes": {row.name: row.recipe for row in todo}, "tuning": tuning}
    found |= summarised(cells, failed)
    found["against_full"] = differences(cells, "full", PARTS, COMPARED) if "full" in cells else {}
    found["table"] = text_table(found)
    write_json(Path(out) / f"{NAME}.json", found)
    if results is not None:
        publish(found, lambda pictures: section(found, pictures), {f"{NAME}.svg": picture(found)}, Path(results))
    return found


def picture(found: dict[str, Any]) -> str:
    """Distance and retention of every row."""
    groups = dict.fromkeys(REFERENCES, "references") | dict.fromkeys(STRATEGY, "strategy")
    marks = forest.marks(found, ("distance_to_retrained", "retention"), groups)
    noise = found["methods"]["retrained-2"]["distance_to_retrained"]
    return forest.draw(
        forest.Forest(
            "Distance to the retrained model, and what was kept",
            ("distance to retrained (0 best)", "retention on retain_heldout records"),
            marks,
            ((0, noise, "a second retrained seed"), (1, KEEP, f"{KEEP:g}")),
        )
    )

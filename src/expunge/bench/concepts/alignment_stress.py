"""`expunge bench alignment-stress`: does projection keep what conflicts, as target and rest share more and more?

One world, a dial for how many words and facts its target shares with what stays, and every way of projecting around the
same losses with the same steps. Surprising: the row `sum` is a projection of strength 0, which gives the same bits as
the rule `sum` and knows the two gradients apart all the while, so its cosines and drifts are on record, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from expunge._io import write_json
from expunge.bench.concepts import alignment, forest, sizes
from expunge.bench.concepts.alignment_section import GROUPS, KNOBS, section, text_table
from expunge.bench.concepts.alignment_worth import drop, entry, one, worth
from expunge.bench.concepts.cell import Cell, Domain
from expunge.bench.concepts.intervals import difference, estimate
from expunge.bench.concepts.page import publish
from expunge.bench.concepts.rows import Row
from expunge.bench.concepts.suite import Cells, Preset, Suite
from expunge.bench.concepts.suite import preset as named
from expunge.bench.concepts.summary import summarised
from expunge.bench.concepts.tuning import fixed
from expunge.bench.tune import Setting
from expunge.engine.run_directory import RunDirectory
from expunge.errors import unknown
from expunge.synthetic.knowledge.overlap import measure

NAME = "alignment-stress"
OVERLAPS = (0.0, 0.25, 0.5, 0.75)
SHOWN = ("retention", "leak_mean", "cosine")


def _alpha(strength: float) -> str:
    return "settings.alpha={" + ", ".join(f"L{k}: {strength:g}" for k in (1, 2, 3, 4)) + "}"


LOSSES = {  # recipe, changes in it, and along what the sum is tried, too; the retain term of `twin` is heavy as it is
    "npo": ("dual-npo", (), ("rate", "weight")),
    "npo-bare": ("dual-npo", ("retain.weight=0",), ("rate",)),  # g_r is known, and nothing descends along it
    "twin": ("dual", (), ("rate",)),
}
RULES = {  # how the two gradients meet
    "sum": (_alpha(0),),
    "level": (),
    "tensor": (_alpha(1),),
    "row": (_alpha(1), "rule_settings.granularity=row"),
    "global": (_alpha(1), "rule_settings.granularity=global"),
    "conflict": (_alpha(1), "rule_settings.when=conflict"),
    "adam": (_alpha(1), "rule_settings.metric=adam"),
}


def _domains(preset: str, overlaps: Sequence[float]) -> tuple[Domain, ...]:
    return tuple(Domain(world="surgery", preset=preset, settings={"overlap": o}) for o in overlaps)


def _names(losses: Sequence[str], rules: Sequence[str] = tuple(RULES)) -> tuple[str, ...]:
    return tuple(f"{loss}-{rule}" for loss in losses for rule in rules)


SOME = ("sum", "tensor", "adam")
RATES, WEIGHTS = (0.25, 0.5), (2.0, 4.0, 8.0)
WANTED = (*_names(("npo",)), *_names(("npo-bare", "twin"), SOME))
FULL = Setting(lr_factor=1.0, steps=60)


class Stress(Preset):
    """A preset with what the sum is tried with, too: factors on its learning rate, and on its retain weight."""

    rates: tuple[float, ...] = Field(min_length=1)
    weights: tuple[float, ...] = Field(min_length=1)

    def line(self, knob: str) -> tuple[Setting, ...]:
        """Settings along `rate` or `weight`, without the full one."""
        return (
            tuple(FULL.model_copy(update={"lr_factor": f}) for f in self.rates)
            if knob == "rate"
            else tuple(FULL.model_copy(update={"retain_factor": f}) for f in self.weights)
        )


PRESETS = {
    "smoke": Stress(
        domains=_domains("small", (0.0, 0.75)),
        bench=sizes.SMALL,
        rows=_names(("npo",)),
        seeds=(42,),
        settings=(FULL,),
        rates=(0.25, 0.5),
        weights=(4.0,),
    ),
    "cpu": Stress(
        domains=_domains("small", OVERLAPS),
        bench=sizes.SMALL,
        rows=WANTED,
        settings=(FULL,),
        rates=RATES,
        weights=WEIGHTS,
    ),
    "gpu": Stress(
        domains=_domains("default", OVERLAPS),
        bench=sizes.GPT2,
        rows=WANTED,
        settings=(FULL,),
        rates=RATES,
        weights=WEIGHTS,
        workers=1,
    ),
}


def row(name: str) -> Row:
    """`npo-tensor` and so on; tokens are never weighed here, so that rows differ in nothing but the rule.

    `InputError` for an unknown one.
    """
    loss, _, rule = name.rpartition("-")
    if loss not in LOSSES or rule not in RULES:
        raise unknown("row", name, _names(tuple(LOSSES)), "--rows")
    recipe, sets, _ = LOSSES[loss]
    return Row(name=name, recipe=recipe, sets=("settings.token_weights=none", *sets, *RULES[rule]))


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

    seeds    one world of every overlap, one original and one run of every row for each; empty means the preset's own
    only     rows to run, beside the references; empty means all of the preset. Without its `sum` nothing is compared.
    results  the page to write the section into, or a folder for `dual.md`
    `start` holds cosines before any step, `methods` to `cells` the rows (see `summarised`), `lines` the sum at smaller
    rates and heavier retain weights, `worth` every rule beside the sum, `adam` the two metrics beside each other,
    `drop` how retention changes from the first overlap to the last.
    InputError for an unknown preset or row, a seed twice, or a folder that holds another run.
    """
    chosen = named(preset, PRESETS)
    todo = tuple(row(name) for name in only or chosen.rows)
    sums = {
        knob: tuple(r for r in todo if knob in LOSSES[r.name.rpartition("-")[0]][2] and r.name.endswith("-sum"))
        for knob in KNOBS
    }
    domains = [str(d) for d in chosen.domains]
    with Suite(NAME, preset, chosen, Path(out), seeds, workers, say) as suite:
        suite.teach(suite.cells)
        beginnings = _start(suite)
        cells, failed = suite.audit(todo, suite.cells, fixed(FULL, domains, (r.name for r in todo)))
        for r in todo:
            _add_events(suite, r, FULL, cells[r.name])
        lines = {
            knob: {
                str(s): suite.audit(plain, suite.cells, fixed(s, domains, (r.name for r in plain)))[0]
                for s in chosen.line(knob)
            }
            for knob, plain in sums.items()
        }
        found = suite.about(suite.cells) | {"recipes": {r.name: [r.recipe, *r.sets] for r in todo}}
    found |= summarised(cells, failed)
    first, last = domains[0], domains[-1]
    found |= {
        "start": {
            d: {c: entry(*estimate(one(beginnings, d), c)) for c in _columns(of)} for d, of in beginnings.items()
        },
        "start_cells": beginnings,
        "run": {r.name: {c: entry(*estimate(cells[r.name], c)) for c in alignment.run_columns(())} for r in todo},
        "run_by_domain": {
            r.name: {d: {c: entry(*estimate(one(cells[r.name], d), c)) for c in SHOWN} for d in cells[r.name]}
            for r in todo
        },
        "lines": {
            knob: {
                setting: {r.name: summarised({r.name: of[r.name]}, {})["methods"][r.name] for r in sums[knob]}
                for setting, of in line.items()
            }
            for knob, line in lines.items()
        },
        "drop": {r.name: drop(cells[r.name], first, last) for r in todo},
    }
    found |= _compared(cells, lines)
    found["table"] = text_table(found)
    write_json(Path(out) / f"{NAME}.json", found)
    if results is not None:
        publish(found, lambda pictures: section(found, pictures), {f"{NAME}.svg": picture(found)}, Path(results))
    return found


def _compared(cells: Mapping[str, Cells], lines: Mapping[str, Mapping[str, Mapping[str, Cells]]]) -> dict[str, Any]:
    """`worth`: every rule beside the sum of its loss; `adam`: the metric of Adam beside the plain one, by loss."""
    found: dict[str, Any] = {"worth": {}, "adam": {}}
    for loss in LOSSES:
        plain, tensor, adam = f"{loss}-sum", f"{loss}-tensor", f"{loss}-adam"
        knobs = (
            {
                knob: [cells["original"], *(of[plain] for of in line.values()), cells[plain]]
                for knob, line in lines.items()
                if all(plain in of for of in line.values())
            }
            if plain in cells
            else {}
        )
        found["worth"] |= {
            name: worth(cells[name], cells[plain], knobs)
            for rule in RULES
            if rule != "sum" and knobs and (name := f"{loss}-{rule}") in cells
        }
        if {tensor, adam} <= set(cells):
            found["adam"][loss] = {c: entry(*difference(cells[adam], cells[tensor], c)) for c in (*SHOWN, "drift")}
    return found


def _columns(of_seeds: dict[str, dict[str, float | None]]) -> list[str]:
    return list(next(iter(of_seeds.values())))


def _start(suite: Suite) -> Cells:
    """Columns of every cell before any step: how much is shared, and how the gradients lie."""
    todo = [(suite.lab, cell) for cell in suite.cells if not alignment.started(suite.lab, cell)]
    suite._each(alignment.start, todo, lambda k, _: f"{todo[k][1]}: gradients before the first step")
    found: Cells = {}
    for cell in suite.cells:
        found.setdefault(str(cell.domain), {})[str(cell.seed)] = _shared(cell) | alignment.start_columns(
            alignment.start(suite.lab, cell)
        )
    return found


def _shared(cell: Cell) -> dict[str, float | None]:
    """What target and rest really share, counted: shares of target concepts and of target facts."""
    sets = cell.sets()
    counted = measure(sets.corpus, sets.forget[0].path[0])
    return {"shared_concepts": counted.concepts, "shared_facts": counted.facts}


def _add_events(suite: Suite, r: Row, setting: Setting, cells: Cells) -> None:
    """Put the columns of a row's own steps beside the others, in place."""
    for cell in suite.cells:
        of_cell = cells[str(cell.domain)][str(cell.seed)]
        folder = suite.lab.run_folder(cell, r, setting)
        events = [
            e
            for k in range(1, len(suite.lab.stages(cell, r, setting)) + 1)
            for e in RunDirectory(folder / f"run-{k}", {}).events()
        ]
        if of_cell:
            of_cell |= alignment.run_columns(events)


def picture(found: dict[str, Any]) -> str:
    """What every rule keeps beside a sum that forgets as much, by either knob of the sum."""

    def along(of: dict[str, Any], knob: str) -> dict[str, Any]:
        told: dict[str, Any] = of["equal_leak"].get(knob, {"mean": None, "interval": None})
        return told

    marks = tuple(
        forest.Mark(
            name,
            (along(of, "rate")["mean"], along(of, "weight")["mean"]),
            (along(of, "rate")["interval"], along(of, "weight")["interval"]),
            GROUPS[name.rpartition("-")[0]],
        )
        for name, of in found["worth"].items()
    )
    return forest.draw(
        forest.Forest(
            "Retention of each rule − the sum, both forgetting as much",
            ("beside a sum with a smaller rate", "beside a sum with a heavier retain term"),
            marks,
            ((0, 0.0, ""), (1, 0.0, "")),
            same_scale=True,
        )
    )

"""`expunge bench privacy-frontier`: what forgetting and retention cost under differential privacy.

One hospital with many patients; what must go is a kind of fact about all of them, so that everybody stands in both
questions and is charged for both. Surprising: a smaller epsilon is no better forgetting. Noise and clipping hide
everybody who takes part, also those whose records are to be forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from expunge._io import write_json
from expunge.bench.concepts import frontier_audit, frontier_picture, sizes
from expunge.bench.concepts.alignment_worth import entry
from expunge.bench.concepts.cell import Domain
from expunge.bench.concepts.frontier_section import FREE, PAPER, section, text_table
from expunge.bench.concepts.intervals import difference, estimate
from expunge.bench.concepts.lab import Bench
from expunge.bench.concepts.page import publish
from expunge.bench.concepts.rows import Row
from expunge.bench.concepts.suite import Cells, Preset, Suite
from expunge.bench.concepts.suite import preset as named
from expunge.bench.concepts.summary import summarised
from expunge.bench.concepts.tuning import fixed, grid
from expunge.bench.tune import Setting
from expunge.engine.privacy.statement import NOT_CLAIMABLE
from expunge.engine.train.train_loop import TrainConfig
from expunge.errors import unknown
from expunge.models.tiny import TinyConfig

NAME = "privacy-frontier"
RECIPE = "dual-private"
EPSILONS = {"eps-1": 1.0, "eps-2": 2.0, "eps-4": 4.0, "eps-8": 8.0}
DELTA = 1e-5
COSTS = ("leak_mean", "retention", "distance_to_retrained")
RATES = (1.0, 0.5)  # factors on the learning rate; the first one is the recipe's own
ROWS = {name: (f"privacy.epsilon={epsilon:g}", f"privacy.delta={DELTA:g}") for name, epsilon in EPSILONS.items()} | {
    FREE: ("privacy=null",),
    PAPER: ("privacy.epsilon=4", f"privacy.delta={DELTA:g}", "privacy.paper_formula=true"),
}


class Frontier(Preset):
    """A preset with canaries."""

    canaries: int = Field(ge=2, description="invented people among the retained ones of the runs that are watched")


def hospital(patients: int, holdout: int) -> Domain:
    """Patients of two facts: the surgical procedure, which must go, and the date of birth, which stays."""
    return Domain(
        world="hospital",
        preset="register",
        target="relation=procedure",
        settings={"patients": patients, "holdout_patients": holdout},
    )


def _bench(model: TinyConfig, batch: int) -> Bench:
    return Bench(model=model, memorise=TrainConfig(target_accuracy=0.99, epochs=60), batch=batch)


PRESETS = {
    "smoke": Frontier(
        domains=(hospital(200, 60),),
        bench=_bench(sizes.SMALL.model, 64),
        rows=("eps-4", FREE, PAPER),
        seeds=(42,),
        settings=grid((1.0,), (80,)),
        canaries=60,
    ),
    "cpu": Frontier(
        domains=(hospital(600, 150),),
        bench=_bench(TinyConfig(layers=2), 150),
        rows=tuple(ROWS),
        settings=grid(RATES, (80,)),
        canaries=200,
    ),
    "gpu": Frontier(
        domains=(hospital(4000, 400),),
        bench=sizes.GPT2.model_copy(update={"batch": 512}),
        rows=tuple(ROWS),
        settings=grid(RATES, (80,)),
        canaries=500,
        workers=1,
    ),
}


def row(name: str) -> Row:
    """`eps-4` and so on; `InputError` for an unknown one."""
    if name not in ROWS:
        raise unknown("row", name, ROWS, "--rows")
    return Row(name=name, recipe=RECIPE, sets=ROWS[name])


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

    seeds    one hospital, one original and two runs of every row (one with canaries) for each; empty: the preset's own
    only     rows to run, beside the references; empty means all of the preset
    results  the page to write the section into, or a folder for `dual.md`
    `private` holds row → what runs stated, mean over seeds; `canaries` row → cell → bound of epsilon from below;
    `broken` the runs whose lower bound lies above what they stated; `doses` factor on the learning rate → row.
    InputError for an unknown preset or row, a seed twice, or a folder that holds another run.
    """
    chosen = named(preset, PRESETS)
    todo = tuple(row(name) for name in only or chosen.rows)
    with Suite(NAME, preset, chosen, Path(out), seeds, workers, say) as suite:
        suite.teach(suite.cells)
        domains, names, own = [str(d) for d in chosen.domains], [r.name for r in todo], chosen.settings[0]
        doses = {s: suite.audit(todo, suite.cells, fixed(s, domains, names)) for s in chosen.settings}
        cells, failed = doses[own]
        said = _stated(suite, todo, own)
        canaries = _watch(suite, todo, own, chosen.canaries)
        found = suite.about(suite.cells) | {"recipes": {r.name: [r.recipe, *r.sets] for r in todo}}
    found |= summarised(cells, failed)
    found |= {
        "private": {name: {c: entry(*estimate(of, c)) for c in _columns(of)} for name, of in said.items()},
        "cost": {
            name: {c: entry(*difference(cells[name], cells[FREE], c)) for c in COSTS}
            for name in EPSILONS
            if name in cells and FREE in cells
        },
        "doses": {
            f"{s.lr_factor:g}": {name: {c: entry(*estimate(of[name], c)) for c in COSTS} for name in names}
            for s, (of, _) in sorted(doses.items(), key=lambda pair: pair[0].lr_factor)
        },
        "stated": said,
        "canaries": canaries,
        "planted": chosen.canaries,
        "broken": broken(said, canaries),
        "may_not_be_claimed": list(NOT_CLAIMABLE),
    }
    found["table"] = text_table(found)
    write_json(Path(out) / f"{NAME}.json", found)
    if results is not None:
        publish(found, lambda pictures: section(found, pictures), {f"{NAME}.svg": picture(found)}, Path(results))
    return found


def picture(found: Mapping[str, Any]) -> str:
    """What is left and what is kept at every epsilon."""
    return frontier_picture.draw(found, {name: f"{epsilon:g}" for name, epsilon in EPSILONS.items()} | {FREE: "∞"})


def _columns(cells: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> list[str]:
    return list(dict.fromkeys(c for of_seeds in cells.values() for of in of_seeds.values() for c in of))


def _stated(suite: Suite, todo: Sequence[Row], setting: Setting) -> dict[str, Cells]:
    """row → domain → seed → what the run stated; rows without privacy state nothing and are left out."""
    found: dict[str, Cells] = {}
    for r in todo:
        for cell in suite.cells:
            if told := frontier_audit.statement(suite.lab, cell, r, setting):
                found.setdefault(r.name, {}).setdefault(str(cell.domain), {})[str(cell.seed)] = told
    return found


def _watch(suite: Suite, todo: Sequence[Row], setting: Setting, count: int) -> dict[str, dict[str, Any]]:
    """row → cell → what its run with canaries showed."""
    jobs = [(cell, r, setting) for cell in suite.cells for r in todo]
    left = [(suite.lab, *job, count) for job in jobs if not frontier_audit.was_watched(suite.lab, *job, count)]

    def told(k: int, found: dict[str, Any]) -> str:
        _, cell, r, _, _ = left[k]
        how = found["failed"] or f"epsilon is at least {found['bound']['epsilon']:.2f}"
        return f"{cell}: {r.name} with canaries: {how}"

    suite._each(frontier_audit.watched, left, told)
    found: dict[str, dict[str, Any]] = {r.name: {} for r in todo}
    for cell, r, _ in jobs:
        found[r.name][str(cell)] = {"seed": cell.seed, "domain": str(cell.domain)} | frontier_audit.watched(
            suite.lab, cell, r, setting, count
        )
    return found


def broken(said: Mapping[str, Cells], canaries: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """Runs whose canaries rule out the epsilon that was stated, as lines; the noise of the paper states none."""
    lines = []
    for name, of_cell in canaries.items():
        for where, seen in of_cell.items():
            told = said.get(name, {}).get(seen["domain"], {}).get(str(seen["seed"]), {})
            epsilon = told.get("pld")
            if not seen["failed"] and epsilon is not None and seen["bound"]["epsilon"] > epsilon:
                lines.append(
                    f"{where}: {name} states epsilon = {epsilon:.3f}, and its canaries show at least "
                    f"{seen['bound']['epsilon']:.3f}"
                )
    return lines

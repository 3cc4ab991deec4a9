"""`expunge bench which-objective`: which way of forgetting comes closest to the model that never knew.

Requests of four kinds (a patient, a study, an institution, a class of concepts). Every row is tuned alike on a world
that is not audited and stands beside the retrained model and a second retrained seed: how far that one lies is the
noise floor, and the goals of a default are judged against it. Surprising: the goals are on the page whether reached
or not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from expunge.bench.concepts import forest, sizes
from expunge.bench.concepts.aftermath import look, looked
from expunge.bench.concepts.cell import Cell
from expunge.bench.concepts.intervals import difference
from expunge.bench.concepts.lab import Bench
from expunge.bench.concepts.measure import Scored
from expunge.bench.concepts.objective_page import CANDIDATE, publish, text_table
from expunge.bench.concepts.objectives import MORE, ROWS, beside, by_kinship, concepts, hospital
from expunge.bench.concepts.rows import REFERENCES, Row
from expunge.bench.concepts.suite import Cells, Preset, Suite
from expunge.bench.concepts.suite import preset as named
from expunge.bench.concepts.summary import COLUMNS, ends, rounded, summarised
from expunge.bench.concepts.tuning import grid
from expunge.bench.tune import Setting
from expunge.engine.memorise import Memorise
from expunge.errors import InputError, unknown
from expunge.files import write_json
from expunge.models.tiny import TinyConfig

NAME = "which-objective"
COST_OF = "simnpo"  # whose time is 1
COMPARED = ("distance_to_retrained", "retention", "ks", "choice_cc", "relearned")
HOUSE = {"patients": 16, "per_institution": 4, "institution_facts": 4, "patient_facts": 6, "study_facts": 3,
         "section_facts": 1, "shared_facts": 2, "world_facts": 6, "holdout_patients": 8}
CLASS = {"targets": 12, "per_level": 12, "facts": 4}
LITTLE = HOUSE | {"patients": 8, "per_institution": 2, "study_facts": 1, "holdout_patients": 4}
TEACH = Memorise(share=0.99, epochs=60)
LLAMA = Bench(model=TinyConfig(layers=4, width=96, heads=4, vocabulary=2048), memorise=TEACH, batch=32)
SETTINGS = grid((1.0, 3.0), (280,), (1.0, 4.0))
PRESETS = {
    "smoke": Preset(domains=(hospital("patient", 0.5, **LITTLE),), bench=sizes.SMALL, seeds=(42,), keep=0.98,
                    rows=("npo", "simnpo", "simnpo-logit", "twin", "twin-logit"),
                    settings=(Setting(lr_factor=1, steps=140),)),
    "cpu": Preset(domains=(hospital("patient", 0.5, **HOUSE), hospital("study", 0.5, **HOUSE),
                           hospital("institution", 0.5, **HOUSE), concepts("mental-health", 0.5, **CLASS)),
                  bench=LLAMA, rows=tuple(ROWS), settings=SETTINGS, tune_on=1, keep=0.98),
    "gpu": Preset(domains=tuple(hospital(request, overlap, patients=64, per_institution=16)
                                for request in ("patient", "study", "institution") for overlap in (0.0, 0.5))
                  + tuple(concepts(world, overlap) for world in ("mental-health", "finance") for overlap in (0.0, 0.5)),
                  bench=sizes.GPT2, rows=tuple(ROWS), settings=SETTINGS, tune_on=1, keep=0.98, workers=1),
}


def objectives(names: Sequence[str], wanted: Sequence[str] = ()) -> tuple[Row, ...]:
    """The rows called `names`, or those of them that are `wanted`. `InputError` for an unknown one, or one twice."""
    for name in (*names, *wanted):
        if name not in ROWS:
            raise unknown("row", name, ROWS, "--rows")
    if len(set(wanted)) != len(wanted):
        raise InputError("--rows", f'"{",".join(wanted)}" names one twice', "name each row once")
    return tuple(ROWS[name] for name in wanted or names)


def main(*, preset: str, out: Path, seeds: tuple[int, ...], only: tuple[str, ...] = (), results: Path | None = None,
         workers: int | None = None, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the suite and return everything it found, ready for JSON (`table` is its text form).

    seeds    one world, one original and one run of every row for each; empty means the preset's own
    only     rows to run, beside the references; empty means all of the preset
    results  the page to write, or a folder for `which-objective.md`
    InputError for an unknown preset or row, a seed twice, or a folder that holds another run.
    """
    chosen = named(preset, PRESETS)
    todo = objectives(chosen.rows, only)
    for row in todo:
        row.known()  # a recipe that does not exist is found before the first model is taught
    with Suite(NAME, preset, chosen, Path(out), seeds, workers, say) as suite:
        suite.teach(suite.cells)
        tuning = suite.tune(todo)
        cells, failed = suite.audit(todo, suite.cells, tuning)
        _look_again(suite, todo, tuning, cells)
        found = suite.about(suite.cells) | {"recipes": {r.name: [r.recipe, *r.sets] for r in todo}, "tuning": tuning}
    found |= summarised(cells, failed, (*COLUMNS, *MORE))
    found["against_candidate"] = {
        row.name: {d: {c: _entry(*difference({d: of[d]}, {d: cells[CANDIDATE][d]}, c)) for c in COMPARED} for d in of}
        for row in todo if CANDIDATE in cells and row.name != CANDIDATE for of in [cells[row.name]]}
    found["table"] = text_table(found)
    write_json(Path(out) / f"{NAME}.json", found)
    if results is not None:
        publish(found, {f"{NAME}.svg": picture(found)}, Path(results))
    return found


def _entry(mean: float | None, interval: Any) -> dict[str, Any]:
    return {"mean": rounded(mean), "interval": ends(interval)}


def _look_again(suite: Suite, rows: Sequence[Row], tuning: Mapping[str, Mapping[str, Any]],
                cells: dict[str, Cells]) -> None:
    """Attacks on every model, and the columns that come from them and from kinship, into `cells`."""
    lab = suite.lab
    places: dict[tuple[str, Cell], tuple[Path, Path]] = {
        (name, cell): (lab.model(cell, name), lab.scores(cell, name)) for cell in suite.cells for name in REFERENCES}
    for cell in suite.cells:
        for row in rows:
            entry = tuning[str(cell.domain)][row.name]["chosen"]
            model = lab.model_of(cell, row, Setting(**entry)) if entry else None
            if model is not None and entry:
                folder = lab.run_folder(cell, row, Setting(**entry))
                places[row.name, cell] = model, folder.with_name(folder.name + ".scores")
    todo = [(cell, *place) for (_, cell), place in places.items() if not looked(place[1])]
    suite._each(look, todo, lambda k, found: f"{todo[k][0]}: {todo[k][1].parent.name}: "
                                             f"{found['int4']:.0%} at four bits")
    for cell in suite.cells:
        original = Scored.load(lab.scores(cell, REFERENCES[0]))
        columns = {name: cells[name][str(cell.domain)][str(cell.seed)] for name in cells}
        for name, of in columns.items():
            if (name, cell) in places:
                scores = places[name, cell][1]
                of |= {k: round(v, 6) for k, v in look(cell, *places[name, cell]).items()}
                of |= by_kinship(Scored.load(scores), original, cell.sets())
        for of in columns.values():
            of |= beside(of, columns[REFERENCES[1]])
            unit = columns.get(COST_OF, {}).get("seconds")
            of["cost"] = of["seconds"] / unit if unit and of.get("seconds") else None  # type: ignore[operator]


def picture(found: Mapping[str, Any]) -> str:
    """Distance and retention of every row, means over requests."""
    marks = forest.marks(found, ("distance_to_retrained", "retention"), dict.fromkeys(REFERENCES, "references") | {
        name: "towards the twin" for name in ROWS if name.startswith(("twin", "dual"))})
    noise = found["methods"]["retrained-2"]["distance_to_retrained"]
    return forest.draw(forest.Forest(
        "How close, and what was kept", ("distance to retrained (0 best)", "retention on untouched records"), marks,
        ((0, noise, "a second retrained seed"), (1, 0.99, "0.99"))))

"""`expunge bench which-objective`: which way of forgetting comes closest to the model that never knew.

Requests of four kinds (a patient, studies, an institution, a class of concepts). Every row is tuned alike on worlds
that are not audited and stands beside the retrained model and a second retrained seed: how far that one lies is the
noise floor, and the goals of a default are judged against it. Beside the comparison stand smaller ones (`Side`): what
the parts of the candidate do, other worlds, fewer blocks, published text. Surprising: the goals are on the page
whether reached or not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from expunge._io import write_json
from expunge.bench.concepts import forest, pareto, sizes
from expunge.bench.concepts.aftermath import look, looked
from expunge.bench.concepts.cell import Cell, Domain
from expunge.bench.concepts.intervals import difference
from expunge.bench.concepts.lab import Bench
from expunge.bench.concepts.measure import Scored
from expunge.bench.concepts.objective_page import CANDIDATE, publish, text_table
from expunge.bench.concepts.objectives import AS, MORE, ROWS, beside, by_kinship, concepts, hospital, people
from expunge.bench.concepts.rows import REFERENCES, Row
from expunge.bench.concepts.rows import chosen as selected
from expunge.bench.concepts.suite import Cells, Preset, Suite
from expunge.bench.concepts.suite import preset as named
from expunge.bench.concepts.summary import COLUMNS, ends, rounded, summarised
from expunge.bench.concepts.tuning import grid
from expunge.bench.tune import Setting
from expunge.engine.train.train_loop import TrainConfig
from expunge.errors import InputError
from expunge.models.tiny import TinyConfig

NAME = "which-objective"
COST_OF = "simnpo"  # whose time is 1
COMPARED = ("distance_to_retrained", "retention", "ks", "choice_cc", "relearned")
HOUSE = {
    "patients": 16,
    "per_institution": 4,
    "institution_facts": 4,
    "patient_facts": 6,
    "study_facts": 3,
    "section_facts": 1,
    "shared_facts": 2,
    "world_facts": 6,
    "holdout_patients": 8,
}
CLASS = {"targets": 12, "per_level": 12, "facts": 4}
LITTLE = HOUSE | {"patients": 8, "per_institution": 2, "study_facts": 1, "holdout_patients": 4}
TEACH = TrainConfig(target_accuracy=0.99, epochs=60)
LLAMA = Bench(model=TinyConfig(layers=4, width=96, heads=4, vocabulary=2048), memorise=TEACH, batch=32)
MAIN = (
    "grad_diff-clipped",
    "npo",
    "simnpo",
    "ihl",
    "kl_min",
    "relabel-uniform",
    "relabel-sampled",
    "record-stop",
    "two-stage",
    "twin-kl",
    "twin",
    "twin-dual",
)
FEW = ("npo", "simnpo", "twin-kl", "twin")


class Side(BaseModel):
    """A smaller comparison: some rows on some domains, with the settings that the comparison chose."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    about: str
    rows: tuple[str, ...] = Field(min_length=1)
    domains: tuple[Domain, ...] = Field(min_length=1)


class Objectives(Preset):
    """A preset with its smaller comparisons; `people`: how many people of LUME the last of them takes."""

    sides: tuple[Side, ...] = ()
    people: Mapping[str, int] | None = None


def _house(request: str, overlap: float = 0.5) -> Domain:
    return hospital(request, overlap, **HOUSE)


def _big(request: str, overlap: float) -> Domain:
    return hospital(request, overlap, patients=64, per_institution=16)


REQUESTS = ("patient", "institution", "studies")
PARTS = Side(
    title="What the parts do",
    about="`twin` and one change each: a projection against the gradient of what stays; a twin for every fact rather "
    "than for a person; floors from all answers of the type; floors that are no targets; the divergence one "
    "way only.",
    rows=("twin", "twin-projected", "twin-by-fact", "twin-any-answer", "twin-floor-only", "twin-one-way"),
    domains=(_house("institution"),),
)
BLOCKS = Side(
    title="Fewer blocks, as many numbers",
    about="Adapters on the last half and the last quarter of the blocks, their rank raised so that as many numbers "
    "train.",
    rows=("simnpo", "simnpo-last-half", "simnpo-last-quarter", "twin", "twin-last-half", "twin-last-quarter"),
    domains=(_house("institution"),),
)
APART = Side(
    title="Worlds without overlap",
    about="Every institution has values of its own, which nobody who stays shares.",
    rows=("simnpo", "twin-kl", "twin"),
    domains=(_house("institution", 0.0),),
)
PRESETS = {
    "smoke": Objectives(
        domains=(hospital("patient", 0.5, **LITTLE),),
        bench=sizes.SMALL,
        seeds=(42,),
        keep=0.98,
        rows=("npo", "simnpo", "twin-kl", "twin"),
        settings=(Setting(lr_factor=1, steps=280),),
    ),
    "cpu": Objectives(
        domains=(*map(_house, REQUESTS), concepts("mental-health", 0.5, **CLASS)),
        bench=LLAMA,
        rows=MAIN,
        settings=grid((1.0, 3.0), (280,)),
        tune_on=2,
        together=True,
        keep=0.98,
        sides=(PARTS, BLOCKS, APART),
        people={"people": 100, "targets": 8, "holdout": 24},
    ),
    "gpu": Objectives(
        domains=(*(_big(r, 0.5) for r in REQUESTS), concepts("mental-health", 0.5), concepts("finance", 0.5)),
        bench=sizes.GPT2,
        rows=MAIN,
        settings=grid((1.0, 3.0), (280,), (1.0, 4.0)),
        tune_on=2,
        together=True,
        keep=0.98,
        sides=(
            PARTS.model_copy(update={"domains": (_big("patient", 0.5), _big("institution", 0.5))}),
            APART.model_copy(update={"domains": tuple(_big(r, 0.0) for r in REQUESTS)}),
        ),
        people={"people": 400, "targets": 20, "holdout": 80},
        workers=1,
    ),
}


def main(
    *,
    preset: str,
    out: Path,
    seeds: tuple[int, ...],
    only: tuple[str, ...] = (),
    results: Path | None = None,
    workers: int | None = None,
    data: Path | None = None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Run the suite and return everything it found, ready for JSON (`table` is its text form).

    seeds    one world, one original and one run of every row for each; empty means the preset's own
    only     rows to run, beside the references, without the preset's smaller comparisons; empty means all
    results  the page to write, or a folder for `which-objective.md`
    data     folder of LUME as published; without it nothing is said about published text
    InputError for an unknown preset or row, a seed twice, a folder that holds another run or no LUME, or `data` for a
    preset that has no part on it.
    """
    chosen = named(preset, PRESETS)
    todo, sides = selected(ROWS, chosen.rows, only), () if only else chosen.sides
    if data:
        if chosen.people is None:
            raise InputError("--data", f"preset {preset} has no part on published text", "choose cpu, or leave it out")
        text = people(data, **chosen.people)
        Cell(domain=text, seed=chosen.validation).sets()  # a folder without LUME is found now
        about = "Published text: people of its second task, drawn by the seed; settings are those chosen on hospitals."
        sides = (*sides, Side(title="People of LUME", about=about, rows=only or FEW, domains=(text,)))
    for row in todo:
        row.known()  # a recipe that does not exist is found before the first model is taught
    with Suite(NAME, preset, chosen, Path(out), seeds, workers, say) as suite:
        tuning = _tuned(suite, todo, sides)
        found, cells = _compared(suite, todo, suite.cells, tuning)
        found |= suite.about(suite.cells)
        found["recipes"] = {r.name: [r.recipe, *r.sets, *_before(r)] for r in todo}
        found["tuning"] = {d: {r.name: tuning[d][r.name] for r in todo} for d in found["domains"]}
        found["options"] = [*([f"--rows {','.join(only)}"] if only else []), *(["--data LUME"] if data else [])]
        found["sides"] = [_side(suite, side, tuning) for side in sides]
    found["against_candidate"] = {
        row.name: {d: {c: _entry(*difference({d: of[d]}, {d: cells[CANDIDATE][d]}, c)) for c in COMPARED} for d in of}
        for row in todo
        if CANDIDATE in cells and row.name != CANDIDATE
        for of in [cells[row.name]]
    }
    found["table"] = text_table(found)
    write_json(Path(out) / f"{NAME}.json", found)
    if results is not None:
        publish(found, {f"{NAME}.svg": picture(found), "pareto.svg": pareto.draw(found)}, Path(results))
    return found


def _before(row: Row) -> list[str]:
    return [f"after half of the steps with {row.first}"] if row.first else []


def _entry(mean: float | None, interval: Any) -> dict[str, Any]:
    return {"mean": rounded(mean), "interval": ends(interval)}


def _tuned(suite: Suite, rows: Sequence[Row], sides: Sequence[Side]) -> dict[str, dict[str, Any]]:
    """Settings for every domain; a row that only a side has takes that of the row it is a change of."""
    extra = [ROWS[AS.get(name, name)] for side in sides for name in side.rows]
    found = suite.tune(list({row.name: row for row in (*rows, *extra)}.values()))
    first = next(iter(found.values()))
    for of in found.values():
        of |= {name: of[source] for name, source in AS.items() if source in of}
    return found | {str(d): first for side in sides for d in side.domains if str(d) not in found}


def _compared(
    suite: Suite, rows: Sequence[Row], cells: Sequence[Cell], tuning: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], dict[str, Cells]]:
    """Rows on cells with every column: the summary, and the figures behind it."""
    suite.teach(cells)
    columns, failed = suite.audit(rows, cells, tuning)
    _look_again(suite, rows, cells, tuning, columns)
    return summarised(columns, failed, (*COLUMNS, *MORE)), columns


def _side(suite: Suite, side: Side, tuning: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    cells = [Cell(domain=d, seed=s) for d in side.domains for s in suite.seeds]
    found, _ = _compared(suite, selected(ROWS, side.rows), cells, tuning)
    sizes_of = {str(d): Cell(domain=d, seed=suite.seeds[0]).sets().summary() for d in side.domains}
    return found | {"title": side.title, "about": side.about, "domains": sizes_of, "memorised": suite.gate(cells)}


def _look_again(
    suite: Suite,
    rows: Sequence[Row],
    cells: Sequence[Cell],
    tuning: Mapping[str, Mapping[str, Any]],
    found: dict[str, Cells],
) -> None:
    """Attacks on every model, and the columns that come from them and from kinship, into `found`."""
    lab, places = suite.lab, suite.places(rows, cells, tuning)
    todo = [(cell, *place) for (_, cell), place in places.items() if not looked(place[1])]
    suite._each(
        look, todo, lambda k, attacks: f"{todo[k][0]}: {todo[k][1].parent.name}: {attacks['int4']:.0%} at four bits"
    )
    for cell in cells:
        original = Scored.load(lab.scores(cell, REFERENCES[0]))
        columns = {name: found[name][str(cell.domain)][str(cell.seed)] for name in found}
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
    marks = forest.marks(
        found,
        ("distance_to_retrained", "retention"),
        dict.fromkeys(REFERENCES, "references")
        | {
            name: "towards the twin" for name in ROWS if name.startswith("twin") or name in ("record-stop", "two-stage")
        },
    )
    noise = found["methods"]["retrained-2"]["distance_to_retrained"]
    return forest.draw(
        forest.Forest(
            "How close, and what was kept",
            ("distance to retrained (0 best)", "retention on retain_heldout records"),
            marks,
            ((0, noise, "a second retrained seed"), (1, 0.99, "0.99")),
        )
    )

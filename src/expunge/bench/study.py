"""From an experiment to its results: one JSON object with the figures of every model and of every measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expunge._io import write_json
from expunge.bench.analysis import difference, entry
from expunge.bench.experiment import Arm, Experiment, PairedComparison, SideComparison
from expunge.bench.measures.base import MEASURES, BenchMeasure, Cells
from expunge.bench.pipeline import Trial
from expunge.bench.places import ModelPlace
from expunge.bench.report import text_table
from expunge.bench.session import Session
from expunge.bench.world_instance import WorldInstance
from expunge.errors import InputError


@dataclass
class FinishedStudy:
    """Arms on world instances with every column (`measures.base.Study`)."""

    session: Session
    experiment: Experiment
    arms: tuple[Arm, ...]
    cells: list[WorldInstance]
    tuning: dict[str, dict[str, Any]]
    is_side: bool = False
    columns: dict[str, Cells] = field(default_factory=dict)
    failed: dict[str, list[str]] = field(default_factory=dict)

    @property
    def measures(self) -> list[BenchMeasure]:
        return [MEASURES.get(name, "measure") for name in self.experiment.measures]

    def column_names(self) -> list[str]:
        """Columns of all measures."""
        return [column for measure in self.measures for column in measure.columns]

    def places(self) -> list[ModelPlace]:
        """Models that did not fail, world instance by world instance, references first."""
        places = []
        for cell in self.cells:
            places += [self.session.runner.reference(cell, name) for name in self.experiment.references]
            runs = [self.session.place(cell, arm, self.tuning) for arm in self.arms]
            places += [place for place in runs if place and not place.failure()]
        return places

    def runs(self) -> list[ModelPlace]:
        """Runs of all arms, failed ones too."""
        places = [self.session.place(cell, arm, self.tuning) for cell in self.cells for arm in self.arms]
        return [place for place in places if place]

    def audit(
        self, arms: tuple[Arm, ...], tuning: dict[str, dict[str, Any]], failed: dict[str, list[str]]
    ) -> dict[str, Cells]:
        """Columns of further runs on the same world instances; what failed is added to `failed`."""
        return self.session.audit(arms, self.cells, tuning, failed)

    def fixed(self, trial: Trial, arms: tuple[Arm, ...]) -> dict[str, dict[str, Any]]:
        """A tuning that gives every arm the same trial."""
        return self.session.fixed(trial, arms)

    def finish(self) -> dict[str, Any]:
        """Run what is missing, observe every model, fill `columns`; returns the keys of all measures."""
        self.session.train_references(self.cells)
        self.columns = self.session.audit(self.arms, self.cells, self.tuning, self.failed)
        originals = [self.session.runner.reference(cell, "original") for cell in self.cells]
        names = self.experiment.measures
        for needs, places in (("model", self.places()), ("original", originals), ("run", self.runs())):
            self.session.observe(places, needs, names)
        for place in self.places():
            own = self._columns(place.name, place.cell)
            for measure in self.measures:
                if measure.read:
                    own |= measure.read(place)
        for cell in self.cells:
            models = {name: own for name in self.columns if (own := self._columns(name, cell))}
            for measure in self.measures:
                if measure.compare:
                    options = self.experiment.options.get(measure.name, {})
                    for name, more in measure.compare(models, options).items():
                        models[name] |= more
        results: dict[str, Any] = {}
        for measure in self.measures:
            results |= measure.summarize(self) if measure.summarize else {}
        return results

    def _columns(self, name: str, cell: WorldInstance) -> dict[str, float | None]:
        return self.columns[name][str(cell.request)][str(cell.seed)]


def run(
    experiment: Experiment,
    out: Path,
    *,
    seeds: tuple[int, ...] = (),
    arms: Sequence[str] = (),
    workers: int | None = None,
    data: Path | None = None,
    model: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Run an experiment; returns its results, ready for JSON, and writes them to `out/<name>.json`.

    Args:
        seeds: empty means the experiment's own.
        arms: arms beside the references, without the smaller comparisons; empty means those of the preset.
        data: folder of published text, for requests that need it.
        model: folder or hub id of the pretrained model, for experiments on one; None for that of the file.

    Raises:
        InputError: an unknown arm, a seed twice, a folder that holds another run, or missing data.
    """
    experiment = experiment.with_model(model)
    experiment, options = _with_data(experiment, data, arms)
    options += ["--model MODEL"] if model else []
    selected, sides = experiment.select(arms), () if arms else experiment.sides
    if data:
        sides = tuple(side for side in experiment.sides if side in sides or side.requests[0].published)
    needed = {o["minus"] for o in experiment.options.values() if "minus" in o} - {arm.name for arm in selected}
    if needed:
        raise InputError("--arms", f'lacks "{min(needed)}"', "name it, too: all others are compared with it")
    for arm in selected:
        arm.recipes()  # a recipe that does not exist is found before the first model is trained
    with Session(experiment, Path(out), seeds, workers, say) as session:
        cells = session.cells()
        session.train_references(cells)
        side_arms = {side: _side_arms(experiment, side, arms) for side in sides}
        tuning = _tune(session, selected, side_arms)
        study = FinishedStudy(session, experiment, selected, cells, tuning)
        own = {request: {arm.name: of[arm.name] for arm in selected} for request, of in tuning.items()}
        requests = [str(r) for r in experiment.requests]
        results = session.about() | {
            "recipes": experiment.recipes(selected),
            "tuning": {request: own[request] for request in requests},
            "tuned_on": requests[: experiment.tune.requests] if len(experiment.tune.trials()) > 1 else [],
            "options": options,
        }
        results |= study.finish()
        if experiment.gate_column:
            results["memorised"] = session.memorization(cells, study.columns)
        for side, chosen in side_arms.items():
            more = _side_results(session, side, chosen, tuning)
            if side.key:
                results[side.key] = more
            else:
                results.setdefault("sides", []).append(more)
        if experiment.sides and not sides and not all(side.key for side in experiment.sides):
            results["sides"] = []
    for comparison in experiment.compare:
        results[comparison.key] = compare(study.columns, comparison)
    results["table"] = text_table(experiment, results)
    write_json(Path(out) / f"{experiment.name}.json", results)
    return results


def _with_data(experiment: Experiment, data: Path | None, arms: Sequence[str]) -> tuple[Experiment, list[str]]:
    """The experiment with the folder of published text in its requests, or without what needs one; and the options."""
    every = (*experiment.requests, *(r for side in experiment.sides for r in side.requests))
    published = [r for r in every if r.published]
    if data and not published:
        what = f"{experiment.name} at preset {experiment.preset} has no part on published text"
        raise InputError("--data", what, "choose another preset, or leave it out")
    if not data and any(r.published for r in experiment.requests):
        published[0].folder()
    if data:
        for request in published:
            located = request.model_copy(update={"data": data})
            WorldInstance(request=located, seed=experiment.tune.seed).sets()  # a folder without LUME is found now

    def located_in(requests: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(r.model_copy(update={"data": data}) if r.published else r for r in requests)

    sides = tuple(
        side.model_copy(update={"requests": located_in(side.requests)})
        for side in experiment.sides
        if data or not any(r.published for r in side.requests)
    )
    options = [*([f"--arms {','.join(arms)}"] if arms else []), *(["--data DATA"] if data else [])]
    return experiment.model_copy(update={"requests": located_in(experiment.requests), "sides": sides}), options


def _side_arms(experiment: Experiment, side: SideComparison, arms: Sequence[str]) -> tuple[Arm, ...]:
    """Arms of a side; on published text those that the command names."""
    return experiment.select(arms if arms and side.requests[0].published else side.arms)


def _tune(
    session: Session, arms: Sequence[Arm], sides: Mapping[SideComparison, Sequence[Arm]]
) -> dict[str, dict[str, Any]]:
    """Trials for every request; arms with `tuned_as` take those of another arm, requests of sides the first's."""
    known = session.experiment.arms
    every = [*arms, *(arm for of in sides.values() for arm in of)]
    tuned = {known[arm.tuned_as or arm.name].name: known[arm.tuned_as or arm.name] for arm in every}
    tuning = session.tune(list(tuned.values()))
    for of in tuning.values():
        of |= {name: of[arm.tuned_as] for name, arm in known.items() if arm.tuned_as in of}
    first = next(iter(tuning.values()))
    return tuning | {str(r): first for side in sides for r in side.requests if str(r) not in tuning}


def _side_results(
    session: Session, side: SideComparison, arms: tuple[Arm, ...], tuning: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    cells = session.cells(side.requests)
    results = FinishedStudy(session, session.experiment, arms, cells, tuning, is_side=True).finish()
    about = {"title": side.title, "about": side.about, "level": str(side.requests[0])}
    return results | about | {"domains": session.sizes(side.requests), "memorised": session.memorization(cells)}


def compare(tables: Mapping[str, Cells], comparison: PairedComparison) -> dict[str, Any]:
    """Arm to column to the mean and interval of arm - `minus`; by request where the comparison says so."""
    base = comparison.minus
    if base not in tables:
        return {}
    names = comparison.arms or [n for n in tables if n != base and n not in ("original", "retrained", "retrained-2")]

    def differences(first: Cells, second: Cells) -> dict[str, Any]:
        return {c: entry(*difference(first, second, c)) for c in comparison.columns}

    table: dict[str, Any] = {}
    for name in names:
        if name in tables and comparison.by_request:
            table[name] = {r: differences({r: of}, {r: tables[base][r]}) for r, of in tables[name].items()}
        elif name in tables:
            table[name] = differences(tables[name], tables[base])
    return table

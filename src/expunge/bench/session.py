"""One run of an experiment in one folder: the lock, the pool of processes, and the stages train, tune, audit, observe.

Experiments may share a folder and then share models. Only the same experiment with other settings is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from expunge._folder import FolderLock, check_folder, is_free, sweep
from expunge._io import read_json, write_json
from expunge._printable import pluralize
from expunge.bench.experiment import Arm, Experiment
from expunge.bench.measures.base import MEASURES, Cells, Columns, round_columns
from expunge.bench.pipeline import Trial, TrialResult, average, choose
from expunge.bench.places import ModelPlace, Runner
from expunge.bench.requests import Request
from expunge.bench.runner import columns_of, observe, run_arm, train_reference
from expunge.bench.workers import Workers
from expunge.bench.world_instance import WorldInstance
from expunge.errors import InputError, RunFailed

FREE = {"seeds", "arms", "selected", "workers", "sides", "compare", "claims", "goals", "report", "question"}
FREE |= {"gate", "gate_column"}


def _without_grid(about: Mapping[str, Any]) -> dict[str, Any]:
    """What identifies a run: a wider grid adds trials to those that are there."""
    settings = about.get("settings", {})
    return {**about, "settings": {**settings, "tune": {**settings.get("tune", {}), "grid": None}}}


@dataclass
class Session:
    """A context that holds the folder and the processes.

    Attributes:
        seeds: empty means the experiment's own.
        workers: processes; None means the experiment's own, else as many as cores are free.
        say: called with each line of progress.
    """

    experiment: Experiment
    out: Path
    seeds: tuple[int, ...]
    workers: int | None
    say: Callable[[str], None]
    _lock: FolderLock | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.seeds = tuple(self.seeds) or self.experiment.seeds
        tune = self.experiment.tune
        if len(set(self.seeds)) != len(self.seeds):
            raise InputError("--seeds", f"{','.join(map(str, self.seeds))} names one twice", "name each seed once")
        if min(self.seeds) < 0:
            raise InputError("--seeds", f"{min(self.seeds)} is below 0", "name seeds from 0 on")
        if tune.seed in self.seeds and len(tune.trials()) > 1 and not (tune.measure or tune.across_seeds):
            what = f"{tune.seed} is the seed of the validation worlds"
            raise InputError("--seeds", what, "name others: what is audited must not have been tuned on")
        self._started = time.perf_counter()
        self._pool = Workers(self.experiment.workers if self.workers is None else self.workers)

    def __enter__(self) -> Session:
        """Take the folder or go on in it; refuse another's, and one in use."""
        mark = self.out / f"{self.experiment.name}.run.json"
        settings = self.experiment.model_dump(mode="json", exclude=FREE)
        about = {"experiment": self.experiment.name, "settings": settings}
        check_folder(self.out, "experiment")
        if mark.is_file():
            if _without_grid(read_json(mark)) != _without_grid(about):
                what = f"holds a run of {self.experiment.name} with other settings"
                raise InputError(str(self.out), what, "choose another folder")
        elif not is_free(self.out) and not any(self.out.glob("*.run.json")):
            raise InputError(str(self.out), "is not empty and holds no experiment", "choose a new folder")
        self._lock = FolderLock(self.out, "experiment")
        sweep(self.out)
        write_json(mark, about)
        return self

    def __exit__(self, *what: object) -> None:
        self._pool.close()
        if self._lock:
            self._lock.release()
            self._lock = None

    def note(self, text: str) -> None:
        self.say(f"[{time.perf_counter() - self._started:6.0f} s] {text}")

    @cached_property
    def runner(self) -> Runner:
        return Runner(self.out, self.experiment)

    def cells(self, requests: Sequence[Request] = ()) -> list[WorldInstance]:
        """Every request (of the experiment, if none is given) at every seed."""
        return [WorldInstance(request=r, seed=s) for r in requests or self.experiment.requests for s in self.seeds]

    def validation(self, request: Request) -> WorldInstance:
        """The world instance on which trials for `request` are chosen."""
        if self.experiment.tune.measure:
            return WorldInstance(request=request, seed=self.seeds[0], part="validation")
        requests = self.experiment.requests[: self.experiment.tune.requests]
        return WorldInstance(request=request if request in requests else requests[0], seed=self.experiment.tune.seed)

    def train_references(self, cells: Sequence[WorldInstance], names: Sequence[str] = ()) -> None:
        """The reference models of these world instances."""
        every = [self.runner.reference(cell, name) for cell in cells for name in names or self.experiment.references]
        first: dict[Path, ModelPlace] = {}  # instances that share an original have it trained once
        for place in every:
            first.setdefault(place.model, place)
        for batch in (list(first.values()), every):
            todo = [place for place in batch if not place.done()]
            self._each(
                train_reference,
                [(place,) for place in todo],
                lambda k, r: (
                    f"{todo[k].cell}: {todo[k].name} knows {r['share']:.1%} of its rows "  # noqa: B023
                    f"after {pluralize(r['epochs'], 'epoch')}"
                ),
            )

    def run_arms(self, places: Sequence[ModelPlace]) -> None:
        """These runs, each once."""
        todo = [place for place in {p.base: p for p in places}.values() if not place.done()]
        self._each(
            run_arm,
            [(place,) for place in todo],
            lambda k, r: (
                f"{todo[k].cell}: {todo[k].name} ({todo[k].trial}): " + (r["failed"] or f"{r['seconds']:.0f} s")
            ),
        )

    def observe(self, places: Sequence[ModelPlace], needs: str, measures: Sequence[str]) -> None:
        """What those of `measures` observe that need this, at every place."""
        wanted = tuple(name for name in measures if MEASURES.get(name, "measure").needs == needs)
        todo = [p for p in places if any(not p.file(f"{name}.json").is_file() for name in wanted)]
        what = " and ".join(wanted)
        self._each(observe, [(p, wanted) for p in todo], lambda k, _: f"{todo[k].cell}: {todo[k].name}: {what}")

    def _each(
        self, job: Callable[..., Any], todo: Sequence[tuple[Any, ...]], describe: Callable[[int, Any], str]
    ) -> None:
        count = 0

        def done(k: int, result: Any) -> None:
            nonlocal count
            count += 1
            self.note(f"{count} of {len(todo)}: {describe(k, result)}")

        self._pool.each(job, todo, done)

    def fixed(self, trial: Trial, arms: Sequence[Arm]) -> dict[str, dict[str, Any]]:
        """A tuning that gives every arm the same trial, for every request."""
        entry = {"trials": [], "chosen": trial.model_dump()}
        return {str(r): {arm.name: entry for arm in arms} for r in self.experiment.requests}

    def tune(self, arms: Sequence[Arm]) -> dict[str, dict[str, Any]]:
        """Request to arm to its trials and the chosen one."""
        tune = self.experiment.tune
        trials = tune.trials()
        if len(trials) == 1 or not tune.choose:
            return self.fixed(trials[0], arms)
        if tune.across_seeds:
            return self._tune_across_seeds(arms)
        cells = {request: self.validation(request) for request in self.experiment.requests}
        instances = list(dict.fromkeys(cells.values()))
        self.train_references(instances, self.experiment.references[: 2 if self.runner.scored else 1])
        self.run_arms([self.runner.run(c, arm, trial) for c in instances for arm in arms for trial in trials])
        if tune.measure:
            places = [self.runner.reference(c, "original") for c in instances]
            places += [self.runner.run(c, arm, t) for c in instances for arm in arms for t in trials]
            self.observe([p for p in places if not p.failure()], "model", [tune.measure])
        results = {c: {arm.name: [self._result(c, arm, t) for t in trials] for arm in arms} for c in instances}
        if tune.together:
            common = {arm.name: average([results[c][arm.name] for c in instances]) for arm in arms}
            results = dict.fromkeys(instances, common)
        entries = {c: {name: self._chosen(of) for name, of in of_arms.items()} for c, of_arms in results.items()}
        for cell, of_arms in list(entries.items())[: 1 if tune.together else None]:
            for name, entry in of_arms.items():
                chosen = entry["chosen"]
                self.note(f"{cell}: {name}: " + (f"chosen {Trial(**chosen)}" if chosen else "every trial diverged"))
        return {str(request): entries[cell] for request, cell in cells.items()}

    def _tune_across_seeds(self, arms: Sequence[Arm]) -> dict[str, dict[str, Any]]:
        """Every trial at every audited seed; the choice for a seed is that of the other seeds' means.

        With a single seed there is nothing to choose on: the first trial stands, or that of the seed itself (`alone`).
        """
        trials, cells, own = self.experiment.tune.trials(), self.cells(), self.experiment.tune.measure
        runs = [self.runner.run(c, arm, trial) for arm in arms for c in cells for trial in trials]
        self.run_arms(runs)
        if own:
            references = [self.runner.reference(c, name) for c in cells for name in self.experiment.references]
            self.observe([*references, *(p for p in runs if not p.failure())], "model", [own])
        tuning: dict[str, dict[str, Any]] = {}
        for request in self.experiment.requests:
            of_request = [cell for cell in cells if cell.request == request]
            for arm in arms:
                results = {c.seed: [self._result(c, arm, t) for t in trials] for c in of_request}
                entry = self._chosen(average(list(results.values())))
                chosen = {
                    str(seed): self._chosen(average([of for other, of in results.items() if other != seed]))["chosen"]
                    for seed in (results if len(results) > 1 else ())
                }
                if chosen or not self.experiment.tune.alone:
                    entry |= {"by_seed": chosen} if chosen else {"chosen": trials[0].model_dump()}
                tuning.setdefault(str(request), {})[arm.name] = entry
                every = chosen or {"": entry["chosen"]}
                shown = (f"{f'seed {s}: ' if s else ''}{Trial(**t) if t else 'diverged'}" for s, t in every.items())
                self.note(f"{request}: {arm.name}: {'; '.join(shown)}")
        return tuning

    def _result(self, cell: WorldInstance, arm: Arm, trial: Trial) -> TrialResult:
        place, own = self.runner.run(cell, arm, trial), self.experiment.tune.measure
        if place.failure():
            return TrialResult(setting=trial, distance=None, kept=0.0)
        columns = ((MEASURES.get(own, "measure").read if own else None) or columns_of)(place)
        return TrialResult(setting=trial, distance=columns["distance_to_retrained"], kept=columns["retention"] or 0.0)

    def _chosen(self, results: Sequence[TrialResult]) -> dict[str, Any]:
        try:
            best = choose(results, self.experiment.tune.min_retention).setting.model_dump()
        except RunFailed:
            best = None
        return {"trials": [r.model_dump() for r in results], "chosen": best}

    def place(self, cell: WorldInstance, arm: Arm, tuning: Mapping[str, Mapping[str, Any]]) -> ModelPlace | None:
        """The run of an arm with the trial chosen for the request; None where every trial diverged."""
        entry = tuning[str(cell.request)][arm.name]
        chosen = entry.get("by_seed", {}).get(str(cell.seed), entry["chosen"])
        return self.runner.run(cell, arm, Trial(**chosen)) if chosen else None

    def audit(
        self,
        arms: Sequence[Arm],
        cells: Sequence[WorldInstance],
        tuning: Mapping[str, Mapping[str, Any]],
        failed: dict[str, list[str]],
    ) -> dict[str, Cells]:
        """Columns of the references and of every arm, run with its chosen trial; what failed is added to `failed`."""
        runs = {(cell, arm.name): self.place(cell, arm, tuning) for cell in cells for arm in arms}
        self.run_arms([place for place in runs.values() if place])
        tables: dict[str, Cells] = {n: {} for n in (*self.experiment.references, *(arm.name for arm in arms))}

        def put(name: str, cell: WorldInstance, columns: Columns) -> None:
            tables[name].setdefault(str(cell.request), {})[str(cell.seed)] = round_columns(columns)

        for cell in cells:
            for name in self.experiment.references:
                put(name, cell, columns_of(self.runner.reference(cell, name)))
            for arm in arms:
                place = runs[cell, arm.name]
                why = place.failure() if place else "every trial of the tuning diverged"
                put(arm.name, cell, columns_of(place) if place and not why else {})
                if why:
                    failed.setdefault(arm.name, []).append(f"{cell}: {why}")
        return tables

    def memorization(self, cells: Sequence[WorldInstance], tables: Mapping[str, Cells] | None = None) -> dict[str, Any]:
        """Did every reference learn its rows? `taught`: world instance to model to share given exactly.

        Where the experiment names a column for the gate, to that column of `tables`.
        """
        names, gate, column = self.experiment.references, self.experiment.gate, self.experiment.gate_column

        def learnt(cell: WorldInstance, name: str) -> float:
            if column and tables is not None:
                return tables[name][str(cell.request)][str(cell.seed)].get(column) or 0.0
            return float(self.runner.training(cell, name)["share"])

        taught = {str(c): {n: learnt(c, n) for n in names} for c in cells}
        passed = all(share >= gate for of_cell in taught.values() for share in of_cell.values())
        return {"gate": gate, "taught": taught, "passed": passed, **({"column": column} if column else {})}

    def about(self) -> dict[str, Any]:
        """What a reader must know of the run beside its figures."""
        experiment, cells = self.experiment, self.cells()
        return {
            "bench": experiment.name,
            "preset": experiment.preset,
            "seeds": list(self.seeds),
            "domains": self.sizes(experiment.requests),
            "model": experiment.model_about(),
            "batch": experiment.batch,
            "parameters": self.runner.training(cells[0], "original")["parameters"],
            "memorised": self.memorization(cells),
            "validation": experiment.tune.seed,
            "keep": experiment.tune.min_retention,
            "settings": [trial.model_dump() for trial in experiment.tune.trials()],
            "worlds": [request.as_row() for request in experiment.requests],
        }

    def sizes(self, requests: Sequence[Request]) -> dict[str, dict[str, int]]:
        """Request to the sizes of its sets at the first seed."""
        return {str(r): WorldInstance(request=r, seed=self.seeds[0]).sets().summary() for r in requests}

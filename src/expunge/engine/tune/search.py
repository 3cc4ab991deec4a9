"""The search: Optuna proposes settings, rehearsals judge them, the worse half is given up early.

Each trial's proposals depend on the seed and the trials before it alone, and the study is a journal on disk, so a
stopped search goes on where it was. The first trial is what `--recipe auto` would do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.engine.auto_recipe import ModelFacts, auto_recipe
from expunge.engine.recipe import Recipe
from expunge.engine.tune.rehearsal_run import RehearsalStage
from expunge.engine.tune.rehearsal_score import RehearsalScore
from expunge.errors import InputError

RATES = (1 / 8, 3.0)  # of the rate that the rules give, the range that is searched
RETAIN_WEIGHTS = (16.0, 32.0, 64.0, 128.0)
LOOKS = 4  # looks at a trial: after an eighth, a quarter, a half and all of the steps
STARTUP = 4  # trials that are drawn at random


def import_optuna() -> Any:
    """The package, quiet; `InputError` where it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise InputError("tune", "needs the package optuna", "pip install optuna") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


@dataclass(frozen=True)
class TuneProgress:
    """A search as it goes.

    Attributes:
        trial: number of the trial, from 1.
        trials: number of trials.
        done: share of the whole search.
        best: score of the best look so far.
        step: finished steps of the trial.
    """

    trial: int
    trials: int
    done: float
    best: RehearsalScore | None
    step: int


OnTuneProgress = Callable[[TuneProgress], None]


SEARCHED = ("train.layers", "optimizer.lr", "steps", "stop.when", "optimizer.schedule")  # set by a trial or its result


@dataclass(frozen=True)
class SearchSpace:
    """What may be chosen for a model.

    Attributes:
        base: recipe that is changed.
        rates: learning rate that the rules give with each of `layers`.
        layers: settings of `train.layers`, the first one being that of the rules.
        steps: most steps of a rehearsal.
        changes: further changes that every trial makes.
    """

    base: str
    rates: tuple[float, ...]
    layers: tuple[str, ...]
    steps: int
    changes: tuple[str, ...]

    @classmethod
    def of(cls, facts: ModelFacts, forget_rows: int, base: str = "twin", steps: int | None = None) -> SearchSpace:
        """The space around the rules of `auto_recipe` for a model and the rows to forget."""
        if facts.is_small:
            recipe = Recipe.load(base)
            depths = tuple(dict.fromkeys(["all", str(max(1, facts.blocks // 2))]))
            most = steps or recipe.steps
            return cls(base, (recipe.optimizer.lr,) * len(depths), depths, most, ())
        quarter = {c.key: c.value for c in auto_recipe(facts, forget_rows, base=base)}
        depths = tuple(dict.fromkeys([str(quarter["train.layers"]), str(max(1, facts.blocks // 2)), "all"]))
        by_depth = [
            {c.key: c.value for c in auto_recipe(facts, forget_rows, layers=d if d == "all" else int(d), base=base)}
            for d in depths
        ]
        fixed = tuple(f"{key}={value}" for key, value in quarter.items() if key not in SEARCHED)
        rates = tuple(float(rules["optimizer.lr"]) for rules in by_depth)
        return cls(base, rates, depths, steps or int(quarter["steps"]), fixed)

    @property
    def looks(self) -> tuple[int, ...]:
        """Numbers of steps after which a rehearsal is looked at, the last being all."""
        return tuple(dict.fromkeys(max(1, self.steps >> k) for k in reversed(range(LOOKS))))

    @property
    def first(self) -> dict[str, Any]:
        """The parameters of the first trial, those of the rules."""
        weight = Recipe.load(self.base).retain.weight
        nearest = min(RETAIN_WEIGHTS, key=lambda w: abs(w - weight))
        return {"rate": 1.0, "layers": self.layers[0], "retain_weight": nearest}

    def suggest(self, trial: Any) -> dict[str, Any]:
        """The parameters of a trial."""
        return {
            "rate": trial.suggest_float("rate", *RATES, log=True),
            "layers": trial.suggest_categorical("layers", list(self.layers)),
            "retain_weight": trial.suggest_categorical("retain_weight", list(RETAIN_WEIGHTS)),
        }

    def overrides(self, parameters: dict[str, Any]) -> list[str]:
        """Changes of the base recipe for the parameters of a trial."""
        rate = self.rates[self.layers.index(parameters["layers"])] * parameters["rate"]
        return [
            *self.changes,
            f"train.layers={parameters['layers']}",
            f"optimizer.lr={rate:.3g}",
            f"retain.weight={parameters['retain_weight']:g}",
            "optimizer.schedule=constant",
        ]


def open_study(journal: Path, identity: str, seed: int, space: SearchSpace) -> Any:
    """The study in a journal, new or of the same search; trials that were cut off are queued again.

    Raises:
        InputError: the journal holds another search.
    """
    optuna = import_optuna()
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(journal)))
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=space.looks[0], reduction_factor=2)
    study = optuna.create_study(storage=storage, study_name="tune", pruner=pruner, load_if_exists=True)
    known = study.user_attrs.get("identity")
    if known not in (None, identity):
        raise InputError(
            str(journal), "holds the trials of another model, request or seed", "choose another --out, or remove it"
        )
    if known is None:
        study.set_user_attr("identity", identity)
        study.enqueue_trial(space.first)
    for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params)
    return study


def search(
    stage: RehearsalStage,
    space: SearchSpace,
    study: Any,
    trials: int,
    retention: float,
    seed: int,
    on_progress: OnTuneProgress | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> bool:
    """Run trials until the study has `trials` finished ones.

    Args:
        stage: model and records.
        space: what may be chosen.
        study: see `open_study`.
        trials: number of finished trials, complete or given up.
        retention: floor of retention.
        seed: seed of the proposals.
        on_progress: called at every look.
        stopped: true once somebody wants to stop.

    Returns:
        Whether the search is complete; false if it was stopped.
    """
    optuna = import_optuna()
    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    while (number := len(study.get_trials(deepcopy=False, states=states))) < trials:
        study.sampler = optuna.samplers.TPESampler(seed=seed + number, n_startup_trials=STARTUP)
        trial = study.ask()
        outcome = _Trial(stage, space, trial, retention, stopped)

        def report(score: RehearsalScore, number: int = number) -> None:
            if on_progress:
                best = best_look(study.get_trials(deepcopy=False), retention)
                done = (number + score.step / space.steps) / trials
                on_progress(TuneProgress(number + 1, trials, done, best[1] if best else score, score.step))

        outcome.run(report)
        if outcome.is_stopped:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params)
            return False
        state = optuna.trial.TrialState.PRUNED if outcome.is_pruned else optuna.trial.TrialState.COMPLETE
        study.tell(trial, None if outcome.is_pruned else outcome.best, state=state)
    return True


class _EndTrial(Exception):
    """Ends a rehearsal from within."""


class _Trial:
    """One rehearsal with the parameters of an Optuna trial."""

    def __init__(
        self, stage: RehearsalStage, space: SearchSpace, trial: Any, retention: float, stopped: Callable[[], bool]
    ) -> None:
        self._stage, self._space, self._trial, self._retention, self._stopped = stage, space, trial, retention, stopped
        self.scores: list[RehearsalScore] = []
        self.is_pruned = self.is_stopped = False

    @property
    def best(self) -> float:
        return min(s.value(self._retention) for s in self.scores)

    def run(self, on_look: Callable[[RehearsalScore], Any]) -> None:
        started = time.perf_counter()
        parameters = self._space.suggest(self._trial)
        changes = [*self._space.overrides(parameters), f"steps={self._space.steps}"]
        recipe = Recipe.load(self._space.base, [*changes, f"seed={self._stage.seed}"])

        def score(look: RehearsalScore) -> None:
            self.scores.append(look)
            self._trial.set_user_attr("scores", [s.to_dict() for s in self.scores])
            self._trial.set_user_attr("seconds", round(time.perf_counter() - started, 1))
            self._trial.report(self.best, look.step)
            on_look(look)
            self.is_stopped = self._stopped()
            self.is_pruned = look.step < self._space.steps and self._trial.should_prune()
            if self.is_stopped or self.is_pruned:
                raise _EndTrial

        try:
            self._stage.run(recipe, self._space.looks, score)
        except _EndTrial:
            return


def best_look(trials: Sequence[Any], retention: float) -> tuple[Any, RehearsalScore] | None:
    """The trial and its look with the smallest value, of all looks of all trials; the earlier one among equals."""
    looks = [(t, RehearsalScore(**s)) for t in trials for s in t.user_attrs.get("scores", ())]
    return min(looks, key=lambda pair: (pair[1].value(retention), pair[0].number, pair[1].step), default=None)

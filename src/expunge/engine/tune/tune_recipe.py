"""`tune(model, corpus, scope, out)`: a recipe for a request, found on stand-ins; the same call again resumes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from expunge._config import apply_overrides
from expunge._io import digest, write_atomic, write_json
from expunge._printable import pluralize
from expunge.corpus import Corpus
from expunge.engine.auto_recipe import ModelFacts, count_rows
from expunge.engine.interrupt import watch_for_stop
from expunge.engine.recipe import Recipe
from expunge.engine.tune.rehearsal_run import RehearsalStage
from expunge.engine.tune.rehearsal_score import RehearsalScore
from expunge.engine.tune.search import OnTuneProgress, SearchSpace, best_look, import_optuna, open_study, search
from expunge.engine.tune.stand_ins import Rehearsal, rehearse
from expunge.errors import InputError, Interrupted
from expunge.models.adapters import block_stack
from expunge.models.fingerprint import model_digest
from expunge.models.language_model import LanguageModel, load, merge_adapter
from expunge.models.threads import set_threads
from expunge.scope.near_duplicates import NearDuplicateChoice

SLACK = 2  # the bound on steps, in units of those that the best rehearsal took


@dataclass(frozen=True)
class TuneResult:
    """What a search found.

    Attributes:
        recipe: the file that was written.
        changes: what it changes in the shipped recipe.
        best: the look that decided.
        trials: every trial: parameters, state, looks.
        stand_ins: the subjects that were forgotten for practice.
        retained: whether the best look keeps at least the stated retention.
    """

    recipe: Path
    changes: tuple[str, ...]
    best: RehearsalScore
    trials: list[dict[str, Any]]
    stand_ins: tuple[str, ...]
    retained: bool


def tune(
    model: str | Path,
    corpus: Corpus,
    scope: str,
    out: str | Path,
    *,
    base: str = "twin",
    trials: int = 12,
    steps: int | None = None,
    stand_ins: int = 1,
    retention: float = 0.98,
    seed: int = 42,
    near: NearDuplicateChoice = "report",
    template: str = "auto",
    device: str | None = None,
    on_progress: OnTuneProgress | None = None,
) -> TuneResult:
    """Search rate, steps, retain weight and blocks on subjects that nobody asked to forget.

    The records of the target are in no part of the search. Beside `out` stand `<out>.trials.json` (every trial) and
    `<out>.journal` (the study, from which the same call resumes).

    Args:
        model: folder, run directory or hub id; not changed.
        corpus: the records.
        scope: the request, as for `unlearn`.
        out: YAML file for the recipe.
        base: shipped recipe that is changed.
        trials: rehearsals.
        steps: most steps of a rehearsal; None for the bound of the rules.
        stand_ins: how many subjects are forgotten together in a rehearsal.
        retention: least share of held-out answers that must stay.
        seed: seed of stand-ins, samples and proposals.
        near: what happens to records that nearly repeat the target or a stand-in, as for `Scope.resolve`.
        template: prompt template.
        device: torch device.
        on_progress: called at every look.

    Raises:
        InputError: optuna is missing, there are too few other subjects, or `out` belongs to another search.
        Interrupted: after Ctrl-C or SIGTERM; finished trials are kept.
    """
    import_optuna()
    out = Path(out)
    journal = out.with_suffix(".journal")
    check_arguments(out, base, trials, retention)
    rehearsal = rehearse(corpus, scope, stand_ins, seed, near)
    set_threads()
    identity = digest(
        [model_digest(str(model)), rehearsal.split.digest, base, steps, retention, seed, template, rehearsal.subjects]
    )
    with watch_for_stop() as stopped:
        lm = merge_adapter(load(model, template=template, device=device))
        lm.module.eval()
        space = SearchSpace.of(facts_of(lm), count_rows(rehearsal.split.forget), base, steps)
        out.parent.mkdir(parents=True, exist_ok=True)
        study = open_study(journal, identity, seed, space)
        stage = RehearsalStage(lm, rehearsal.split, seed)
        if not search(stage, space, study, trials, retention, seed, on_progress, stopped):
            raise Interrupted(str(journal), "stopped, finished trials kept", "start the same command again to resume")
    return write_result(out, space, study, rehearsal, retention)


def check_arguments(out: Path, base: str, trials: int, retention: float) -> None:
    """`InputError` for what no search can start with."""
    if out.suffix not in (".yaml", ".yml"):
        raise InputError(str(out), "is no name of a recipe", "name a YAML file, for example recipe.yaml")
    if out.is_dir():
        raise InputError(str(out), "is a folder", "name a YAML file in it, for example recipe.yaml")
    if trials < 1:
        raise InputError("--trials", f"is {trials}", "give 1 or more")
    if not 0 <= retention <= 1:
        raise InputError("--retention", f"is {retention}", "give a share from 0 to 1")
    recipe = Recipe.load(base)
    if recipe.phases or recipe.privacy or recipe.resolve().edit or recipe.train.which == "full":
        raise InputError("--recipe", f'"{base}" cannot be tuned', "use a recipe of one phase that trains an adapter")


def facts_of(lm: LanguageModel) -> ModelFacts:
    """Blocks and width of a loaded model."""
    return ModelFacts(block_stack(lm.module)[1], int(lm.module.get_input_embeddings().weight.shape[1]))


def write_result(out: Path, space: SearchSpace, study: Any, rehearsal: Rehearsal, retention: float) -> TuneResult:
    """Write recipe and trials, and say what was found."""
    finished = [t for t in study.get_trials(deepcopy=False) if t.user_attrs.get("scores")]
    best = best_look(finished, retention)
    assert best is not None, "a finished search has a look"
    trial, score = best
    changes = (
        *space.overrides(trial.params),
        f"steps={SLACK * score.step}",
        "stop.when=controls",
        f"stop.check_every={max(1, min(10, score.step // 4))}",
    )
    rows = [
        {
            "trial": t.number + 1,
            "state": t.state.name.lower(),
            "changes": space.overrides(t.params),
            "seconds": t.user_attrs.get("seconds"),
            "looks": [s | {"value": RehearsalScore(**s).value(retention)} for s in t.user_attrs["scores"]],
        }
        for t in finished
    ]
    write_json(
        out.with_suffix(".trials.json"),
        {
            "stand_ins": list(rehearsal.subjects),
            "rehearsed_records": len(rehearsal.split.forget),
            "retention": retention,
            "best": {"trial": trial.number + 1, "value": score.value(retention), **score.to_dict()},
            "trials": rows,
        },
    )
    head = (
        f"# Tuned on {pluralize(len(rehearsal.subjects), 'stand-in')} with "
        f"{pluralize(len(rehearsal.split.forget), 'record')}, "
        f"in {pluralize(len(rows), 'trial')}; the target was not looked at.\n"
        f"# Best after {pluralize(score.step, 'step')}: loss {score.forget:.2f} where controls have "
        f"{score.controls:.2f} nats, rank {score.rank:.2f}, kept {score.retention:.3f}. "
        f"All trials: {out.with_suffix('.trials.json').name}\n"
    )
    keys = {"extends": space.base, **apply_overrides({}, changes)}
    write_atomic(out, head + yaml.safe_dump(keys, sort_keys=False, allow_unicode=True))
    Recipe.load(out)
    return TuneResult(out, changes, score, rows, rehearsal.subjects, score.retention >= retention)

"""Metrics and attacks as detectors: do they tell models that hold the target from others, and do they stay put?

A detector is a number of a model, larger where it looks more like one that holds the target: a metric's mean over the
target's questions, a membership score above that of controls, or the rate of the worst form of an attack. The sides
are those of `meta_checkpoints`, known by how a model was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from false_alarms import innocent
from meta_checkpoints import Checkpoint, CheckpointPlan
from planted_audits import Auditor, cached

from expunge.audit.attack import AttackCase
from expunge.audit.checks.quantization import quantize
from expunge.audit.checks.relearning import RATE, STEPS, recalled, tenth
from expunge.audit.context import CHECKS, mean
from expunge.audit.control_groups import control_groups
from expunge.audit.kind_rates import worst
from expunge.audit.membership_scores import MEMBERSHIP
from expunge.audit.metrics import METRICS
from expunge.audit.policy import default_policy
from expunge.audit.record_sets import drawn
from expunge.audit.scoring import score
from expunge.audit.statistics import auc
from expunge.bench.measures.base import Study, measure
from expunge.bench.places import ModelPlace
from expunge.corpus import Record
from expunge.engine.recipe import Recipe
from expunge.engine.relearning import relearn_steps
from expunge.models.language_model import LanguageModel, load, merge_adapter
from expunge.scope import Scope

CONTROLS = 10  # people behind the membership scores
BENIGN_STEPS, BENIGN_ROWS, BENIGN_RATE = 50, 32, 1e-4
CHANGES = ("paraphrased", "int8", "benign steps")
JUDGED_BY = {"exact_match": "leakage.self", "mcq_acc_cc": "leakage.self", "includes": "leakage.self", "loss": "mia"}
JUDGED_BY |= {"entropy": "mia", "relearning": "relearning.in_domain"}  # detector to the result that rests on it


@dataclass(frozen=True)
class Examiner:
    """Puts every detector to a model.

    Attributes:
        auditor: of the world.
        attacks: names of the attacks.
    """

    auditor: Auditor
    attacks: tuple[str, ...]

    @cached_property
    def controls(self) -> tuple[Record, ...]:
        """Records of some matched controls, with the target's questions."""
        split = self.auditor.grounds["one"].split
        groups = control_groups(split.forget, split.controls, split.targets[0])
        return tuple(r for name in sorted(groups)[:CONTROLS] for r in groups[name])

    def examine(self, folder: Path, paraphrased: bool = False) -> dict[str, float | None]:
        """Detector to its number."""
        ground, lm = self.auditor.grounds["one"], load(folder)
        paths = {"original": ground.original, "retrained": ground.retrained, "unlearned": folder}
        records = tuple(_asked(r, paraphrased) for r in ground.split.forget)
        others = tuple(_asked(r, paraphrased) for r in self.controls)
        case = AttackCase(lm, "unlearned", records, ground.split, 0, lambda role: load(paths[role]))
        values = dict(self._metrics(lm, records, others))
        for name in self.attacks:
            run: Callable[[AttackCase], Any] = CHECKS.get(name).run.__wrapped__  # type: ignore[attr-defined]
            fitting = tuple(r for r in records if not r.options) if name in FREE else records
            values[name] = worst(run(replace(case, records=fitting)).rates)[1]
        values["relearning"] = _relearning(lm, records)
        return {name: round(v, 6) if np.isfinite(v) else None for name, v in values.items()}

    def _metrics(
        self, lm: LanguageModel, records: Sequence[Record], others: Sequence[Record]
    ) -> Iterator[tuple[str, float]]:
        ours, theirs = score(lm, records, options=True, text=True), score(lm, others)
        by_id = {r.row_id: r for r in records}
        for name, one in METRICS:
            try:
                value = one.summary(ours, by_id)
            except (ValueError, KeyError):
                continue  # it reads what was not scored
            yield name, value if one.forgotten == "lower" else -value
        for name, of in MEMBERSHIP.items():
            yield name, float(of(ours, tuple(records)).mean() - of(theirs, tuple(others)).mean())


FREE = ("format_shift", "clue_chain", "in_context", "jailbreak", "prefill", "leak_at_k")  # ask no choices


def _relearning(lm: LanguageModel, records: Sequence[Record]) -> float:
    """What the check `relearning` compares: right answers to untaught facts after ten steps on a tenth of the facts."""
    taught, tested = tenth(records, 0)
    after = relearn_steps(lm, taught, STEPS, RATE)
    return mean(recalled(score(after, tested), {r.row_id: r for r in tested}))


def _asked(record: Record, paraphrased: bool) -> Record:
    """The record, or its first rephrasing in its place."""
    wordings = record.wordings()
    return replace(wordings[1], wording=0, variants=()) if paraphrased and len(wordings) > 1 else record


@measure("meta_evaluation", needs="original", summarize=lambda study: _summarize(study))
def meta_evaluation(place: ModelPlace, lm: LanguageModel) -> dict[str, Any]:
    """Checkpoint to `held`, `group`, `values`, and `changed`: change to the values after it."""
    options = place.options["meta_evaluation"]
    if place.cell.seed not in place.runner.experiment.seeds[: options["worlds"]]:
        return {}
    auditor = Auditor(place, place.base.with_name("planted"))
    folder = place.base.with_name("meta")
    examiner = Examiner(auditor, tuple(options["attacks"]))
    seen = {}
    for k, one in enumerate(_every(place, auditor, options)):
        values = cached(folder / one.name, options["attacks"], lambda one=one: _examine(one, examiner, folder))  # type: ignore[misc]
        seen[one.name] = values | {"held": one.held, "group": one.group, "changed": {}}
        if one.group != "treated" and k // 2 % options["stable_every"] == 0:
            for change in CHANGES:
                stem = folder / f"{one.name}~{change.replace(' ', '-')}"
                make = lambda one=one, change=change: _examine_after(one, change, examiner, folder)  # noqa: E731
                seen[one.name]["changed"][change] = cached(stem, options["attacks"], make)["values"]
    return seen


def _every(place: ModelPlace, auditor: Auditor, options: Mapping[str, Any]) -> Iterator[Checkpoint]:
    experiment, cell = place.runner.experiment, place.cell
    someone = cell.request.build_world(cell.seed).subjects()[1]
    other = Scope.parse(someone).resolve(place.sets.corpus, seed=cell.seed, heldout_share=1 / 3)
    recipes = {name: Recipe.load(arm.recipe, arm.set) for name, arm in experiment.arms.items()}
    ground, second = auditor.grounds["one"], auditor.folder / "second-retrained"
    trials = experiment.tune.trials()
    plan = CheckpointPlan(ground, other, partial(innocent, auditor), second, recipes, trials, experiment.batch)
    wanted = options.get("groups")
    yield from (one for one in plan.checkpoints() if not wanted or one.group in wanted)
    if options.get("treated"):
        yield from plan.treated()


def _examine(one: Checkpoint, examiner: Examiner, folder: Path) -> dict[str, Any]:
    if not (folder / one.name / "config.json").is_file():
        one.make(folder / one.name)
    return {"values": examiner.examine(folder / one.name)}


def _examine_after(one: Checkpoint, change: str, examiner: Examiner, folder: Path) -> dict[str, Any]:
    """The values after a harmless change of the question or of the model."""
    if change == "paraphrased":
        return {"values": examiner.examine(folder / one.name, paraphrased=True)}
    lm, out = load(folder / one.name), folder / f"{one.name}~changed"
    if change == "int8":
        quantize(lm, "int8")
    else:
        rows = drawn(examiner.auditor.grounds["one"].split.retain, BENIGN_ROWS, "benign")
        lm = merge_adapter(relearn_steps(lm, rows, BENIGN_STEPS, BENIGN_RATE))
    lm.save(out)
    return {"values": examiner.examine(out)}


def _summarize(study: Study) -> dict[str, Any]:
    """`meta`: detector to AUC, AUC by way of making and moves by change, the best first; `meta_models`: counts."""
    every: list[Mapping[str, Any]] = []
    for place in study.places():
        if place.name == "original":
            every += (place.observation("meta_evaluation") or {}).values()
    decides = decisive_detectors()
    rows = {name: detector_row(name, every, decides) for name in detectors(every)}
    order = sorted(rows, key=lambda name: (-(rows[name]["auc"] or 0.0), -(rows[name]["least"] or 0.0), name))
    groups = sorted({of["group"] for of in every})
    counts = {
        g: {
            "held": sum(of["held"] for of in every if of["group"] == g) if g != "treated" else None,
            "never": sum(not of["held"] for of in every if of["group"] == g) if g != "treated" else None,
            "models": sum(of["group"] == g for of in every),
            "changed": sum(bool(of["changed"]) for of in every if of["group"] == g),
        }
        for g in groups
    }
    return {"meta": {name: rows[name] for name in order}, "meta_models": counts}


def detectors(every: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of detectors that have a number for every model with a side."""
    sided = [of["values"] for of in every if of["group"] != "treated"]
    return [n for n in (sided[0] if sided else ()) if all(v.get(n) is not None for v in sided)]


def detector_row(name: str, every: Sequence[Mapping[str, Any]], decides: Iterable[str]) -> dict[str, Any]:
    """AUC over all models with a side, in each group, the least of these; and how far harmless changes move it.

    `moves` is the mean absolute change in units of the gap between the means of both sides; `changed_auc` the AUC
    after the changes, all together. `treated_above` is the share of runs on the target that lie above every model
    that never met it.
    """
    sided = [of for of in every if of["group"] != "treated"]
    groups = list(dict.fromkeys(of["group"] for of in sided))
    by_group = {g: _auc(name, [of for of in sided if of["group"] == g]) for g in groups}
    known = [v for v in by_group.values() if v is not None]
    held, never = ([of["values"][name] for of in sided if of["held"] == side] for side in (True, False))
    gap = abs(float(np.mean(held) - np.mean(never))) if held and never else 0.0
    moves: dict[str, float | None] = {}
    after: list[dict[str, Any]] = []
    for change in CHANGES:
        pairs = [
            (of, of["changed"][change][name])
            for of in sided
            if of["changed"].get(change, {}).get(name) is not None
        ]  # fmt: skip
        mean_move = float(np.mean([abs(v - of["values"][name]) for of, v in pairs])) if pairs else None
        moves[change] = mean_move / gap if mean_move is not None and gap > 0 else None
        after += [{"held": of["held"], "values": {name: v}} for of, v in pairs]
    treated = [v for of in every if of["group"] == "treated" and (v := of["values"].get(name)) is not None]
    return {
        "auc": _auc(name, sided),
        "groups": by_group,
        "least": min(known) if known else None,
        "moves": moves,
        "changed_auc": _auc(name, after),
        "treated_above": float(np.mean([v > max(never) for v in treated])) if treated and never else None,
        "decides": "yes" if name in decides else "",
    }


def _auc(name: str, models: Sequence[Mapping[str, Any]]) -> float | None:
    held, never = ([of["values"][name] for of in models if of["held"] == side] for side in (True, False))
    return auc(held, never) if held and never else None


def decisive_detectors() -> set[str]:
    """Detectors on which a required result of the default policies rests."""
    required = {key for policy in (default_policy(True), default_policy(False)) for key in policy.required}
    own = {name for name, check in CHECKS if set(check.keys) & required}
    return own | {name for name, key in JUDGED_BY.items() if key in required}

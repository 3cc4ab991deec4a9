"""The audit: score original, unlearned and retrained model once, run the checks, judge by the policy.

Scores are files addressed by a digest of model and records, so that a second audit of the same models reads them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from expunge._folder import hold_lock
from expunge._io import write_json
from expunge._summary import short_repr
from expunge.audit import preconditions as before
from expunge.audit import run_identity
from expunge.audit.answer_memory import remembered
from expunge.audit.assurance import assurance, is_exact
from expunge.audit.audit_attempts import AuditAttempt, known_attempts, note_attempt, request_digest, write_attempts
from expunge.audit.check_execution import IMAGE_EXAMPLES, ask, image_examples_of, joined_details, judge
from expunge.audit.check_result import CheckResult
from expunge.audit.context import CHECKS, CheckOutput, Role
from expunge.audit.plan import PLAN, AuditPlan, write_plan
from expunge.audit.plan_content import plan_of
from expunge.audit.policy import Policy
from expunge.audit.preparation import AuditPreparation, prepare_audit
from expunge.audit.preset import omitted_results
from expunge.audit.record_sets import FORGET, TEXT
from expunge.audit.schema import NOTICE, ROLES, AuditedModel, AuditFile, Environment, KnownShare, SplitSummary, sealed
from expunge.audit.score_store import ScoreStore
from expunge.audit.scores import Scores
from expunge.audit.stopwatch import Stopwatch
from expunge.audit.subjects import judged_subjects
from expunge.audit.summary import aggregates, distributions, examples, measures
from expunge.audit.time_estimate import Schedule
from expunge.audit.verdict import Verdict, require_intervals, verdict
from expunge.engine.run_directory import environment
from expunge.errors import InputError
from expunge.scope.split import Split

Report = Callable[[str, float], None]


@short_repr("verdict.status", "results", "path")
@dataclass(frozen=True)
class Audit:
    """A finished audit: the content of `audit.json`, and where it was written."""

    file: AuditFile
    path: Path

    @property
    def verdict(self) -> Verdict:
        return self.file.verdict

    @property
    def results(self) -> tuple[CheckResult, ...]:
        return self.file.results

    def __getitem__(self, key: str) -> CheckResult:
        return next(r for r in self.results if r.key == key)


@hold_lock("audit")
def audit(
    original: str | Path,
    unlearned: str | Path,
    split: Split,
    out: str | Path,
    *,
    retrained: str | Path | None = None,
    policy: Policy | None = None,
    data_name: str = "",
    device: str | None = None,
    dtype: str = "auto",
    template: str = "auto",
    scores: str | Path | None = None,
    preset: str = "default",
    on_progress: Callable[[str, float], None] | None = None,
) -> Audit:
    """Audit `unlearned` against `original` and `retrained`, and write `out`/plan.json and `out`/audit.json.

    Args:
        original: Model before unlearning: folder, run directory or hub id.
        unlearned: Run directory or model that must have forgotten.
        split: The record sets.
        out: Folder of the audit; scores of an earlier audit in it are reused.
        retrained: Model that never had the records. Without it, matched controls of the split are the reference.
        policy: The policy, by default the shipped `with-retrained` or, without a retrained model, `controls-only`.
        data_name: File name of the records, for the report.
        device: For example cpu or cuda; None for a GPU if there is one.
        dtype: Precision of the loaded weights; auto is what the run recorded, else as stored.
        template: How a question is put; auto is what the run recorded, else the model's own.
        scores: Folder of score files, for several audits of the same models; by default one in `out`.
        preset: How much is tested: quick, default or full. What the policy requires is tested in any.
        on_progress: Called with a phrase and the share done, 0 to 1.

    Raises:
        InputError: a model or folder that cannot be used, models that cannot be compared, a yardstick that is none, an
            empty forget set, a policy with an unknown rule or one that needs a retrained model. A run that was given
            other records, or that is not as it was left: its files, its weights, or the model that it started from. A
            folder that holds the plan of another audit.
    """
    started, clock, out = time.perf_counter(), Stopwatch(), Path(out)
    report = on_progress or (lambda phrase, done: None)
    made = prepare_audit(
        original, unlearned, split, clock,
        retrained=retrained, policy=policy, device=device, dtype=dtype, template=template, preset=preset,
    )  # fmt: skip
    plan = plan_of(made, data_name)
    is_new = write_plan(plan, out)
    attempt = _attempt(plan)
    earlier = note_attempt(out, attempt)
    store, schedule = ScoreStore.of(out, None if scores is None else Path(scores)), Schedule(plan.time.stages)
    try:
        answers = _ask(made, store, clock, schedule, report)
    except InputError:  # refused before anything is judged, so no attempt
        write_attempts(out, earlier)
        if is_new:
            (out / PLAN).unlink()
        raise
    policy, split = made.policy, made.context.split
    ctx = replace(made.context, scores=MappingProxyType(answers.scores), probes=MappingProxyType(answers.probes))
    contexts = [replace(ctx, against=reference) for reference in made.references]
    outputs: dict[str, CheckOutput] = {}
    for name, one in CHECKS:
        if name not in made.checks:
            outputs[name] = CheckOutput(omitted_results(one.keys, one.profile.preset))
            continue
        report(f"check: {name}", schedule.before(f"check {name}"))
        with clock.stage(f"check {name}"):
            outputs[name] = judge(contexts, one)
    with clock.stage("subjects"):
        results = tuple(r for output in outputs.values() for r in output.results)
        subjects, each = judged_subjects(contexts, made.checks, results)
    results = (*results, each)
    if policy.intervals:
        results = require_intervals(results)
    details, judged = joined_details(outputs), verdict(results, policy)
    note_attempt(out, attempt.model_copy(update={"status": judged.status}))
    exact = is_exact(made.sources["unlearned"], made.sources["original"], (*split.retain, *split.retain_heldout))
    file = sealed(
        AuditFile(
            notice=NOTICE,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            data=data_name,
            split=SplitSummary.model_validate(made.split.summary() | made.split.near_counts()),
            split_digest=made.split.digest,
            training_digest=made.split.training_digest,
            preset=made.preset,
            plan_digest=plan.digest,
            attempts=known_attempts(out, attempt.request),
            policy=policy,
            policy_digest=policy.digest,
            reference=made.references[0],
            assurance=assurance(made.reference, exact),
            known=answers.known,
            yardstick=answers.yardstick,
            control_records={"scored": len(split.controls), "has": len(made.split.controls)},
            models={role: answers.models[role] for role in ROLES if role in answers.models},
            score_files=dict(sorted(store.files.items())),
            verdict=judged,
            results=results,
            subjects=subjects,
            details=details,
            measures=tuple(measures(ctx)),
            aggregates=aggregates(ctx, details.membership),
            distributions=distributions(ctx),
            examples=examples(ctx),
            image_examples=image_examples_of(ctx, made.probes.get(IMAGE_EXAMPLES)),
            left_out=made.left_out,
            not_tested=made.not_tested,
            environment=Environment.model_validate(environment()),
            stages=clock.seconds,
            seconds=round(time.perf_counter() - started, 2),
        )
    )
    path = write_json(out / "audit.json", file.model_dump(mode="json"), private=True)
    report("done", 1.0)
    return Audit(file, path)


@hold_lock("audit")
def plan_audit(
    original: str | Path, unlearned: str | Path, split: Split, out: str | Path, *, data_name: str = "", **options: Any
) -> AuditPlan:
    """Write the plan of an audit and stop; `options` are those of `audit` that choose models, policy and preset.

    Raises:
        InputError: as `audit` before it scores anything.
    """
    plan = plan_of(prepare_audit(original, unlearned, split, Stopwatch(), **options), data_name)
    write_plan(plan, Path(out))
    return plan


def _attempt(plan: AuditPlan) -> AuditAttempt:
    return AuditAttempt(
        request=request_digest(plan.scope, plan.models["original"]),
        unlearned=plan.models["unlearned"],
        plan=plan.digest,
        preset=plan.preset,
        policy=plan.policy,
    )


@dataclass
class _Answers:
    """What all models answered: scores, answers to probes, what they are, and what original and retrained know."""

    scores: dict[Role, Mapping[str, Scores]]
    probes: dict[str, dict[Role, Any]]
    models: dict[Role, AuditedModel]
    known: dict[str, KnownShare]
    yardstick: str = ""


def _ask(made: AuditPreparation, store: ScoreStore, clock: Stopwatch, schedule: Schedule, report: Report) -> _Answers:
    """Score every model and ask it the questions of all checks, one model in memory at a time."""
    sources, sets, records = made.sources, made.sets, made.context.records
    probe_records = [*sets[FORGET].records, *sets[TEXT].records]
    same = before.Comparable.of(made.loaded[0], probe_records)
    answers = _Answers({}, {name: {} for name in made.probes}, {}, {})
    for role in made.roles:
        source = sources[role]
        report(f"score the {role} model", schedule.before(f"load {role}"))
        lm = made.loaded.pop() if made.loaded else made.fresh(role)
        before.check_comparable(role, source, before.Comparable.of(lm, probe_records), same)
        if role == "unlearned":
            run_identity.check_reading(source, made.about, lm, made.whole)
        answers.models[role] = AuditedModel(
            name=Path(source).name, digest=made.digests[role], parameters=lm.parameters, template=lm.template.kind
        )
        with clock.stage(f"score {role}"):
            scores = answers.scores[role] = store.scores(lm, made.digests[role], role, sets)
        if role == "original":
            run_identity.check_original(sources["unlearned"], made.about, source)  # of the hub, known only now
            answers.known = before.check_agreement(source, scores, records, lm)
            for line in before.knowledge_lines(answers.known):
                report(line, schedule.before(f"score {role}"))
        elif role == "retrained":
            original = answers.scores["original"]
            before.check_scores_differ(source, scores, original, "original")
            answers.yardstick = before.check_yardstick(source, original, scores, records, made.policy)
        elif "retrained" in sources:
            before.check_scores_differ(sources["retrained"], answers.scores["retrained"], scores, role)
        for name, probe in made.probes.items():
            report(f"ask the {role} model: {name}", schedule.before(f"probe {name} {role}"))
            with clock.stage(f"probe {name}"):
                answers.probes[name][role] = remembered(made.context, name, role, partial(ask, probe, lm, role, scores))
        del lm
    return answers

"""The audit: score original, unlearned and retrained model once, run the checks, judge by the policy.

Scores are files addressed by a digest of model and records, so that a second audit of the same models reads them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from expunge._folder import hold_lock
from expunge._io import write_json
from expunge._summary import short_repr
from expunge.audit import preconditions as before
from expunge.audit import run_identity
from expunge.audit.assurance import assurance, is_exact
from expunge.audit.check_execution import IMAGE_EXAMPLES, ask, image_examples_of, joined_details, judge, make_probes
from expunge.audit.check_result import CheckResult
from expunge.audit.context import CHECKS, Check, CheckOutput, Context, Role
from expunge.audit.policy import Policy, default_policy
from expunge.audit.preset import find_preset, omitted_results, runs_in
from expunge.audit.record_sets import FORGET, LEAST_REPHRASED, TEXT, limited_controls, record_sets, with_windows
from expunge.audit.schema import NOTICE, ROLES, AuditedModel, AuditFile, Environment, SplitSummary, sealed
from expunge.audit.score_store import ScoreStore
from expunge.audit.scores import Scores
from expunge.audit.stopwatch import Stopwatch
from expunge.audit.summary import aggregates, distributions, examples, measures
from expunge.audit.tokenizer_origin import untested_tokenizer
from expunge.audit.verdict import Verdict, require_intervals, verdict
from expunge.engine.run_directory import environment
from expunge.errors import InputError, unknown
from expunge.models.fingerprint import model_digest
from expunge.models.language_model import LanguageModel, check, load
from expunge.models.source import whole_run
from expunge.models.threads import set_threads
from expunge.scope.split import Split

NOT_TESTED = (
    "quantization (int8, int4)",
    "sampling (leak@k)",
    "prefix and jailbreak prompts",
    "answers in another language, script or code",
    "benign relearning",
    "reference-model membership attacks",
)


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
    """Audit `unlearned` against `original` and `retrained`, and write `out`/audit.json.

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
            other records, or that is not as it was left: its files, its weights, or the model that it started from.
    """
    started, clock, out = time.perf_counter(), Stopwatch(), Path(out)
    policy = (policy or default_policy(retrained is not None)).with_own_name()
    _check_rules(policy)
    size = find_preset(preset)
    checks = {n: c for n, c in CHECKS if runs_in(size, c.profile.preset, c.keys, policy)}
    if policy.needs_retrained and retrained is None:
        raise InputError(f'policy "{policy.name}"', "needs a retrained model", "give one, or use controls-only")
    report = on_progress or (lambda phrase, done: None)
    sources: dict[Role, str] = {"original": whole_run(original), "unlearned": whole_run(unlearned)}
    if retrained is not None:
        sources["retrained"] = whole_run(retrained)
    for source in sources.values():
        check(source)
    before.check_sources(sources)
    if not split.forget:
        raise InputError("forget set", "is empty", "give a scope that matches something")
    about = run_identity.check_run(sources["unlearned"], sources["original"], split)
    set_threads()
    summary = SplitSummary.model_validate(split.summary() | split.near_counts())
    split_digest, training_digest = split.digest, split.training_digest
    loading = run_identity.loading_options(Path(sources["unlearned"]), template=template, dtype=dtype)

    def fresh(role: Role) -> LanguageModel:
        with clock.stage("load"):
            return load(sources[role], device=device, **loading)

    lm = fresh("original")
    whole, split = split, with_windows(_by_id(split), lm.template)
    n_controls = len(split.controls)
    split = limited_controls(split, lm.parameters, policy.matched_controls.work)
    references = _references(policy, retrained is not None)
    rephrased = max(LEAST_REPHRASED, int(policy.matched_controls.work / max(lm.parameters, 1)) // 2)
    sets = record_sets(split, "both" if len(references) > 1 else references[0], rephrased)
    records = {r.row_id: r for group in sets.values() for r in group.records}
    ctx = Context(split, policy, tuple(sources), MappingProxyType(records), load=fresh, parameters=lm.parameters)
    ctx = replace(ctx, against=references[-1])
    probes = make_probes(ctx, checks)
    models: dict[Role, AuditedModel] = {}
    by_role: dict[Role, Mapping[str, Scores]] = {}
    store = ScoreStore.of(out, None if scores is None else Path(scores))
    answers: dict[str, dict[Role, Any]] = {name: {} for name in probes}
    probe_records = [*sets[FORGET].records, *sets[TEXT].records]
    same = before.Comparable.of(lm, probe_records)
    if lm.template.kind == "plain":  # the template is resolved once, from the original
        loading["template"] = "plain"
    known, yardstick = {}, ""
    for k, role in enumerate(r for r in ("original", "retrained", "unlearned") if r in sources):
        report(f"score the {role} model", 0.7 * k / len(sources))
        lm = lm if role == "original" else fresh(role)
        before.check_comparable(role, sources[role], before.Comparable.of(lm, probe_records), same)
        if role == "unlearned":
            run_identity.check_reading(sources[role], about, lm, whole)
        fingerprint = model_digest(sources[role])
        models[role] = AuditedModel(
            name=Path(sources[role]).name, digest=fingerprint, parameters=lm.parameters, template=lm.template.kind
        )
        with clock.stage(f"score {role}"):
            by_role[role] = store.scores(lm, fingerprint, role, sets)
        if role == "original":
            run_identity.check_original(sources["unlearned"], about, sources[role])  # of the hub, known only now
            known = before.check_agreement(sources[role], by_role[role], records, lm)
            for line in before.knowledge_lines(known):
                report(line, 0.7 / len(sources))
        elif role == "retrained":
            before.check_scores_differ(sources[role], by_role[role], by_role["original"], "original")
            yardstick = before.check_yardstick(sources[role], by_role["original"], by_role[role], records, policy)
        elif "retrained" in sources:
            before.check_scores_differ(sources["retrained"], by_role["retrained"], by_role[role], role)
        for place, (name, probe) in enumerate(probes.items()):
            report(f"ask the {role} model: {name}", 0.7 * (k + (place + 1) / (len(probes) + 1)) / len(sources))
            with clock.stage(f"probe {name}"):
                answers[name][role] = ask(probe, lm, role, by_role[role])
        del lm  # one model in memory at a time
    ctx = replace(ctx, scores=MappingProxyType(by_role), probes=MappingProxyType(answers))
    outputs: dict[str, CheckOutput] = {}
    for k, (name, one) in enumerate(CHECKS):
        if name not in checks:
            outputs[name] = CheckOutput(omitted_results(one.keys, one.profile.preset))
            continue
        report(f"check: {name}", 0.7 + 0.3 * k / len(CHECKS.names()))
        with clock.stage(f"check {name}"):
            outputs[name] = judge([replace(ctx, against=reference) for reference in references], one)
    results = tuple(r for output in outputs.values() for r in output.results)
    if policy.intervals:
        results = require_intervals(results)
    details = joined_details(outputs)
    exact = is_exact(sources["unlearned"], sources["original"], (*split.retain, *split.retain_heldout))
    file = sealed(
        AuditFile(
            notice=NOTICE,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            data=data_name,
            split=summary,
            split_digest=split_digest,
            training_digest=training_digest,
            preset=size,
            policy=policy,
            policy_digest=policy.digest,
            reference=references[0],
            assurance=assurance("both" if len(references) > 1 else references[0], exact),
            known=known,
            yardstick=yardstick,
            control_records={"scored": len(split.controls), "has": n_controls},
            models={role: models[role] for role in ROLES if role in models},
            score_files=dict(sorted(store.files.items())),
            verdict=verdict(results, policy),
            results=results,
            details=details,
            measures=tuple(measures(ctx)),
            aggregates=aggregates(ctx, details.membership),
            distributions=distributions(ctx),
            examples=examples(ctx),
            image_examples=image_examples_of(ctx, probes.get(IMAGE_EXAMPLES)),
            not_tested=(*_untested(checks), *untested_tokenizer(sources["original"])),
            environment=Environment.model_validate(environment()),
            stages=clock.seconds,
            seconds=round(time.perf_counter() - started, 2),
        )
    )
    path = write_json(out / "audit.json", file.model_dump(mode="json"), private=True)
    report("done", 1.0)
    return Audit(file, path)


def _untested(checks: Mapping[str, Check]) -> tuple[str, ...]:
    """What this audit does not test: checks that the preset leaves out, and attacks that no check makes."""
    omitted = [one.profile.title or name for name, one in CHECKS if name not in checks]
    return (*omitted, *NOT_TESTED)


def _references(policy: Policy, retrained: bool) -> tuple[Role, ...]:
    """What the unlearned model is compared with, the retrained model first."""
    if policy.reference == "both":
        return "retrained", "controls"
    return ("retrained" if retrained else "controls",) if policy.reference == "auto" else (policy.reference,)


def _check_rules(policy: Policy) -> None:
    """`InputError` for a rule of a result that no check gives."""
    known = {key for _, one in CHECKS for key in one.keys}
    for key in policy.rules:
        if key not in known:
            raise unknown("result", key, known, f'policy "{policy.name}"')


def _by_id(split: Split) -> Split:
    """The split with sorted records, so that the caller's order has no influence on any number."""
    names = ("forget", "retain", "retain_heldout", "holdout", "controls", "shared")
    sets: dict[str, Any] = {name: tuple(sorted(getattr(split, name), key=lambda r: r.id)) for name in names}
    return replace(split, **sets)

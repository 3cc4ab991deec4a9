"""The audit: score original, unlearned and retrained model once, run the checks, judge by the policy.

Scores are files addressed by a digest of model and records, so that a second audit of the same models reads them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

from expunge._io import digest, read_json, write_json
from expunge._summary import short_repr
from expunge.audit.check_result import CheckResult
from expunge.audit.context import CHECKS, Check, CheckOutput, Context, Probe, Role
from expunge.audit.details import Details, ImageExample
from expunge.audit.image_examples import image_example_probe, image_examples
from expunge.audit.policy import Policy
from expunge.audit.schema import AuditedModel, AuditFile, Environment, SplitSummary
from expunge.audit.scores import Scores
from expunge.audit.scoring import score
from expunge.audit.summary import aggregates, distributions, examples, measures
from expunge.audit.verdict import Verdict, verdict
from expunge.corpus import Record
from expunge.engine.run_directory import environment
from expunge.errors import InputError, unknown
from expunge.models.fingerprint import model_digest
from expunge.models.language_model import LanguageModel, check, load
from expunge.models.threads import set_threads
from expunge.scope.split import Split

SCORER = "2"  # changes whenever a scoring pass would give other numbers
IMAGE_EXAMPLES = "image_examples"  # the one probe without a check
NOT_TESTED = (
    "quantization (int8, int4)",
    "sampling (leak@k)",
    "prefix and jailbreak prompts",
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


def audit(
    original: str | Path,
    unlearned: str | Path,
    split: Split,
    out: str | Path,
    *,
    retrained: str | Path | None = None,
    policy: Policy | None = None,
    on_progress: Callable[[str, float], None] | None = None,
) -> Audit:
    """Audit `unlearned` against `original` and `retrained`, and write `out`/audit.json.

    Args:
        original: Model before unlearning: folder, run directory or hub id.
        unlearned: Run directory or model that must have forgotten.
        split: The record sets.
        out: Folder of the audit; scores of an earlier audit in it are reused.
        retrained: Model that never had the records. Without it, matched controls of the split are the reference, and
            checks that need a retrained model are inconclusive.
        policy: The policy, by default the shipped one.
        on_progress: Called with a phrase and the share done, 0 to 1.

    Raises:
        InputError: a model or folder that cannot be used, an empty forget set, or a policy with an unknown rule.
    """
    started, out = time.perf_counter(), Path(out)
    if out.exists() and not out.is_dir():
        raise InputError(str(out), "is a file", "name a folder for the audit")
    policy = policy or Policy.load()
    _check_rules(policy)
    report = on_progress or (lambda phrase, done: None)
    sources: dict[Role, str] = {"original": str(original), "unlearned": str(unlearned)}
    if retrained is not None:
        sources["retrained"] = str(retrained)
    for source in sources.values():
        check(source)
    set_threads()
    split, asked = _by_id(split), template_options(Path(unlearned))
    sets = record_sets(split)
    if not sets["forget"]:
        raise InputError("forget set", "is empty", "give a scope that matches something")
    records = {r.row_id: r for group in sets.values() for r in group}

    def fresh(role: Role) -> LanguageModel:
        return load(sources[role], **asked)

    ctx = Context(split, policy, tuple(sources), MappingProxyType(records), load=fresh)
    probes = _probes(ctx)
    models: dict[Role, AuditedModel] = {}
    scores: dict[Role, Mapping[str, Scores]] = {}
    answers: dict[str, dict[Role, Any]] = {name: {} for name in probes}
    # options of controls are scored only where controls are the reference: they are a third of the work
    with_options = {"forget", "retain_heldout"} | (set() if retrained else {"controls"})
    for k, (role, source) in enumerate(sources.items()):
        report(f"score the {role} model", 0.7 * k / len(sources))
        lm, fingerprint = fresh(role), model_digest(source)
        models[role] = AuditedModel(digest=fingerprint, parameters=lm.parameters, template=lm.template.kind)
        scores[role] = MappingProxyType(
            {
                name: _scored(lm, fingerprint, name, group, name in with_options, out / "scores")
                for name, group in sets.items()
            }
        )
        for name, probe in probes.items():
            answers[name][role] = _answers(probe, lm, role, scores[role])
        del lm  # one model in memory at a time
    ctx = replace(ctx, scores=MappingProxyType(scores), probes=MappingProxyType(answers))
    outputs: dict[str, CheckOutput] = {}
    for k, (name, one) in enumerate(CHECKS):
        report(f"check: {name}", 0.7 + 0.3 * k / len(CHECKS.names()))
        outputs[name] = _guarded(ctx, one)
    results = tuple(r for output in outputs.values() for r in output.results)
    details = _details(outputs)
    file = AuditFile(
        split=SplitSummary.model_validate(split.summary()),
        split_digest=split.digest,
        training_digest=split.training_digest,
        policy=policy,
        policy_digest=policy.digest,
        reference=ctx.reference,
        models=models,
        verdict=verdict(results, policy),
        results=results,
        details=details,
        measures=tuple(measures(ctx)),
        aggregates=aggregates(ctx, details.membership),
        distributions=distributions(ctx),
        examples=examples(ctx),
        image_examples=_image_examples(ctx, probes.get(IMAGE_EXAMPLES)),
        not_tested=NOT_TESTED,
        environment=Environment.model_validate(environment()),
        seconds=round(time.perf_counter() - started, 2),
    )
    path = write_json(out / "audit.json", file.model_dump(mode="json"))
    report("done", 1.0)
    return Audit(file, path)


def record_sets(split: Split) -> dict[str, Sequence[Record]]:
    """The records that every model scores: forget in all wordings, the other sets in their trained wording."""
    return {
        "forget": tuple(w for r in split.forget for w in r.wordings()),
        "retain_heldout": split.retain_heldout,
        "shared": split.shared,
        "holdout": split.holdout,
        "controls": split.controls,
    }


def template_options(unlearned: Path) -> dict[str, Any]:
    """Options of `load`: the prompt template of the run and the day that it writes; all models of an audit use them."""
    run = unlearned / "run.json"
    about = read_json(run) if run.is_file() else {}
    today = date.today().isoformat()
    return {"template": str(about.get("template", "auto")), "template_date": about.get("template_date") or today}


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


def _probes(ctx: Context) -> dict[str, Any]:
    """The probes of all checks; for one that cannot be made, the exception."""
    makers = {name: one.make_probe for name, one in CHECKS if one.make_probe} | {IMAGE_EXAMPLES: image_example_probe}
    probes: dict[str, Any] = {}
    for name, make in makers.items():
        try:
            probes[name] = make(ctx)
        except Exception as error:
            probes[name] = error
    return {name: probe for name, probe in probes.items() if probe is not None}


def _answers(probe: Probe | Exception, lm: LanguageModel, role: Role, scores: Mapping[str, Scores]) -> Any:
    if isinstance(probe, Exception):
        return probe
    try:
        return probe.score(lm, role, scores)
    except Exception as error:
        return error


def _guarded(ctx: Context, one: Check) -> CheckOutput:
    """The output of a check; a failure makes its keys `not_run`, never passed."""
    try:
        return one.run(ctx)
    except Exception as error:
        reason = f"the check failed: {type(error).__name__}: {error}"[:300]
        return CheckOutput([CheckResult(key=key, status="not_run", reason=reason) for key in one.keys])


def _details(outputs: Mapping[str, CheckOutput]) -> Details:
    details = {name: output.details for name, output in outputs.items() if output.details is not None}
    known = {name: part for name, part in details.items() if name in Details.model_fields and name != "plugins"}
    plugins = {name: part.model_dump(mode="json") for name, part in details.items() if name not in known}
    return Details(**known, plugins=plugins)


def _image_examples(ctx: Context, probe: Any) -> tuple[ImageExample, ...]:
    if probe is None:
        return ()
    return image_examples(probe, {role: ctx.probe(IMAGE_EXAMPLES, role) for role in ctx.roles})


def _scored(
    lm: LanguageModel, fingerprint: str, name: str, records: Sequence[Record], options: bool, folder: Path
) -> Scores:
    if not records:
        return score(lm, ())
    key = digest([SCORER, fingerprint, lm.template.digest, name, options, [r.content() for r in records]])
    path = folder / f"{key}.npz"
    if path.is_file():
        return Scores.load(path)
    scores = score(lm, records, options=options, text=name == "forget")
    scores.save(path)
    return scores

"""What an audit is about to do, before any model is asked anything: record sets, checks, questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from expunge._io import digest
from expunge._summary import short_repr
from expunge.audit import run_identity
from expunge.audit.check_execution import make_probes
from expunge.audit.context import CHECKS, Check, Context, Role
from expunge.audit.policy import Policy, default_policy
from expunge.audit.preconditions import check_sources
from expunge.audit.preset import Preset, find_preset, runs_in
from expunge.audit.record_sets import LEAST_REPHRASED, RecordSet, limited_controls, record_sets, with_windows
from expunge.audit.stopwatch import Stopwatch
from expunge.audit.subject_rows import KEY as SUBJECTS
from expunge.audit.tokenizer_origin import untested_tokenizer
from expunge.errors import InputError, unknown
from expunge.models.fingerprint import check_result, model_digest
from expunge.models.language_model import LanguageModel, check, load
from expunge.models.run_file import RUN
from expunge.models.source import whole_run
from expunge.models.threads import set_threads
from expunge.scope.split import Split

ORDER: tuple[Role, ...] = ("original", "retrained", "unlearned")  # in which the models are asked
NOT_MADE = (  # attacks that no check makes
    "answers in another script, in code or in a cipher",
    "training on more than a tenth of the forgotten facts, or for more than 1,000 steps",
    "knowledge in hidden states at positions of the question",
)


@short_repr("roles", "policy.name", "preset")
@dataclass(frozen=True)
class AuditPreparation:
    """An audit before its first question.

    Attributes:
        sources: Where each model lies.
        about: What the unlearned run says of itself.
        split: The record sets of the scope, as they were given.
        whole: The same in the order of ids, long documents cut into windows.
        policy: The policy that judges.
        preset: How much is tested.
        checks: The checks that run.
        references: What the unlearned model is compared with, the retrained model first.
        sets: Record sets that are scored.
        context: The audit without scores.
        probes: The questions of the checks; for one that could not be made, the exception.
        loaded: The original model, until it is taken out, since one model at a time shall be in memory.
        fresh: Loads a model of a role.
        digests: SHA-256 of each model.
        reading: How all models are loaded.
    """

    sources: Mapping[Role, str]
    about: dict[str, Any] = field(repr=False)
    split: Split
    whole: Split
    policy: Policy
    preset: Preset
    checks: Mapping[str, Check]
    references: tuple[Role, ...]
    sets: Mapping[str, RecordSet]
    context: Context
    probes: Mapping[str, Any]
    loaded: list[LanguageModel] = field(repr=False)
    fresh: Callable[[Role], LanguageModel]
    digests: Mapping[Role, str]
    reading: dict[str, Any]

    @property
    def roles(self) -> tuple[Role, ...]:
        """The models in the order in which they are asked."""
        return tuple(role for role in ORDER if role in self.sources)

    @property
    def reference(self) -> Role:
        """`retrained`, `controls` or `both`."""
        return "both" if len(self.references) > 1 else self.references[0]

    @property
    def left_out(self) -> tuple[str, ...]:
        """Checks that the preset leaves out, by what they would show."""
        return tuple(one.profile.title or name for name, one in CHECKS if name not in self.checks)

    @property
    def not_tested(self) -> tuple[str, ...]:
        """What this audit does not test: what the preset leaves out, and what no check does."""
        return (*self.left_out, *NOT_MADE, *untested_tokenizer(self.sources["original"]))


def prepare_audit(
    original: str | Path,
    unlearned: str | Path,
    split: Split,
    clock: Stopwatch,
    *,
    retrained: str | Path | None = None,
    policy: Policy | None = None,
    device: str | None = None,
    dtype: str = "auto",
    template: str = "auto",
    preset: str = "default",
) -> AuditPreparation:
    """Check what is given, load the original model, and choose what is asked; the arguments are those of `audit`."""
    policy = (policy or default_policy(retrained is not None)).with_own_name()
    _check_rules(policy)
    size = find_preset(preset)
    checks = {n: c for n, c in CHECKS if runs_in(size, c.profile.preset, c.keys, policy)}
    if policy.needs_retrained and retrained is None:
        raise InputError(f'policy "{policy.name}"', "needs a retrained model", "give one, or use controls-only")
    sources: dict[Role, str] = {"original": whole_run(original), "unlearned": whole_run(unlearned)}
    if retrained is not None:
        sources["retrained"] = whole_run(retrained)
    for source in sources.values():
        check(source)
    check_sources(sources)
    if not split.forget:
        raise InputError("forget set", "is empty", "give a scope that matches something")
    about = run_identity.check_run(sources["unlearned"], sources["original"], split)
    run = Path(sources["unlearned"]).expanduser()
    if (run / RUN).is_file():
        check_result(run)  # before the plan names its digest
    set_threads()
    reading = run_identity.loading_options(Path(sources["unlearned"]), template=template, dtype=dtype)

    def fresh(role: Role) -> LanguageModel:
        with clock.stage("load"):
            return load(sources[role], device=device, **reading)

    lm = fresh("original")
    whole = with_windows(_by_id(split), lm.template)
    smaller = limited_controls(whole, lm.parameters, policy.matched_controls.work)
    references = _references(policy, retrained is not None)
    rephrased = max(LEAST_REPHRASED, int(policy.matched_controls.work / max(lm.parameters, 1)) // 2)
    sets = record_sets(smaller, "both" if len(references) > 1 else references[0], rephrased)
    records = {r.row_id: r for group in sets.values() for r in group.records}
    ctx = Context(smaller, policy, tuple(sources), MappingProxyType(records), load=fresh, parameters=lm.parameters)
    ctx = replace(ctx, against=references[-1])
    probes = make_probes(ctx, checks)
    if lm.template.kind == "plain":  # the template is resolved once, from the original
        reading["template"] = "plain"
    digests = {role: _digest(source, role, fresh) for role, source in sources.items()}
    read = sorted((name, str(value)) for name, value in (reading | {"device": device}).items())
    ctx = replace(ctx, identities=MappingProxyType({role: digest([d, read]) for role, d in digests.items()}))
    return AuditPreparation(
        sources, about, split, whole, policy, size, checks, references, sets, ctx, probes, [lm], fresh, digests, reading
    )


def _digest(source: str, role: Role, fresh: Callable[[Role], LanguageModel]) -> str:
    """SHA-256 of a model; one of the hub that is not there yet is loaded for it."""
    known = model_digest(source)
    if known == source:
        fresh(role)
        known = model_digest(source)
    return known


def _references(policy: Policy, retrained: bool) -> tuple[Role, ...]:
    """What the unlearned model is compared with, the retrained model first."""
    if policy.reference == "both":
        return "retrained", "controls"
    return ("retrained" if retrained else "controls",) if policy.reference == "auto" else (policy.reference,)


def _check_rules(policy: Policy) -> None:
    """`InputError` for a rule of a result that no check gives."""
    known = {SUBJECTS} | {key for _, one in CHECKS for key in one.keys}
    for key in policy.rules:
        if key not in known:
            raise unknown("result", key, known, f'policy "{policy.name}"')


def _by_id(split: Split) -> Split:
    """The split with sorted records, so that the caller's order has no influence on any number."""
    names = ("forget", "retain", "retain_heldout", "holdout", "controls", "shared")
    sets: dict[str, Any] = {name: tuple(sorted(getattr(split, name), key=lambda r: r.id)) for name in names}
    return replace(split, **sets)

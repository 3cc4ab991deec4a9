"""Checks of an audit, carried out: their questions made, asked of a model, and judged.

Whatever a check raises makes its keys `not_run`; nothing that fails passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from expunge.audit.attack_details import AttackDetails
from expunge.audit.check_result import CheckResult
from expunge.audit.context import Check, CheckOutput, Context, Probe, Role
from expunge.audit.details import Details, ImageExample
from expunge.audit.hit_bounds import with_hit_bounds
from expunge.audit.image_examples import image_example_probe, image_examples
from expunge.audit.scores import Scores
from expunge.audit.verdict import worse_of
from expunge.models.language_model import LanguageModel

IMAGE_EXAMPLES = "image_examples"  # the one probe without a check
GROUPS = ("attacks", "plugins")  # parts of the details that hold those of many checks


def make_probes(ctx: Context, checks: Mapping[str, Check]) -> dict[str, Any]:
    """The probes of these checks; for one that cannot be made, the exception."""
    makers = {name: one.make_probe for name, one in checks.items() if one.make_probe} | {
        IMAGE_EXAMPLES: image_example_probe
    }
    probes: dict[str, Any] = {}
    for name, make in makers.items():
        try:
            probes[name] = make(ctx)
        except Exception as error:
            probes[name] = error
    return {name: probe for name, probe in probes.items() if probe is not None}


def ask(probe: Probe | Exception, lm: LanguageModel, role: Role, scores: Mapping[str, Scores]) -> Any:
    """What a model answers to a probe, or the exception that it raised."""
    if isinstance(probe, Exception):
        return probe
    try:
        return probe.score(lm, role, scores)
    except Exception as error:
        return error


def judge(contexts: Sequence[Context], one: Check) -> CheckOutput:
    """The output of a check; against several references, the worse result of each key."""
    first, *more = (_guarded(ctx, one) for ctx in contexts)
    for output, ctx in zip(more, contexts[1:], strict=True):
        first = CheckOutput(worse_of(first.results, output.results, ctx.reference), first.details)
    return first


def _guarded(ctx: Context, one: Check) -> CheckOutput:
    """The output of a check; a failure makes its keys `not_run`, never passed."""
    try:
        return with_hit_bounds(ctx, one.run(ctx))
    except Exception as error:
        reason = f"the check failed: {type(error).__name__}: {error}"[:300]
        return CheckOutput([CheckResult(key=key, status="not_run", reason=reason) for key in one.keys])


def joined_details(outputs: Mapping[str, CheckOutput]) -> Details:
    """The details of all checks, those of attacks and of plug-ins in groups of their own."""
    details = {name: output.details for name, output in outputs.items() if output.details is not None}
    attacks = {name: part for name, part in details.items() if isinstance(part, AttackDetails)}
    known = {name: part for name, part in details.items() if name in Details.model_fields and name not in GROUPS}
    plugins = {n: part.model_dump(mode="json") for n, part in details.items() if n not in known and n not in attacks}
    return Details(**known, attacks=attacks, plugins=plugins)


def image_examples_of(ctx: Context, probe: Any) -> tuple[ImageExample, ...]:
    """Questions with images and the models' answers; () where nothing was asked."""
    if probe is None:
        return ()
    return image_examples(probe, {role: ctx.probe(IMAGE_EXAMPLES, role) for role in ctx.roles})

"""One attack on the models of a `Case`, without an audit around it."""

from __future__ import annotations

from dataclasses import replace

from expunge.audit.attack import AttackCase
from expunge.audit.check_result import CheckResult
from expunge.audit.context import CHECKS, Context
from expunge.audit.details import AttackDetails
from expunge.audit.policy import default_policy
from expunge.models.language_model import load
from helpers.audited import Case


def attack_context(case: Case, unlearned: str, retrained: str | None = "retrained") -> Context:
    """The context of an audit of the model `unlearned`, without scores."""
    names = {"original": "original", "unlearned": unlearned} | ({"retrained": retrained} if retrained else {})
    records = {r.row_id: r for r in (*case.split.forget, *case.split.controls)}
    return Context(
        case.split,
        default_policy(retrained is not None),
        tuple(names),
        records,
        load=lambda role: load(case.root / names[role]),
        against="retrained" if retrained else "controls",
    )


def attacked(
    case: Case, name: str, unlearned: str, retrained: str | None = "retrained"
) -> tuple[CheckResult, AttackDetails]:
    """Result and details of the attack `name`."""
    ctx, check = attack_context(case, unlearned, retrained), CHECKS.get(name)
    assert check.make_probe is not None
    probe = check.make_probe(ctx)
    assert probe is not None
    answers = {role: probe.score(ctx.fresh(role), role, {}) for role in ctx.roles}
    output = check.run(replace(ctx, probes={name: answers}))
    assert isinstance(output.details, AttackDetails)
    return output.results[0], output.details


def attack_case(case: Case, model: str, *, is_control: bool = False) -> AttackCase:
    """The target's records, or those of its controls, to be asked of a model."""
    records = tuple(case.split.controls if is_control else case.split.forget)
    lm = load(case.root / model)
    return AttackCase(lm, "unlearned", records, case.split, 0, lambda role: load(case.root / model), is_control)

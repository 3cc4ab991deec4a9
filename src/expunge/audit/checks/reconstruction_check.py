"""Reconstruction: told where somebody stands in the tree, piece by piece, does the model give the answers back?

The true answer stands among up to nineteen of its type; the same is asked with a stranger's place and with neutral
words, and of the retrained model. Without one, controls are asked on the unlearned model.
"""

from __future__ import annotations

from collections.abc import Iterator

from expunge.audit.check_result import CheckResult, Control, JudgedRule, ReferenceValue, bounds
from expunge.audit.context import Context, check
from expunge.audit.reconstruction import Comparison, Reconstruction, TooFew, compare, prepare, reconstruct
from expunge.corpus import Record
from expunge.scope.split import Split

KEY = "reconstruction"
CONTROLS = 8  # controls of each subject that are asked where there is no retrained model


@check("reconstruction", KEY)
def reconstruction(ctx: Context) -> Iterator[CheckResult]:
    """True answers named first among others of their type, with context that grows level by level."""
    if not any(len(r.path) > 1 for r in ctx.split.forget):
        yield CheckResult(key=KEY, status="not_applicable", reason="the records stand in no tree of two levels or more")
        return
    seed = ctx.policy.attack_seeds[0]
    try:
        setup = prepare(ctx.split, seed=seed)
    except TooFew as short:
        yield CheckResult(key=KEY, status="inconclusive", reason=short.what)
        return
    results: dict[str, Reconstruction] = {}
    for role in ctx.roles:
        lm = ctx.load(role)
        results[role] = reconstruct(lm, setup)
        if role == "unlearned" and ctx.reference == "controls" and (controls := controls_of(ctx.split)):
            results["controls"] = reconstruct(lm, prepare(ctx.split, controls, seed=seed))
    margin = ctx.margin(KEY, 0.05)
    found = compare(results, ctx.policy.bootstrap, margin=margin, known_margin=ctx.policy.known_margin)
    ctx.notes["reconstruction"] = found.as_json()
    yield entry(found, margin, seed)


def controls_of(split: Split) -> list[Record]:
    """Records of a few controls of each subject."""
    names: dict[str, dict[str, None]] = {}
    for r in sorted(split.controls, key=lambda r: r.subject):
        names.setdefault(r.attributes["control_of"], {})[r.subject] = None
    wanted = {name for found in names.values() for name in list(found)[:CONTROLS]}
    return [r for r in split.controls if r.subject in wanted]


def entry(found: Comparison, margin: float, seed: int) -> CheckResult:
    """The worst part decides; first places at every level, and leads over the wrong branch, stand as controls."""
    controls = tuple(
        Control(key=f"{r.model}.{found.levels[r.level]}.{name}", estimate=v.estimate, ci=bounds(v))
        for r in found.rows
        if r.vector == "true"
        for name, v in r.scores.items()
        if name in ("top1", "rank", "true - wrong branch")
    )
    if found.worst is None:
        return CheckResult(key=KEY, status=found.status, reason=found.reason, controls=controls, seed=seed)
    theirs = found.row(found.worst.level, found.reference, found.worst.vector)
    name = "true - wrong branch" if found.worst.what == "lead" else "top1"
    reference = ReferenceValue(role=found.reference, estimate=theirs.scores[name].estimate if theirs else None)
    return CheckResult.measured(
        KEY,
        found.status,
        found.worst.excess,
        found.reason,
        reference=reference,
        controls=controls,
        rule=JudgedRule(id="excess", margin=margin),
        power=found.power,
        seed=seed,
    )

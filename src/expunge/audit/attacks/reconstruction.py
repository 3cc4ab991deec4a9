"""Reconstruction: told where somebody stands in the tree, piece by piece, does the model give the answers back?

The true answer stands among up to nineteen of its type; the same is asked with a stranger's place and with neutral
words, and of the retrained model. Without one, twins are asked on the unlearned model.
"""

from __future__ import annotations

from collections.abc import Iterator

from expunge.audit.context import Context, attack
from expunge.audit.entry import Control, Entry, Reference, Rule, bounds
from expunge.audit.reconstruction import Comparison, Reconstruction, TooFew, compare, prepare, reconstruct
from expunge.corpus import Record
from expunge.scope.split import Split

KEY = "reconstruction"
TWINS = 8  # twins of each subject that are asked where there is no retrained model


@attack("reconstruction", KEY)
def reconstruction(ctx: Context) -> Iterator[Entry]:
    """True answers named first among others of their type, with context that grows level by level."""
    if not any(len(r.path) > 1 for r in ctx.split.forget):
        yield Entry(key=KEY, status="not_applicable", reason="the records stand in no tree of two levels or more")
        return
    seed = ctx.policy.attack_seeds[0]
    try:
        setup = prepare(ctx.split, seed=seed)
    except TooFew as short:
        yield Entry(key=KEY, status="inconclusive", reason=short.what)
        return
    results: dict[str, Reconstruction] = {}
    for role in ctx.roles:
        lm = ctx.load(role)
        results[role] = reconstruct(lm, setup)
        if role == "unlearned" and ctx.reference == "twins" and (twins := twins_of(ctx.split)):
            results["twins"] = reconstruct(lm, prepare(ctx.split, twins, seed=seed))
    margin = ctx.margin(KEY, 0.05)
    found = compare(results, ctx.policy.bootstrap, margin=margin, known_margin=ctx.policy.known_margin)
    ctx.notes["reconstruction"] = found.as_json()
    yield entry(found, margin, seed)


def twins_of(split: Split) -> list[Record]:
    """Records of a few twins of each subject."""
    names: dict[str, dict[str, None]] = {}
    for r in sorted(split.twins, key=lambda r: r.subject):
        names.setdefault(r.attributes["twin_of"], {})[r.subject] = None
    wanted = {name for found in names.values() for name in list(found)[:TWINS]}
    return [r for r in split.twins if r.subject in wanted]


def entry(found: Comparison, margin: float, seed: int) -> Entry:
    """The worst part decides; first places at every level, and leads over the wrong branch, stand as controls."""
    controls = tuple(Control(key=f"{r.model}.{found.levels[r.level]}.{name}", estimate=v.estimate, ci=bounds(v))
                     for r in found.rows if r.vector == "true" for name, v in r.scores.items()
                     if name in ("top1", "rank", "true - wrong branch"))
    if found.worst is None:
        return Entry(key=KEY, status=found.status, reason=found.reason, controls=controls, seed=seed)
    theirs = found.row(found.worst.level, found.reference, found.worst.vector)
    name = "true - wrong branch" if found.worst.what == "lead" else "top1"
    reference = Reference(role=found.reference, estimate=theirs.scores[name].estimate if theirs else None)
    return Entry.measured(KEY, found.status, found.worst.excess, found.reason, reference=reference, controls=controls,
                          rule=Rule(id="excess", margin=margin), power=found.power, seed=seed)

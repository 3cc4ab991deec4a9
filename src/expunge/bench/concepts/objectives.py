"""What `which-objective` compares and asks: its rows, its requests, and columns beside the retrained model.

Rows that no preset has can be asked for with `--rows`: `simnpo-kept` is SimNPO with the retain term of `twin`.
Surprising: "studies" are four, each of another patient: the facts of a single one are too few to tell anything by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from expunge.audit.metrics.answer_prob import probability
from expunge.audit.metrics.exact_match import matches
from expunge.bench.concepts import people as lume
from expunge.bench.concepts.cell import Domain, Sets
from expunge.bench.concepts.measure import Scored
from expunge.bench.concepts.rows import Row

Columns = dict[str, float | None]
WIDE = ("train.rank=16", "train.lora_alpha=32")  # as many trained numbers for every row as `twin` has
KEPT = ("retain.loss=logit", "retain.weight=4", "retain.anchors=true", "retain.balance=true")
BARE = ("settings.token_weights=none", "settings.alpha={L1: 0, L2: 0, L3: 0, L4: 0}")  # of `dual`: the loss alone
INSIDE = (
    "method=dual",
    "settings.loss=twin",
    "settings.twin.floor_weight=1.5",
    "settings.twin.ceiling_weight=1.5",
    "settings.twin.reverse=1",
    "settings.twin.candidates=8",
    "settings.twin.null_candidates=1",
)  # `twin` in `dual`
PROJECTED = ("settings.token_weights=none", "settings.alpha={L1: 1, L2: 1, L3: 1, L4: 1}")
LAST = {
    "half": ("train.layers=2", "train.rank=32", "train.lora_alpha=64"),
    "quarter": ("train.layers=1", "train.rank=64", "train.lora_alpha=128"),
}  # of four blocks, with equal numbers


def _row(name: str, recipe: str, *sets: str, first: str = "") -> Row:
    return Row(name=name, recipe=recipe, sets=(*WIDE, *sets), first=first)


ROWS = {
    row.name: row
    for row in (
        _row("grad_diff-clipped", "dual-npo", "settings.loss=ga_clip", *BARE),
        _row("npo", "npo"),
        _row("simnpo", "simnpo"),
        _row("ihl", "ihl"),
        _row("kl_min", "kl_min"),
        _row("relabel-uniform", "random_relabel"),
        _row("relabel-sampled", "random_relabel", "settings.renew=false"),
        _row("simnpo-kept", "simnpo", *KEPT),
        _row("dual-npo", "dual-npo"),
        _row("record-stop", "twin", "settings.distil=0", "settings.ceiling_weight=0"),
        _row("two-stage", "twin", first="simnpo"),
        _row("twin-kl", "twin-kl"),
        _row("twin", "twin"),
        _row("twin-dual", "twin", *INSIDE),
        _row("twin-projected", "twin", *INSIDE, *PROJECTED),
        _row("twin-by-fact", "twin", "settings.identity=fact"),
        _row("twin-any-answer", "twin", "settings.floors=type"),
        _row("twin-floor-only", "twin", "settings.ceiling_weight=0"),
        _row("twin-one-way", "twin", "settings.reverse=0"),
        _row("twin-kl-kept", "twin", "retain.loss=kl", "retain.weight=16"),
        _row("twin-logit", "twin-logit"),
        *(_row(f"{name}-last-{part}", name, *sets) for part, sets in LAST.items() for name in ("simnpo", "twin")),
    )
}
AS = {f"{name}-last-{part}": name for part in LAST for name in ("simnpo", "twin")} | dict.fromkeys(
    ("twin-projected", "twin-by-fact", "twin-any-answer", "twin-floor-only", "twin-one-way", "twin-kl-kept"), "twin"
)  # whose setting a row takes
TARGETS = {
    "patient": "patient:P-0001-002",
    "institution": "institution:H-0003",
    "studies": "study:S-0001-001-1 or study:S-0002-002-1 or study:S-0003-003-2 or study:S-0004-004-2",
}

EXCESS = {
    "exact_excess": "leak_mean",
    "choice_excess": "choice_cc",
    "relearn_excess": "relearned",
    "benign_excess": "relearned_benign",
    "int4_excess": "int4",
}  # value - that of the retrained model
GAPS = {"auc_gap": "auc", "entropy_gap": "auc_entropy"}  # |value - that of the retrained model|
KINSHIP = ("retention_siblings", "retention_L12")
MORE = (*EXCESS, *GAPS, *KINSHIP, "relearned", "relearned_benign", "int4", "cost")


def hospital(request: str, overlap: float, **settings: int) -> Domain:
    """One request to a hospital; `overlap`: share of values that come from pools common to all institutions."""
    return Domain(
        world="hospital",
        preset="default",
        settings={**settings, "overlap": overlap},
        target=TARGETS[request],
        division="relations",
        label=f"{request}, overlap {overlap:g}",
    )


def concepts(world: str, overlap: float, **settings: int) -> Domain:
    """A class of concepts; `overlap`: of its names and values with those of what stays."""
    return Domain(
        world=world, preset="small", settings={**settings, "overlap": overlap}, label=f"{world}, overlap {overlap:g}"
    )


def people(data: Path, **settings: int) -> Domain:
    """Some people of LUME's second task, in the folder `data`."""
    return Domain(world=lume.NAME, settings=settings, division="relations", label="people of LUME", data=data)


def beside(own: Mapping[str, float | None], retrained: Mapping[str, float | None]) -> Columns:
    """Columns that compare a model with the retrained one of its cell; None where either has no value."""

    def apart(name: str) -> float | None:
        mine, theirs = own.get(name), retrained.get(name)
        return None if mine is None or theirs is None else mine - theirs

    found = {column: apart(name) for column, name in EXCESS.items()}
    return found | {column: None if (gap := apart(name)) is None else abs(gap) for column, name in GAPS.items()}


def by_kinship(found: Scored, original: Scored, sets: Sets) -> Columns:
    """Retention of the target's siblings, and of fundamentals and general knowledge (L1 and L2) together.

    After over before, the smaller of exact answers and answer probability; None where there is nothing of the kind.
    """
    records = tuple(sets.retain_heldout)
    kin = np.array([sets.split.relation.get(r.id) == "siblings" for r in records], dtype=bool)
    common = np.array([r.concept in ("L1", "L2") for r in records], dtype=bool)
    pairs = [
        (f(found.retain_heldout), f(original.retain_heldout))
        for f in (lambda scores: matches(scores, records).astype(float), probability)
    ]
    return {"retention_siblings": _kept(pairs, kin), "retention_L12": _kept(pairs, common)}


def _kept(pairs: Sequence[tuple[np.ndarray, np.ndarray]], mine: np.ndarray) -> float | None:
    if not mine.any() or any(before[mine].sum() <= 0 for _, before in pairs):
        return None
    return min(float(after[mine].sum() / before[mine].sum()) for after, before in pairs)

"""What `which-objective` compares and asks: its rows, its requests, and columns beside the retrained model.

Surprising: two baselines stand there twice, with their own retain term and with that of `twin-logit`. Otherwise what is
owed to the way of keeping would be credited to the way of forgetting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from expunge.audit.metrics.answer_prob import probability
from expunge.audit.metrics.exact_match import matches
from expunge.bench.concepts.cell import Domain, Sets
from expunge.bench.concepts.measure import Scored
from expunge.bench.concepts.rows import Row

Columns = dict[str, float | None]
KEPT_LOGITS = ("retain.loss=logit", "retain.weight=4", "retain.balance=true", "train.drop_blocks=0.25")
AROUND = ("method=dual", "settings.loss=twin", "settings.twin.lam_h=1.5", "settings.twin.candidates=8",
          "settings.twin.strangers=1")  # `twin-logit` inside the dual strategy
BARE = ("settings.token_weights=none", "settings.alpha={L1: 0, L2: 0, L3: 0, L4: 0}")  # of `dual`: the loss alone
PROJECTED = ("settings.token_weights=none", "settings.alpha={L1: 1, L2: 1, L3: 1, L4: 1}")
ROWS = {row.name: row for row in (
    Row(name="grad_diff-clipped", recipe="dual-npo", sets=("settings.loss=ga_clip", *BARE)),
    Row(name="npo", recipe="npo"),
    Row(name="simnpo", recipe="simnpo"),
    Row(name="ihl", recipe="ihl"),
    Row(name="kl_min", recipe="kl_min"),
    Row(name="random_relabel", recipe="random_relabel"),
    Row(name="npo-logit", recipe="npo", sets=KEPT_LOGITS),
    Row(name="simnpo-logit", recipe="simnpo", sets=KEPT_LOGITS),
    Row(name="twin", recipe="twin"),
    Row(name="twin-logit", recipe="twin-logit"),
    Row(name="dual", recipe="dual"),
    Row(name="dual-logit", recipe="twin-logit", sets=AROUND),
    Row(name="twin-logit-projected", recipe="twin-logit", sets=(*AROUND, *PROJECTED)),
    Row(name="twin-logit-whole", recipe="twin-logit", sets=("train.drop_blocks=0",)),
    Row(name="twin-logit-plain", recipe="twin-logit", sets=("retain.balance=false",)))}
TARGETS = {"patient": "patient:P-0001-002", "study": "study:S-0002-002-1", "institution": "institution:H-0003"}

EXCESS = {"exact_excess": "leak_mean", "choice_excess": "choice_cc", "relearn_excess": "relearned",
          "benign_excess": "relearned_benign", "int4_excess": "int4"}  # value - that of the retrained model
GAPS = {"auc_gap": "auc", "entropy_gap": "auc_entropy"}  # |value - that of the retrained model|
KINSHIP = ("retention_siblings", "retention_L12")
MORE = (*EXCESS, *GAPS, *KINSHIP, "relearned", "relearned_benign", "int4", "cost")


def hospital(request: str, overlap: float, **settings: int) -> Domain:
    """One request to a hospital; `overlap`: share of values that come from pools common to all institutions."""
    return Domain(world="hospital", preset="default", settings={**settings, "overlap": overlap},
                  target=TARGETS[request], division="relations", label=f"{request}, overlap {overlap:g}")


def concepts(world: str, overlap: float, **settings: int) -> Domain:
    """A class of concepts; `overlap`: of its names and values with those of what stays."""
    return Domain(world=world, preset="small", settings={**settings, "overlap": overlap},
                  label=f"{world}, overlap {overlap:g}")


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
    records = tuple(sets.untouched)
    kin = np.array([sets.split.relation.get(r.id) == "siblings" for r in records], dtype=bool)
    common = np.array([r.concept in ("L1", "L2") for r in records], dtype=bool)
    pairs = [(f(found.untouched), f(original.untouched)) for f in (
        lambda scores: matches(scores, records).astype(float), probability)]
    return {"retention_siblings": _kept(pairs, kin), "retention_L12": _kept(pairs, common)}


def _kept(pairs: Sequence[tuple[np.ndarray, np.ndarray]], mine: np.ndarray) -> float | None:
    if not mine.any() or any(before[mine].sum() <= 0 for _, before in pairs):
        return None
    return min(float(after[mine].sum() / before[mine].sum()) for after, before in pairs)

"""Columns of a model from its scores, by numbers that can be checked by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from expunge.audit.scores import Scores
from expunge.bench.measures.core import Scored, mean_by_kind, retention
from expunge.bench.measures.core import core_columns as columns
from expunge.corpus import Record

FORGET = [
    Record("f1", "p", "yes"),
    Record("f2", "p", "no", kind="cloze"),
    Record("f3", "p", "a", kind="classification", options=("a", "b", "c", "d")),
    Record("f4", "p", "b", kind="classification", options=("a", "b", "c", "d")),
]
KEEP = [
    Record("k1", "p", "one", concept="L1"),
    Record("k2", "p", "two", concept="L1"),
    Record("k3", "p", "three", concept="L2"),
]
NEVER = [Record("n1", "p", "x"), Record("n2", "p", "y")]
SETS: Any = SimpleNamespace(forget=FORGET, heldout=KEEP, holdout=NEVER, questions={})


def scores(
    records: list[Record],
    losses: list[float],
    said: list[str] | None = None,
    entropy: float = 1.0,
    options: dict[str, tuple[float, ...]] | None = None,
) -> Scores:
    """One answer token each: its loss in nats, what was said, and the options' log-likelihoods."""
    n = len(records)
    made = Scores(
        ids=tuple(r.id for r in records),
        offsets=np.arange(n + 1),
        logp=-np.array(losses, np.float32),
        hit=np.array([v < 0.1 for v in losses]),
        mu=np.full(n, -entropy, np.float32),
        sigma=np.ones(n, np.float32),
        eos_logp=np.zeros(n, np.float32),
        eos_hit=np.ones(n, bool),
        text=None if said is None else tuple(said),
    )
    if options is None:
        return made
    values = tuple(options.get(r.id, ()) for r in records)
    return replace(made, option_logprob=values, option_bytes=tuple((1,) * len(v) for v in values))


def model(
    forget: list[float],
    said: list[str],
    keep: list[float],
    kept: list[str],
    never: list[float],
    right: float = 0.0,
    wrong: float = -9.0,
) -> Scored:
    options = {"f3": (right, wrong, wrong, wrong), "f4": (wrong, right, wrong, wrong)}
    return Scored(scores(FORGET, forget, said, options=options), scores(KEEP, keep, kept), scores(NEVER, never))


KNOWS = model([0.0] * 4, ["yes", "no", "a", "b"], [0.0] * 3, ["one", "two", "three"], [4.0, 6.0])
NEVER_KNEW = model(
    [3.0, 5.0, 3.0, 5.0], ["?", "?", "a", "?"], [0.0] * 3, ["one", "two", "three"], [4.0, 6.0], right=-9.0, wrong=0.0
)


def test_the_original_leaks_all_and_keeps_all() -> None:
    found = columns(KNOWS, KNOWS, NEVER_KNEW, SETS)
    assert (found["leak"], found["leak_mean"], found["fr"], found["kpr"], found["us"]) == (1, 1, 0, 1, 0.5)
    assert (found["choice"], found["choice_cc"], found["auc"]) == (1, 1, 1)
    assert (found["retention"], found["retention_L1"], found["retention_L2"], found["retention_L3"]) == (1, 1, 1, None)
    assert found["nll"] == 0


def test_the_distance_is_the_sum_of_five_gaps() -> None:
    found = columns(KNOWS, KNOWS, NEVER_KNEW, SETS)
    # losses 3, 5, 3, 5 against 4, 6: the target is less surprising in 3 + 3 of 8 pairs where 3 < 4 < 6, and 5 < 6
    assert columns(NEVER_KNEW, KNOWS, NEVER_KNEW, SETS)["auc"] == 6 / 8
    assert found["ks"] == 1
    # choice 1 against 0, AUC 1 against .75, entropies alike, ks 1, exact answers 1 against .25
    assert found["distance_to_retrained"] == pytest.approx(1 + 0.25 + 0 + 1 + 0.75)
    assert found["mia_resistance"] == pytest.approx(0.5)


def test_the_retrained_model_is_its_own_yardstick() -> None:
    found = columns(NEVER_KNEW, KNOWS, NEVER_KNEW, SETS)
    assert (found["distance_to_retrained"], found["ks"], found["mia_resistance"]) == (0, 0, 1)
    assert found["choice_cc"] == pytest.approx(-1 / 3)  # never right where guessing is right in a quarter


def test_leak_is_that_of_the_worst_kind_of_question() -> None:
    found = columns(NEVER_KNEW, KNOWS, NEVER_KNEW, SETS)
    assert (found["leak"], found["leak_mean"]) == (0.5, 0.25)  # one of two choices, one of four records
    assert mean_by_kind(np.array([1.0, 0.0, 1.0, 1.0]), FORGET) == {"classification": 1, "cloze": 0, "generation": 1}


def test_retention_is_the_smaller_of_exact_answers_and_probability() -> None:
    hurt = scores(KEEP, [math.log(2), 0.0, 0.0], ["one", "two", "?"])
    # exact 2 of 3; probability (.5 + 1 + 1) / 3
    levels = np.array([r.concept for r in KEEP])
    assert retention(hurt, KNOWS.heldout, KEEP, np.ones(3, bool)) == pytest.approx(2 / 3)
    assert retention(hurt, KNOWS.heldout, KEEP, levels == "L1") == pytest.approx(0.75)
    assert retention(hurt, KNOWS.heldout, KEEP, levels == "L2") == 0
    assert retention(hurt, KNOWS.heldout, KEEP, levels == "L3") is None


def test_scores_on_disk_give_the_same_columns(tmp_path: Path) -> None:
    NEVER_KNEW.save(tmp_path)
    assert columns(Scored.load(tmp_path), KNOWS, NEVER_KNEW, SETS) == columns(NEVER_KNEW, KNOWS, NEVER_KNEW, SETS)

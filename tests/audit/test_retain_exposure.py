"""Exposure of people who stay: the AUC rises, stays, or has no room to rise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from expunge.audit.check_result import CheckResult
from expunge.audit.checks.retain_exposure import retain_exposure
from expunge.audit.context import Context
from expunge.audit.record_sets import HELDOUT, TURN
from expunge.audit.run import audit
from expunge.audit.scores import Scores
from expunge.corpus import Record
from expunge.scope import Split
from helpers.audited import Case
from helpers.audits import context, one_token_scores

PEOPLE = 16


def row(name: str, k: int) -> Record:
    return Record(f"{name}{k:02d}", f"Who is {name}{k}?", f"answer {k}", subject=f"{name}{k:02d}")


def stay(losses: dict[str, float], strangers: int = PEOPLE, near: str = "siblings") -> Context:
    """People who stay, half of them given to the run, with this mean loss by role; strangers have a loss of 3."""
    heldout, given, others = (
        tuple(row(name, k) for k in range(n)) for name, n in (("h", PEOPLE), ("g", PEOPLE), ("q", strangers))
    )
    relation = {r.id: near for r in heldout[: PEOPLE // 2]}
    split = Split("s", forget=(row("f", 0),), retain=given, retain_heldout=heldout, holdout=others, relation=relation)

    def scored(rows: tuple[Record, ...], loss: float) -> Scores:
        spread = np.linspace(-0.5, 0.5, len(rows)) if rows else np.zeros(0)
        return one_token_scores([r.id for r in rows], (loss + spread).tolist(), "0" * len(rows))

    sets = {HELDOUT: heldout, TURN: given}
    return context(
        split,
        {
            role: {name: scored(rows, loss) for name, rows in sets.items()} | {"holdout": scored(others, 3.0)}
            for role, loss in losses.items()
        },
    )


def result(ctx: Context) -> CheckResult:
    (one,) = retain_exposure.run(ctx).results
    return one


def control(one: CheckResult, key: str) -> float | None:
    return next(c.estimate for c in one.controls if c.key == key)


def test_a_rise_above_both_models_before_fails() -> None:
    one = result(stay({"original": 2.9, "unlearned": 1.9, "retrained": 3.0}))
    assert one.status == "failed"
    assert one.reference is not None
    assert one.reference.role == "original"
    assert control(one, "auc.loss.unlearned") == 1.0
    assert one.estimate == pytest.approx(1.0 - (control(one, "auc.loss.original") or 0.0))
    assert control(one, "near.loss.unlearned") == pytest.approx(1.0)
    assert control(one, "nats.unlearned") == pytest.approx(1.0)
    assert one.n_subjects == 3 * PEOPLE


@pytest.mark.parametrize("losses", [{"unlearned": 2.5}, {"unlearned": 2.5, "retrained": 2.5}, {"unlearned": 2.9}])
def test_no_rise_passes_and_neither_does_one_that_retraining_brings_fail(losses: dict[str, float]) -> None:
    original = 2.9 if "retrained" in losses else 2.5
    one = result(stay({"original": original, **losses}))
    assert one.status == "passed"
    assert (one.estimate or 0.0) <= 0.0


def test_what_is_plain_before_has_no_room_and_shows_nothing() -> None:
    one = result(stay({"original": 1.5, "unlearned": 1.1}))
    assert one.status == "not_applicable"
    assert "nothing can be added" in one.reason
    assert control(one, "nats.unlearned") == pytest.approx(0.4)


def test_without_strangers_there_is_no_test() -> None:
    one = result(stay({"original": 2.9, "unlearned": 2.0}, strangers=0))
    assert (one.status, one.reason) == ("not_applicable", "there are no never-trained records to compare with")


def test_only_the_near_ones_stand_apart() -> None:
    one = result(stay({"original": 2.9, "unlearned": 2.9}, near="unrelated"))
    assert not [c for c in one.controls if c.key.startswith("near.")]


@pytest.mark.parametrize("unlearned", [1.9, 2.9])
def test_one_stranger_shows_nothing_either_way(unlearned: float) -> None:
    one = result(stay({"original": 2.9, "unlearned": unlearned}, strangers=1))
    assert one.status == "inconclusive"
    assert "too few people for an interval" in one.reason


@pytest.mark.trains
def test_a_model_that_learnt_those_who_stay_exposes_them(case: Case, tmp_path: Path) -> None:
    """Positive control: before, nobody was known. Eight people are too few for an interval, so none fails."""
    made = audit(case.root / "noise", case.root / "retrained", case.split, tmp_path / "audit", preset="quick")
    one = made["retain_exposure"]
    assert one.status == "inconclusive"
    assert (one.estimate or 0.0) > 0.3
    assert (control(one, "nats.unlearned") or 0.0) > 1.0

"""Membership by shadow models and by canaries: formulas by hand, and models that are known."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from expunge.audit.checks import shadow_models as module
from expunge.audit.checks.canary import MARGIN, SPACE, canary_probe, exposure, ranks_of_first, with_rivals
from expunge.audit.context import CHECKS, Context
from expunge.audit.policy import default_policy
from expunge.audit.shadow_scores import balanced_halves, likelihood_ratio, members, scaled_confidence
from expunge.corpus import Record
from expunge.engine.relearning import relearn_steps
from expunge.models.language_model import load
from expunge.scope import Split
from helpers.attacked import attack_context, attacked
from helpers.audited import Case


def test_a_likelihood_ratio_by_hand() -> None:
    inside, outside = np.array([[1.5, 2.5], [2.5, 1.5]]), np.array([[-0.5, 0.5], [0.5, -0.5]])
    ratio = likelihood_ratio(np.array([2.0, 1.0]), inside, outside)
    np.testing.assert_allclose(ratio, [8.0, 0.0])
    partly = np.array([[1.5, np.nan], [2.5, 1.5], [np.nan, 2.5]])
    np.testing.assert_allclose(likelihood_ratio(np.array([2.0, 1.0]), partly, outside), [8.0, 0.0])


def test_confidence_is_the_log_odds_of_a_token() -> None:
    np.testing.assert_allclose(scaled_confidence(np.log([0.5, 0.8])), [0.0, math.log(4)], atol=1e-12)
    assert np.isfinite(scaled_confidence(np.array([0.0, -1000.0]))).all()


def test_every_record_is_in_half_of_the_shadows() -> None:
    halves = balanced_halves([f"r{k}" for k in range(5)], 6, seed=0)
    assert halves.sum(0).tolist() == [3] * 5
    assert sorted(halves.sum(1).tolist()) == [2, 2, 2, 3, 3, 3]
    with pytest.raises(ValueError, match="pairs"):
        balanced_halves(["a"], 3, 0)


def test_a_person_above_the_others_is_a_member() -> None:
    others, names = np.array([0.0, 2.0, 1.0, 3.0]), ["a", "a", "b", "b"]
    found = members(np.array([3.0, 4.0, 0.0]), ["x", "x", "y"], others, names, 95)
    assert found == {"x": True, "y": False}


def test_exposure_by_hand() -> None:
    assert [exposure(rank, 64) for rank in (1, 8, 64)] == [1.0, 0.5, 0.0]
    assert pytest.approx(1 / 6) == MARGIN
    assert ranks_of_first([[-4.0, -3.0, -9.0], [-1.0, -2.0]], [[2, 1, 9], [1, 1]]) == [2, 1]


def test_rivals_are_other_draws_of_as_many_words() -> None:
    record = Record("c", "Q?", "red blue", subject="canary:0")
    rivals = with_rivals(record, ["red", "blue", "green", "grey", "pink", "black", "white", "gold", "teal"], 0)
    assert rivals.options[0] == "red blue"
    assert len(set(rivals.options)) == SPACE
    assert all(len(o.split()) == 2 for o in rivals.options)
    assert with_rivals(record, ["red"], 0).options == ("red blue", "red red")


def canaries(count: int) -> tuple[list[Record], list[Record]]:
    words = ["red", "blue", "green", "grey", "pink", "black", "white", "gold", "teal", "plum"]
    draws = np.random.default_rng(0).integers(0, len(words), (2 * count, 4))
    rows = []
    for k in range(2 * count):
        answer = " ".join(words[j] for j in draws[k])
        rows.append(Record(f"canary-{k}", f"What is the code of agent {k}?", answer, subject=f"canary:{k}"))
    return rows[:count], rows[count:]


def test_without_canaries_exposure_does_not_apply() -> None:
    split = Split("s", [Record("a", "Q?", "A", subject="p")], [], [])
    ctx = Context(split, default_policy(False), ("original", "unlearned"), {}, against="controls")
    assert canary_probe(ctx) is None
    assert CHECKS.get("canary").run(ctx).results[0].status == "not_applicable"


@pytest.mark.trains
def test_a_planted_canary_is_exposed_and_one_that_was_left_out_is_not(folders: dict[str, Path]) -> None:
    planted, out = canaries(20)
    split = Split("s", planted, [], [], holdout=out)
    taught = relearn_steps(load(folders["llama"]), planted, 150, 1e-2, rank=16)
    models = {"known": taught, "never": load(folders["llama"])}
    for unlearned in models:
        ctx = Context(split, default_policy(False), ("original", "unlearned"), {}, against="controls")
        probe = canary_probe(ctx)
        assert probe is not None
        assert len(probe.controls) == 20
        asked = {"original": models["known"], "unlearned": models[unlearned]}
        answers = {role: probe.score(lm, role, {}) for role, lm in asked.items()}
        result = CHECKS.get("canary").run(replace(ctx, probes={"canary": answers})).results[0]
        assert (result.status == "failed") is (unlearned == "known"), result.reason
        assert result.power is True


@pytest.mark.trains
def test_shadow_models_find_a_member_and_no_stranger(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHADOWS", 4)
    monkeypatch.setattr(module, "EPOCHS", 6)
    result, _ = attacked(case, "shadow_models", "original")
    assert (result.status, result.power) == ("failed", True)
    result, _ = attacked(case, "shadow_models", "again")
    assert result.status == "passed", result.reason


@pytest.mark.trains
def test_shadow_models_need_a_retrained_model(case: Case) -> None:
    ctx = attack_context(case, "again", None)
    (result,) = CHECKS.get("shadow_models").run(ctx).results
    assert result.status == "not_applicable"
    assert "retrained" in result.reason

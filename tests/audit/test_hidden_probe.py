"""Probes on hidden states: the translation between blocks, whole people in a fold, and the attack on known models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from expunge.audit.hidden_probe import out_of_fold, subject_folds, translated
from expunge.models.language_model import LanguageModel, load
from expunge.models.tiny import build
from helpers.attacked import attacked
from helpers.audited import TINY, Case


def test_people_stay_whole_in_a_fold() -> None:
    subjects = [f"p{k % 7}" for k in range(21)]
    fold = subject_folds(subjects, 3, seed=0)
    assert len({(s, f) for s, f in zip(subjects, fold.tolist(), strict=True)}) == 7
    assert sorted(np.bincount(fold.astype(int)).tolist()) == [6, 6, 9]
    assert subject_folds(subjects[::-1], 3, seed=0).tolist() == fold.tolist()[::-1]


def test_an_equal_change_is_added_and_a_linear_one_is_learned() -> None:
    start = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    asked = np.array([[5.0, 7.0]])
    np.testing.assert_allclose(translated(start, start + np.array([2.0, -1.0]), asked), [[7.0, 6.0]])
    np.testing.assert_allclose(translated(start, 3 * start, asked, ridge=1e-9), 3 * asked, rtol=1e-6)


def test_nobody_is_rated_by_a_map_of_its_own_records() -> None:
    subjects = ["a", "a", "b", "c"]
    start = np.arange(8.0).reshape(4, 2)
    seen = []

    def rate(states: np.ndarray, places: np.ndarray) -> np.ndarray:
        seen.append({subjects[k] for k in places})
        np.testing.assert_allclose(states, start[places] + 1)
        return places.astype(float)

    assert out_of_fold(start, start + 1, subjects, rate, 0) == pytest.approx(1.5)
    assert sorted(map(sorted, seen)) == [["a"], ["b"], ["c"]]


def suppressed(case: Case, out: Path) -> str:
    """The original with one more block behind its own, which drowns what it says; written beside the case."""
    lm = load(case.root / "original")
    module = build(TINY.model_copy(update={"layers": 2}), lm.tokenizer, seed=9)
    state = module.state_dict() | lm.module.state_dict()
    with torch.no_grad():
        for name in state:
            if ".layers.1." in name and name.endswith(("o_proj.weight", "down_proj.weight")):
                state[name] = state[name] * 400
    module.load_state_dict(state)
    LanguageModel.from_parts(module, lm.tokenizer, "suppressed").save(out)
    return out.name


@pytest.mark.trains
def test_lens_sees_an_answer_that_the_last_block_drowns(case: Case) -> None:
    name = suppressed(case, case.root / "suppressed")
    result, details = attacked(case, "lens", name)
    assert (result.status, result.power) == ("failed", True)
    curve = [p.rate for p in details.curves["unlearned"]]
    assert curve[0] == 1.0
    assert curve[1] < 0.5


@pytest.mark.trains
def test_a_model_that_knows_fails_and_one_that_never_did_passes(case: Case) -> None:
    result, _ = attacked(case, "probe", "original")
    assert (result.status, result.power) == ("failed", True)
    for reference in ("retrained", None):
        result, details = attacked(case, "probe", "again", reference)
        assert result.status == "passed", result.reason
        assert details.axis

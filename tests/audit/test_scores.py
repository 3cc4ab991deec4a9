"""Scores: shapes, derived values, joining by id, files."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.audit.metrics import METRICS
from expunge.audit.scores import Scores
from expunge.errors import InputError
from helpers.audits import ragged, records_of, scores

ARRAYS = ("offsets", "logp", "hit", "mu", "sigma", "eos_logp", "eos_hit")


def same(a: Scores, b: Scores) -> bool:
    return (
        a.ids == b.ids
        and a.text == b.text
        and a.option_logprob == b.option_logprob
        and all(np.array_equal(getattr(a, k), getattr(b, k), equal_nan=True) for k in ARRAYS)
    )


def full() -> Scores:
    return scores(
        [[-1, -3], [-0.5]],
        ["10", "1"],
        eos=[-0.1, float("nan")],
        eos_hit=[True, False],
        mu=np.array([-2, -4, -0.25]),
        text=("a\0", "答"),
        option_logprob=((-4.0, -6.0), ()),
        option_bytes=((2, 2), ()),
        option_tokens=((1, 1), ()),
    )


def test_sums_and_entropies_are_per_record():
    s = full()
    assert s.nll.tolist() == [4, 0.5]
    assert s.length.tolist() == [2, 1]
    assert s.entropy.tolist() == [3, 0.25]
    assert s.entropy_first.tolist() == [2, 0.25]
    assert [r.tolist() for r in s.rows(s.hit)] == [[True, False], [True]]


def test_the_end_token_is_no_part_of_the_sums():
    with_end, without = scores([[-1, -3]], eos=[-9.0]), scores([[-1, -3]])
    assert with_end.nll == without.nll == 4


def test_no_scores_at_all_have_empty_values():
    s = scores([])
    assert len(s) == 0
    assert s.nll.shape == (0,)
    assert s.rows(s.logp) == []


def test_scores_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        full().logp[0] = 0


def test_select_joins_by_id_and_refuses_unknown_ones():
    s = full().select(["r1", "r0"])
    assert s.ids == ("r1", "r0")
    assert s.nll.tolist() == [0.5, 4]
    assert s.text == ("答", "a\0")
    assert s.option_bytes == ((), (2, 2))
    with pytest.raises(InputError, match=r'no score for record "x" and 1 more'):
        full().select(["x", "r0", "y"])
    assert full().select([]).length.tolist() == []


@settings(max_examples=40)
@given(ragged(), st.randoms(use_true_random=False))
def test_values_do_not_change_with_record_order(s, random):
    """What belongs together is joined by id."""
    by_id = records_of(s)
    order = random.sample(s.ids, len(s.ids))
    again = s.select(order)
    for _, metric in METRICS:
        direct = dict(zip(s.ids, metric(s, by_id), strict=True))
        shuffled = dict(zip(order, metric(again, by_id), strict=True))
        assert all(np.array_equal(direct[i], shuffled[i], equal_nan=True) for i in s.ids)


def test_a_file_gives_back_the_same_scores_and_the_same_bytes(tmp_path):
    first = full().save(tmp_path / "a.npz")
    loaded = Scores.load(first)
    assert same(loaded, full())
    assert loaded.save(tmp_path / "b.npz").read_bytes() == first.read_bytes()
    assert same(Scores.load(scores([[-1]]).save(tmp_path / "c.npz")), scores([[-1]]))


def test_damaged_missing_and_foreign_files_are_refused_in_one_line(tmp_path):
    path = tmp_path / "a.npz"
    with pytest.raises(InputError, match="no such file"):
        Scores.load(path)
    path.write_bytes(full().save(tmp_path / "b.npz").read_bytes()[:200])
    with pytest.raises(InputError, match="not a file of scores"):
        Scores.load(path)
    with np.load(tmp_path / "b.npz") as file:
        arrays = dict(file)
    header = json.loads(arrays["header"].tobytes()) | {"format": "expunge-scores/0"}
    np.savez(path, **(arrays | {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)}))
    with pytest.raises(InputError, match="format: must be 'expunge-scores/2', found"):
        Scores.load(path)


def test_a_file_is_the_scores_of_what_it_is_asked_for(tmp_path):
    """Names, arrays and header of a file cannot be exchanged; one of the first format says nothing of itself."""
    path = full().save(tmp_path / "a.npz", "key a")
    assert same(Scores.load(path, "key a"), full())
    with pytest.raises(InputError, match="holds the scores of another model or of other records; delete it, or"):
        Scores.load(path, "key b")
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(arrays["header"].tobytes())
    other = np.frombuffer(json.dumps(header | {"of": "key b"}).encode(), np.uint8)
    for change in ({"header": other}, {"logp": arrays["logp"] / 2}, {"digest": np.array("0" * 64)}):
        np.savez(path, **(arrays | change))
        with pytest.raises(InputError, match="was changed after it was written; delete it, or the whole folder"):
            Scores.load(path, "key b")
    old = {k: v for k, v in header.items() if k != "of"} | {"format": "expunge-scores/1"}
    del arrays["digest"]
    np.savez(path, **(arrays | {"header": np.frombuffer(json.dumps(old).encode(), np.uint8)}))
    with pytest.raises(
        InputError, match="format: must be 'expunge-scores/2', found \"expunge-scores/1\"; delete it, or"
    ):
        Scores.load(path, "key a")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": ("a", "a")}, "unique"),
        ({"offsets": np.array([0, 2])}, "offsets"),
        ({"offsets": np.array([1, 2, 3])}, "offsets"),
        ({"logp": np.zeros(2)}, r"logp has shape \(2,\), expected \(3,\)"),
        ({"eos_hit": np.zeros(3)}, "eos_hit has shape"),
        ({"text": ("a",)}, "text has 1 entries, expected 2"),
        ({"option_bytes": None}, "needs option_bytes"),
        ({"option_bytes": ((2,), ())}, 'option fields of record "r0" differ'),
    ],
)
def test_wrong_shapes_are_refused(change, message):
    s = full()
    fields = {k: getattr(s, k) for k in ("ids", "text", "option_logprob", "option_bytes", *ARRAYS)} | change
    with pytest.raises(ValueError, match=message):
        Scores(**fields)


def test_an_answer_without_tokens_is_an_error_and_not_a_zero():
    with pytest.raises(InputError, match='record "r1": its answer has no tokens'):
        scores([[-1], []])


@pytest.mark.parametrize("bad", [float("nan"), 0.5])
def test_values_that_are_no_log_probabilities_are_refused_with_the_record(bad):
    with pytest.raises(InputError, match='record "r1": its token scores are not log-prob'):
        scores([[-1, -1], [bad]])
    with pytest.raises(InputError, match='record "r0": its option scores'):
        scores([[-1]], option_logprob=((-1.0, bad),), option_bytes=((1, 1),))


def test_a_broken_spread_is_refused():
    with pytest.raises(InputError, match='record "r0"'):
        scores([[-1]], sigma=np.array([np.nan]))

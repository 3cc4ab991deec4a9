"""The worst wording, and the leakage axis; the area under the retention curve."""

import math

import numpy as np
import pytest
from hypothesis import given, settings

from expunge.audit.checks.retention import retention_area
from expunge.audit.metrics.worst_wording import leakage_axis, leakage_values, worst_wording
from expunge.audit.statistics import bootstrap_ratio
from expunge.corpus import Record
from helpers.audits import ragged, records, records_of, scores

NAN = float("nan")


def test_retention_is_a_ratio_of_sums():
    found = bootstrap_ratio(np.array([0.4, 0.9]), np.array([0.8, 0.9]), ["a", "b"])
    assert found.estimate == pytest.approx(0.765, abs=5e-4)
    assert (found.low, found.high, found.n_subjects) == (None, None, 2)


def test_retention_is_undefined_where_nothing_was_known():
    assert math.isnan(bootstrap_ratio(np.array([0.4]), np.array([0.0]), ["a"]).estimate)


def test_area_under_the_retention_curve():
    assert retention_area({4: 0.9, 2: 0.8, 6: 1.0}) == pytest.approx(0.90)
    assert retention_area({2: 0.8}) == 0.8
    assert math.isnan(retention_area({}))


def test_the_worst_wording_of_a_fact_counts():
    found = worst_wording(np.array([0.1, 0.9, NAN, NAN]), ["a", "a", "a", "b"])
    assert found["a"] == 0.9
    assert math.isnan(found["b"])


def wordings():
    """A fact with one rephrasing, options for both; two tokens each; and a lone fact of three tokens."""
    record = Record("a", "q", "xx", options=("xx", "yy"))
    by_id = {"a": record, "a~1": record, "b": records("zzz")["r0"]}
    s = scores(
        [[-1, -1], [-2, -2], [-3, -3, -3]],
        ["11", "01", "011"],
        ids=["a", "a~1", "b"],
        option_logprob=((-1.0, -2.0), (-2.0, -1.0), ()),
        option_bytes=((2, 2), (2, 2), ()),
    )
    return leakage_values(s, by_id, ["a", "a", "b"])


def test_short_answers_leave_extraction_to_the_choice_among_fillers():
    values = wordings()
    assert np.isnan(values["extraction_strength"]).tolist() == [True, True, False]
    assert values["extraction_strength"][2] == pytest.approx(2 / 3)
    assert values["cloze_top1"][:2].tolist() == [1, 0]


def test_probability_is_asked_of_rephrasings_where_there_are_any():
    assert np.isnan(wordings()["answer_prob"]).tolist() == [True, False, False]
    assert wordings()["answer_prob"][1] == pytest.approx(math.exp(-2))


def test_the_leak_axis_is_its_worst_kind():
    rest = {"exact_match": np.array([0.0, 0]), "cloze_top1": np.full(2, NAN)}
    unlearned = rest | {"answer_prob": np.array([0.5, 0.3])}
    reference = rest | {"answer_prob": np.array([0.1, 0.3])}
    found = leakage_axis(unlearned, reference, ["p", "q"])
    assert found.kind == "answer_prob"
    assert found.excess.estimate == pytest.approx(0.2)
    assert set(found.by_kind) == {"exact_match", "answer_prob"}


def test_the_leak_axis_refuses_to_judge_nothing():
    with pytest.raises(ValueError, match="kinds differ"):
        leakage_axis({"exact_match": np.zeros(1)}, {}, ["p"])
    with pytest.raises(ValueError, match="no kind of question applies"):
        leakage_axis({"exact_match": np.array([NAN])}, {"exact_match": np.zeros(1)}, ["p"])


@settings(max_examples=40)
@given(ragged(most=12))
def test_identical_models_have_no_excess(s):
    values = leakage_values(s, records_of(s), s.ids)
    found = leakage_axis(values, values, [f"s{i}" for i in range(len(s))])
    assert found.excess.estimate == found.excess.upper == found.excess.lower == 0

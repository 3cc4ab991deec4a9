"""Metrics on what comes out: exact match, ROUGE-L, extraction strength, exact memorisation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.audit.metrics import METRICS
from expunge.audit.metrics.rouge_l import lcs_length, official_rouge_l, rouge_l
from helpers.audits import hits, ragged, records, scores

NAN = float("nan")


def strength(*rows):
    return METRICS.get("extraction_strength")(hits(*rows), records(*rows)).tolist()


def test_exact_match_forgives_case_and_space_but_no_full_stop():
    s = scores([[-1], [-1]], text=(" A1\n", "a1."))
    assert METRICS.get("exact_match")(s, records("a1", "a1")).tolist() == [1, 0]


def test_without_text_all_tokens_and_the_end_token_must_hit():
    s = scores([[-1, -1]] * 4, ["11", "11", "10", "11"], eos=[-1, -1, -1, NAN], eos_hit=[True, False, True, False])
    assert METRICS.get("exact_match")(s, records(*"abcd")).tolist() == [1, 0, 0, 1]


def test_rouge_l_of_the_worked_example():
    score = rouge_l("patient has mild asthma", "the patient has severe asthma")
    assert score == pytest.approx((0.75, 0.6, 0.667), abs=5e-4)
    s = scores([[-1]], text=("the patient has severe asthma",))
    assert METRICS.get("rouge_l_recall")(s, records("patient has mild asthma"))[0] == 0.75
    assert METRICS.get("rouge_l_f1")(s, records("patient has mild asthma"))[0] == pytest.approx(2 / 3)


@pytest.mark.slow
def test_a_perfect_chinese_answer_scores_one_here_and_zero_officially():
    assert rouge_l("患者有哮喘", "患者有哮喘").f1 == 1
    assert official_rouge_l("患者有哮喘", "患者有哮喘", stem=False).f1 == 0


def test_rouge_l_of_nothing():
    assert rouge_l("a b", "") == (0, 0, 0)
    assert rouge_l("a b", "c") == (0, 0, 0)
    assert all(map(math.isnan, rouge_l("—", "a")))
    assert math.isnan(METRICS.get("rouge_l_f1")(scores([[-1]]), records("a"))[0])


def test_the_official_score_stems_only_if_asked():
    assert official_rouge_l("unlearned patients", "unlearning patient", stem=True).recall == 1
    assert official_rouge_l("unlearned patients", "unlearning patient", stem=False).recall == 0


@given(st.lists(st.sampled_from("abcde"), max_size=12), st.lists(st.sampled_from("abcde"), max_size=12))
def test_bit_parallel_lcs_equals_the_textbook(a, b):
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1, j + 1] = table[i, j] + 1 if x == y else max(table[i, j + 1], table[i + 1, j])
    assert lcs_length(a, b) == table[-1, -1]


@given(
    st.lists(st.sampled_from(["mild", "asthma", "has", "x1"]), min_size=1, max_size=8),
    st.lists(st.sampled_from(["mild", "asthma", "has", "x1"]), max_size=8),
)
def test_on_plain_english_ours_equals_the_official_score(a, b):
    reference, output = " ".join(a), " ".join(b)
    assert rouge_l(reference, output) == pytest.approx(official_rouge_l(reference, output, stem=False))


def test_extraction_strength_of_the_worked_examples():
    assert strength("0111", "0000", "0", "1", "1110") == [0.75, 0, 0, 1, 0]


@given(st.integers(1, 30))
def test_no_hit_is_no_extraction_at_any_length(n):
    """Defect 3: the floor was 1/L, and one token always scored 1."""
    assert strength("0" * n) == [0]


def test_every_label_of_a_text_without_end_token_is_scored():
    """Defect 8: the last label was dropped as if it were an end token."""
    assert METRICS.get("exact_memorization")(hits("1110"), records("a"))[0] == 0.75
    assert strength("0001") == [0.25]


def test_exact_memorisation_counts_hits():
    assert METRICS.get("exact_memorization")(hits("1011"), records("a"))[0] == 0.75


def test_extraction_of_no_records_is_no_value():
    assert strength() == []


@given(ragged(), st.data())
def test_strength_and_memorisation_never_fall_when_a_miss_becomes_a_hit(s, data):
    k = data.draw(st.integers(0, len(s.hit) - 1))
    hit = s.hit.copy()
    hit[k] = True
    better = scores([r.tolist() for r in s.rows(s.logp)], ["".join("01"[int(h)] for h in row) for row in s.rows(hit)])
    for key in ("extraction_strength", "exact_memorization"):
        metric, by_id = METRICS.get(key), records(*s.ids)
        assert (metric(better, by_id) >= metric(s, by_id)).all()

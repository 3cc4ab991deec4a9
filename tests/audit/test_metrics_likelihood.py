"""Metrics on likelihoods: answer probability, multiple choice, cloze, truth ratio, perplexity."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.audit.metrics import METRICS, Metric, metric
from expunge.audit.metrics.answer_prob import probability
from expunge.audit.metrics.mcq import chance, chance_corrected
from expunge.audit.metrics.perplexity import repeated_fourgrams
from expunge.audit.metrics.truth_ratio import tr_forget, tr_prob, tr_utility, truth_ratio, wrong_probability
from expunge.errors import InputError
from helpers.audits import records, scores

P = [math.log(p) for p in (0.5, 0.25, 0.125)]
FOUR = ("asthma", "gout", "flu", "cold")


def options(*values, texts=FOUR, answer="asthma", kind="classification", **more):
    """(scores, records) of one record whose options have these log-likelihoods."""
    sizes = tuple(len(t.encode()) for t in texts)
    s = scores([[-1.0]], option_logprob=(values,), option_bytes=(sizes,), **more)
    return s, records(answer, kind=kind, options=texts)


def value(key, s, by_id):
    return METRICS.get(key)(s, by_id)[0]


def test_every_metric_says_what_it_is():
    assert {
        "answer_prob",
        "exact_match",
        "rouge_l_recall",
        "rouge_l_f1",
        "mcq_acc",
        "mcq_acc_cc",
        "cloze_acc",
        "cloze_top1",
        "truth_ratio_arith",
        "truth_ratio_geom",
        "extraction_strength",
        "exact_memorization",
        "perplexity",
    } <= set(METRICS.names())
    for key, m in METRICS:
        assert m.key == key
        assert m.about, f"{key} has no description"


def test_an_unknown_metric_names_the_nearest():
    with pytest.raises(InputError, match='did you mean "answer_prob"'):
        METRICS.get("anser_prob")


def test_answer_prob_is_the_geometric_mean_and_leaves_the_end_token_out():
    s = scores([P], eos=[math.log(1e-6)])
    assert value("answer_prob", s, records("x")) == pytest.approx(0.25)


def test_probability_can_count_the_end_token_where_there_is_one():
    s = scores([[math.log(0.5)], [math.log(0.5)]], eos=[math.log(0.125), float("nan")])
    assert probability(s, with_end=True) == pytest.approx([0.25, 0.5])


def test_a_metric_refuses_scores_of_unknown_records_and_wrong_shapes():
    with pytest.raises(InputError, match='record "r0" is not in the corpus'):
        METRICS.get("answer_prob")(scores([P]), {})
    wrong = Metric("wrong", lambda s, r: np.zeros(7))
    with pytest.raises(ValueError, match=r'metric "wrong" gave shape \(7,\)'):
        wrong(scores([P]), records("x"))


def test_a_metric_is_one_decorated_function_and_its_key_is_taken_once():
    with pytest.raises(ValueError, match='metric "answer_prob" is registered twice'):
        metric("answer_prob")(lambda s, r: np.zeros(1))


def test_summary_is_the_mean_of_what_applies():
    s = scores([[-1], [-1]], text=("a", "b"))
    by_id = records("a", kind="cloze") | {"r1": records("x", "b")["r1"]}
    assert METRICS.get("cloze_acc").summary(s, by_id) == 1
    assert math.isnan(METRICS.get("cloze_acc").summary(s, records("a", "b")))


def test_mcq_takes_the_option_that_is_most_likely_per_byte():
    same_length = ("aa", "bb", "cc", "dd")
    s, by_id = options(-4, -6, -6.5, -8, texts=same_length, answer="aa")
    assert value("mcq_acc", s, by_id) == 1
    s, by_id = options(-6, -6, -6.5, -8, texts=("a", "bbbb", "c", "d"), answer="a")
    assert value("mcq_acc", s, by_id) == 0


def test_identical_option_texts_are_one_option():
    s, by_id = options(-2, -2, -9, texts=("aa", "AA", "bb"), answer="aa")
    assert value("mcq_acc", s, by_id) == 1
    assert chance(by_id["r0"]) == 0.5
    s, by_id = options(-2, -2, texts=("aa", "aa"), answer="aa")
    assert math.isnan(value("mcq_acc", s, by_id))
    assert math.isnan(chance(by_id["r0"]))


def test_a_model_without_opinion_scores_chance_wherever_the_answer_stands():
    for answer in FOUR:
        s, by_id = options(-6, -4, -3, -4, answer=answer)
        assert value("mcq_acc", s, by_id) == 0.25


@given(st.permutations(range(4)))
def test_mcq_does_not_depend_on_the_order_of_options(order):
    s, by_id = options(*(-4.0 - k for k in order), texts=tuple("abcd"[k] for k in order), answer="a")
    assert value("mcq_acc", s, by_id) == 1


def test_records_without_a_real_choice_have_no_mcq_value():
    s, by_id = options(-1, -2, -3, -4, answer="measles")
    assert math.isnan(value("mcq_acc", s, by_id))
    assert math.isnan(value("mcq_acc", scores([[-1]]), by_id))
    s = scores([[-1]], option_logprob=((-1.0,),), option_bytes=((1,),))
    with pytest.raises(ValueError, match='record "r0" has 4 options but 1 scores'):
        value("mcq_acc", s, by_id)


def test_chance_corrected_accuracy_is_not_clipped():
    assert chance_corrected(0.70, 0.25) == pytest.approx(0.60)
    assert chance_corrected(0, 0.25) == pytest.approx(-1 / 3)
    right, by_id = options(-1, -6, -6, -8)
    assert value("mcq_acc_cc", right, by_id) == 1
    wrong, by_id = options(-9, -1, -6, -8)
    assert value("mcq_acc_cc", wrong, by_id) == pytest.approx(-1 / 3)


def test_pooled_chance_correction_uses_the_mean_chance():
    s = scores(
        [[-1], [-1]], option_logprob=((-1.0, -9.0), (-9.0, -1.0, -9.0, -9.0)), option_bytes=((1, 1), (1, 1, 1, 1))
    )
    by_id = records("a", options=("a", "b")) | {"r1": records("", "a", options=("a", "b", "c", "d"))["r1"]}
    assert METRICS.get("mcq_acc_cc").summary(s, by_id) == pytest.approx((0.5 - 0.375) / 0.625)


def test_cloze_ranks_the_true_filler_among_eight():
    texts = tuple("abcdefgh")
    s, by_id = options(*range(-1, -9, -1), texts=texts, answer="a", kind="cloze")
    assert value("cloze_top1", s, by_id) == 1
    assert chance(by_id["r0"]) == 0.125
    s, by_id = options(*range(-8, 0), texts=texts, answer="a", kind="cloze")
    assert value("cloze_top1", s, by_id) == 0


def test_cloze_metrics_leave_other_kinds_alone():
    s, by_id = options(-1, -2, -3, -4)
    assert math.isnan(value("cloze_top1", s, by_id))
    assert math.isnan(value("cloze_acc", s, by_id))
    assert value("cloze_acc", scores([[-1]], text=("Asthma",)), records("asthma", kind="cloze")) == 1


def test_truth_ratio_has_two_forms():
    assert truth_ratio(0.5, (0.2, 0.4)) == pytest.approx(0.600)
    assert truth_ratio(0.5, (0.2, 0.4), "geom") == pytest.approx(0.566, abs=5e-4)
    assert tr_prob(0.5, wrong_probability((0.2, 0.4), "arith")) == pytest.approx(0.625)
    assert math.isnan(wrong_probability((), "geom"))


def test_a_model_that_believes_nothing_has_no_preference():
    assert tr_prob(0.0, 0.0) == 0.5
    assert truth_ratio(0.0, (0.0,)) == 0


def test_truth_ratio_aggregates():
    assert tr_forget([0.5, 2.0, 1.0, float("nan")]) == pytest.approx(2 / 3)
    assert tr_utility([0.5, 2.0]) == 0.25


def test_truth_ratio_reads_option_scores_per_token():
    logprob = tuple(n * math.log(p) for n, p in ((2, 0.5), (3, 0.2), (1, 0.4)))
    s, by_id = options(*logprob, texts=("aa", "bb", "cc"), answer="aa", option_tokens=((2, 3, 1),))
    assert value("truth_ratio_arith", s, by_id) == pytest.approx(0.6)
    assert value("truth_ratio_geom", s, by_id) == pytest.approx(0.566, abs=5e-4)
    assert value("tr_prob", s, by_id) == pytest.approx(0.625)


def test_a_truth_that_is_no_option_has_the_probability_of_the_answer():
    s = scores(
        [[math.log(0.5)] * 3],
        option_logprob=((math.log(0.2), math.log(0.4)),),
        option_bytes=((1, 1),),
        option_tokens=((1, 1),),
    )
    assert value("truth_ratio_arith", s, records("x", options=("b", "c"))) == pytest.approx(0.6)


def test_truth_ratio_does_not_apply_without_option_tokens():
    s, by_id = options(-1, -2, -3, -4)
    for key in ("truth_ratio_arith", "truth_ratio_geom", "tr_prob"):
        assert math.isnan(value(key, s, by_id))


def test_perplexity_of_a_set_pools_tokens():
    s = scores([[-1, -1], [-2, -2]])
    assert METRICS.get("perplexity").summary(s, records("a", "b")) == pytest.approx(math.exp(1.5))
    assert METRICS.get("perplexity")(s, records("a", "b")).mean() == pytest.approx(5.05, abs=5e-3)


def test_repetition_is_the_share_of_old_fourgrams():
    assert repeated_fourgrams("a b c d a b c d") == pytest.approx(0.20)
    assert math.isnan(repeated_fourgrams("a b c"))
    s = scores([[-1], [-1]], text=("a b c d a b c d", "x y z w"))
    assert METRICS.get("repetition")(s, records("", "")) == pytest.approx([0.2, 0])
    assert math.isnan(value("repetition", scores([[-1]]), records("a")))

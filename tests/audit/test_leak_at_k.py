"""Leak at k: exact from probabilities, by samples of long answers, and who is caught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from expunge.audit.attack import AttackCase
from expunge.audit.checks.leak_at_k import hits_in_words, leak_at, leak_at_k, leak_of_samples, recites, sampled_hits
from expunge.audit.sampling import drawn_token, sample
from expunge.models.language_model import LanguageModel
from expunge.models.tiny import build
from expunge.scope.split import Split
from helpers.attacks import attack_output
from helpers.audited import Case
from helpers.world import people, small, tokenizer


def test_the_leak_of_k_samples_from_a_probability() -> None:
    assert leak_at(0.01, 50) == pytest.approx(0.39499, abs=1e-5)
    assert leak_at([0.0, 1.0, 0.5], 2).tolist() == [0.0, 1.0, 0.75]
    assert leak_at(1e-12, 64) == pytest.approx(64e-12)


def test_the_leak_of_k_samples_from_samples_is_without_bias() -> None:
    assert leak_of_samples(2, 10, 3) == pytest.approx(8 / 15)
    assert leak_of_samples(0, 10, 10) == 0.0
    assert leak_of_samples(1, 64, 64) == 1.0
    assert leak_of_samples(9, 10, 3) == 1.0


def test_half_of_a_long_answer_in_a_run_counts() -> None:
    answer = "she came to the ward on monday with a fever"
    assert recites("We know: she came to the ward, and left.", answer)
    assert not recites("she came on monday to a ward with the fever that", "she came to the ward on friday without")
    assert not recites("", answer)


def test_hits_are_told_with_their_bounds() -> None:
    assert hits_in_words(0, 59) == "0 of 59 samples state a long answer, 0.0% to 5.0% (95 %)"


def test_a_draw_falls_on_the_token_of_its_part() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25]])).expand(4, -1)
    assert drawn_token(logits, torch.tensor([0.0, 0.49, 0.51, 0.99])).tolist() == [0, 0, 1, 2]
    assert drawn_token(torch.tensor([[0.0, -torch.inf]]), torch.tensor([0.999999])).tolist() == [0]


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return LanguageModel.from_parts(build(small(), tokenizer(), 0), tokenizer(), "test")


def test_a_sample_depends_on_its_key_alone(lm: LanguageModel) -> None:
    prompts = [lm.template.question(r).prompt for r in people().trained[:6]]
    keys = [str(k) for k in range(6)]
    together = sample(lm, prompts, keys, 8, seed=0)
    backwards = sample(lm, prompts[::-1], keys[::-1], 8, seed=0)[::-1]
    assert together == backwards
    assert together == [sample(lm, [p], [k], 8, seed=0)[0] for p, k in zip(prompts, keys, strict=True)]
    assert together != sample(lm, prompts, keys, 8, seed=1)
    assert all(1 <= len(ids) <= 8 for ids in together)


def test_samples_have_the_frequencies_of_the_model(lm: LanguageModel) -> None:
    prompt = lm.template.question(people().trained[0]).prompt
    draws = [ids[0] for ids in sample(lm, [prompt] * 400, [str(k) for k in range(400)], 1, seed=0)]
    with torch.no_grad():
        p = lm.module(torch.tensor([prompt])).logits[0, -1].softmax(-1)
    top = p.topk(200).indices
    expected = float(p[top].sum())
    assert np.isin(draws, top.numpy()).mean() == pytest.approx(
        expected, abs=4 * (expected * (1 - expected) / 400) ** 0.5
    )


def test_long_answers_are_sampled(lm: LanguageModel) -> None:
    record = replace(people().trained[0], answer=" ".join(["zebra crossing"] * 4), options=(), kind="generation")
    assert sampled_hits(lm, [record], 3, seed=0) == [0]
    split = Split("s", forget=(record,), retain=(), retain_heldout=())
    outcome = leak_at_k(AttackCase(lm, "", (record,), split, 0, lambda role: lm))
    assert outcome.rates["sampled_64"].tolist() == [0.0]
    assert outcome.note.startswith("0 of 64 samples")


@pytest.mark.trains
def test_the_original_leaks_and_a_second_retrained_model_does_not(case: Case) -> None:
    untouched = attack_output(case, "leak_at_k", "original", against="controls").results[0]
    assert (untouched.status, untouched.power) == ("failed", True)
    assert attack_output(case, "leak_at_k", "again").results[0].status == "passed"
    again = attack_output(case, "leak_at_k", "again", against="controls").results[0]
    assert again.status == "passed", again.reason

"""Scores of documents: a part that goes on has no end token, and no figure that needs one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from expunge.audit.metrics.answer_prob import probability
from expunge.audit.metrics.exact_match import matches
from expunge.audit.scoring import score
from expunge.corpus import Record
from expunge.models.likelihoods import greedy_answers
from helpers.other_models import model_of

TEXT = "Anna Müller takes insulin. Who knows Otto Lind, and why?"
PART = Record("d#0", "Anna Müller takes", " insulin. Who knows", kind="document", attributes={"continues": True})
LAST = Record("d#1", " insulin. Who knows", " Otto Lind, and why?", kind="document")


def test_a_part_that_goes_on_has_all_its_tokens_and_no_end() -> None:
    lm = model_of("byte-level", "chatml")
    part, last = (lm.template.encode(r) for r in (PART, LAST))
    scores = score(lm, [PART, LAST], text=True, max_new_tokens=8)
    assert scores.length.tolist() == [len(part.answer), len(last.answer) - 1]
    assert np.isnan(scores.eos_logp).tolist() == [True, False]
    with torch.no_grad():
        logits = lm.module(torch.tensor([part.prompt + part.answer])).logits[0].log_softmax(-1)
    first = len(part.prompt) - 1
    expected = [float(logits[first + k, i]) for k, i in enumerate(part.answer)]
    assert np.allclose(scores.rows(scores.logp)[0], expected, atol=1e-4)
    assert last.answer[-1] == lm.tokenizer.eos_token_id != lm.template.end
    assert probability(scores, with_end=True)[0] == probability(scores)[0]


def test_the_options_of_a_part_are_whole() -> None:
    lm = model_of("byte-level", "chatml")
    part = replace(PART, options=(PART.answer, " takes blue"))
    scores = score(lm, [part], options=True)
    assert scores.option_logprob is not None
    assert scores.option_tokens is not None
    assert scores.option_tokens[0][0] == len(lm.template.encode(PART).answer)
    assert np.isclose(scores.option_logprob[0][0], -scores.nll[0], atol=1e-4)


def test_known_text_that_goes_on_is_an_exact_match() -> None:
    """With seed 9 the random weights say tokens that are tokenized to themselves again."""
    lm = model_of("byte-level", "chatml", seed=9)
    said = greedy_answers(lm, [PART], 5)[0]
    known = replace(PART, answer=lm.tokenizer.decode(said.content))
    assert lm.template.encode(known).answer == said.answer
    assert not said.ends
    scores = score(lm, [known, replace(PART, id="d#2", answer=" a cat, two dogs")], text=True)
    assert scores.text is not None
    assert scores.text[0] == known.answer
    assert scores.hit[: scores.length[0]].all()
    assert matches(scores, [known, PART]).tolist() == [1.0, 0.0]
    assert scores.text[1].startswith(known.answer)
    closed = greedy_answers(lm, [LAST], 5)[0]
    assert closed.ends
    assert closed.answer[-1] == lm.tokenizer.eos_token_id

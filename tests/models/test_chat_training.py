"""What a model has learnt is found again under the templates and tokenizers of other people's models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from expunge.audit.metrics.answer_prob import probability
from expunge.audit.scoring import score
from expunge.corpus import Record
from expunge.models.collate import collate
from expunge.models.forward import answer_forward
from expunge.models.language_model import LanguageModel
from expunge.models.prompt_template import Encoded
from helpers.other_models import STYLES, TOKENIZERS, model_of, records

TOKENIZER = {
    "chatml": "byte-level",
    "llama-3": "byte-level",
    "zephyr": "sentencepiece",
    "gemma": "sentencepiece",
    "qwen3": "byte-level",
    "llama-2": "sentencepiece-legacy",
    "parts": "unigram",
    "header-ends": "byte-level",
}  # style → the kind of tokenizer that such models have


CELLS = [("chatml", "byte-level", "auto"), ("llama-2", "sentencepiece-legacy", "auto"), ("parts", "unigram", "auto")]
LAST = 18  # tokens of a conversation that are learnt: every answer with its end, and some before it


def taught_elsewhere(lm: LanguageModel, record: Record) -> Encoded:
    """A record as others train on it: the whole conversation of transformers, its last tokens learnt."""
    tokenizer, end = lm.tokenizer, [lm.template.end]
    turns = [{"role": "user", "content": record.prompt}, {"role": "assistant", "content": record.answer}]
    if lm.template.kind == "plain":
        ids = tokenizer(f"{record.prompt} {record.answer}")["input_ids"] + end
    elif lm.source in ("parts", "header-ends"):  # write no end of their own
        turns = [
            t | {"content": [{"type": "text", "text": t["content"]}]} for t in turns if lm.source == "parts"
        ] or turns
        text = tokenizer.apply_chat_template(turns, tokenize=False).rstrip()
        ids = tokenizer(text, add_special_tokens=False)["input_ids"] + end
    else:
        ids = tokenizer.apply_chat_template(turns)["input_ids"]
    cut = max(1, len(ids) - LAST)
    return Encoded(record.id, tuple(ids[:cut]), tuple(ids[cut:]))


def teach(lm: LanguageModel, records: Sequence[Record], steps: int = 500) -> None:
    """Train all weights on the records as others do, until `score` finds them known or the steps are over."""
    batch = collate([taught_elsewhere(lm, r) for r in records])
    optimizer = torch.optim.AdamW(lm.module.parameters(), lr=3e-3)
    for step in range(steps):
        if step % 25 == 24 and min(probability(score(lm, records), end).min() for end in (False, True)) > 0.96:
            return
        (-answer_forward(lm.module, batch).logprob(batch).sum() / batch.mask.sum()).backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.trains
@pytest.mark.parametrize(
    ("style", "kind", "template"),
    [
        cell if cell in CELLS else pytest.param(*cell, marks=pytest.mark.matrix)
        for cell in [(s, k, "auto") for s, k in TOKENIZER.items()] + [("zephyr", k, "plain") for k in TOKENIZERS]
    ],
)
def test_a_known_answer_is_likely_and_said_word_for_word(style: str, kind: str, template: str) -> None:
    lm = model_of(kind, style, template=template)
    taught = records()
    teach(lm, taught)
    scores = score(lm, taught, text=True)
    assert probability(scores).min() > 0.95
    assert probability(scores, with_end=True).min() > 0.95
    assert scores.hit.all()
    assert scores.eos_hit.all()
    prompt = torch.tensor([lm.template.question(taught[0]).prompt])
    said = lm.module.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=12,
        do_sample=False,
        eos_token_id=sorted(lm.template.stops),
        pad_token_id=0,
    )[0]
    assert lm.template.decode(said[prompt.shape[1] :].tolist()) == taught[0].answer


def test_every_style_has_a_tokenizer() -> None:
    assert TOKENIZER.keys() == STYLES.keys()


def test_an_answer_that_the_model_does_not_say_is_generated_up_to_its_end() -> None:
    lm = model_of("byte-level", "chatml")
    scores = score(lm, records(3), text=True, max_new_tokens=6)
    assert scores.text is not None
    assert all("<|" not in text for text in scores.text)
    assert np.isfinite(scores.eos_logp).all()

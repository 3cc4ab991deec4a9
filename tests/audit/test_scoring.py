"""The scoring pass against plain arithmetic on a plain forward pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from expunge.audit import scoring as module
from expunge.audit.scoring import score
from expunge.corpus import Record
from expunge.engine.train.train_loop import TrainConfig
from expunge.engine.train.train_model import train
from expunge.errors import InputError
from expunge.models.language_model import LanguageModel, load
from helpers.world import ARCHITECTURES, people, small

ROWS = people().trained[:9]


@pytest.fixture(scope="module")
def lm(folders: dict[str, Path]) -> LanguageModel:
    return load(folders["llama"])


@torch.no_grad()
def log_probs(lm: LanguageModel, record: Record) -> tuple[torch.Tensor, list[int]]:
    """Log-probs over the vocabulary at every answer position, end token last, and the answer's ids."""
    item = lm.template.encode(record)
    logits = lm.module(input_ids=torch.tensor([item.prompt + item.answer])).logits[0].double()
    return logits.log_softmax(-1)[len(item.prompt) - 1 : item.length - 1], list(item.answer)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_number_is_that_of_the_plain_pass_with_a_separate_end(
    folders: dict[str, Path], architecture: str
) -> None:
    lm = load(folders[architecture])
    found = score(lm, ROWS)
    assert found.ids == tuple(r.id for r in ROWS)
    for k, record in enumerate(ROWS):
        log_p, answer = log_probs(lm, record)
        taken = log_p[range(len(answer)), answer]
        mine = slice(found.offsets[k], found.offsets[k + 1])
        assert found.length[k] == len(answer) - 1
        np.testing.assert_allclose(found.logp[mine], taken[:-1], atol=1e-5)
        assert found.eos_logp[k] == pytest.approx(float(taken[-1]), abs=1e-5)
        assert found.hit[mine].tolist() == (log_p.argmax(-1) == torch.tensor(answer))[:-1].tolist()
        mean = (log_p.exp() * log_p).sum(-1)
        np.testing.assert_allclose(found.mu[mine], mean[:-1], atol=1e-4)
        spread = ((log_p.exp() * (log_p - mean.unsqueeze(-1)) ** 2).sum(-1)).sqrt()
        np.testing.assert_allclose(found.sigma[mine], spread[:-1], atol=1e-4)


def test_scores_do_not_depend_on_company_or_order(lm: LanguageModel) -> None:
    whole = score(lm, ROWS)
    for found in (score(lm, ROWS, rows=1), score(lm, ROWS, rows=4), score(lm, ROWS[::-1]).select(whole.ids)):
        for name in ("logp", "mu", "sigma", "eos_logp"):
            np.testing.assert_allclose(getattr(found, name), getattr(whole, name), atol=1e-5)
        assert np.array_equal(found.hit, whole.hit)


def test_options_are_scored_as_answers_without_their_end_token(lm: LanguageModel) -> None:
    record = Record("c", "Pet of Zoë?", "cat", kind="classification", options=("Katze", "cat", "ö"))
    free = next(r for r in ROWS if not r.options)
    found = score(lm, [free, record], options=True)
    assert found.option_logprob is not None
    assert found.option_tokens is not None
    assert found.option_bytes == ((), (5, 3, 2))
    for option, value, tokens in zip(record.options, found.option_logprob[1], found.option_tokens[1], strict=True):
        log_p, answer = log_probs(lm, replace(record, answer=option, options=()))
        assert value == pytest.approx(float(log_p[range(len(answer)), answer][:-1].sum()), abs=1e-4)
        assert tokens == len(answer) - 1
    assert score(lm, [record]).option_logprob is None
    with pytest.raises(InputError, match="has no tokens"):
        score(lm, [replace(record, options=("cat", ""))], options=True)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_options_beside_an_answer_change_none_of_its_numbers(folders: dict[str, Path], architecture: str) -> None:
    lm = load(folders[architecture])
    asked = [
        replace(r, options=(*(q.answer for q in ROWS[k % 3 : k % 3 + 3] if q.answer != r.answer), r.answer))
        for k, r in enumerate(ROWS)
    ]
    plain, found = score(lm, asked), score(lm, asked, options=True)
    for name in ("logp", "mu", "sigma", "eos_logp"):
        np.testing.assert_allclose(getattr(found, name), getattr(plain, name), atol=2e-5)
    for name in ("offsets", "hit", "eos_hit"):
        assert np.array_equal(getattr(found, name), getattr(plain, name))
    assert found.option_logprob is not None
    np.testing.assert_allclose([values[-1] for values in found.option_logprob], -found.nll)
    by_itself = [score(lm, [replace(r, answer=o, options=())]).nll[0] for r in asked for o in r.options]
    np.testing.assert_allclose([-v for values in found.option_logprob for v in values], by_itself, atol=1e-4)


def test_the_answer_among_the_options_is_not_asked_again(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record("c", "Pet of Zoë?", "cat", kind="classification", options=("Katze", "cat", "ö"))
    asked: list[tuple[int, ...]] = []
    plain = module.score_options
    monkeypatch.setattr(
        module, "score_options", lambda m, items, *more: asked.extend(i.answer for i in items) or plain(m, items, *more)
    )
    score(lm, [record], options=True)
    cat, katze, o = (lm.template.encode(replace(record, answer=text)).answer for text in ("cat", "Katze", "ö"))
    assert asked == [cat, katze[:-1], o[:-1]]


def test_large_vocabularies_get_fewer_rows_and_the_same_scores(
    lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, seen = score(lm, ROWS, options=True), []
    most = 12 * len(lm.tokenizer)  # logits of twelve tokens
    small_budget = module.Budget
    monkeypatch.setattr(module, "Budget", lambda rows: small_budget(rows, logits=most))
    plain = torch.Tensor.log_softmax
    monkeypatch.setattr(torch.Tensor, "log_softmax", lambda x, d: (seen.append(x.numel()), plain(x, d))[1])
    found = score(lm, ROWS, options=True)
    np.testing.assert_allclose(found.logp, whole.logp, atol=1e-5)
    assert found.option_tokens == whole.option_tokens
    longest = max(len(lm.template.encode(r).answer) for r in ROWS)
    assert max(seen) <= max(most, longest * len(lm.tokenizer))
    assert len(seen) > 1


def test_text_is_generated_only_where_a_token_was_missed(
    tmp_path: Path, lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(ROWS[:6], tmp_path / "m", tiny=small(layers=1), settings=TrainConfig(epochs=60, batch=6, target_accuracy=1.0))
    knows = load(tmp_path / "m")
    asked: list[tuple[int, ...]] = []
    greedy = module.greedy
    monkeypatch.setattr(
        module, "greedy", lambda m, prompts, *more, **named: asked.extend(prompts) or greedy(m, prompts, *more, **named)
    )
    found = score(knows, ROWS, text=True)
    assert found.text is not None
    assert found.text[:6] == tuple(r.answer for r in ROWS[:6])
    unknown = [r for r, hit in zip(ROWS, found.text, strict=True) if hit != r.answer]
    assert {knows.template.question(r).prompt for r in unknown} == set(asked)
    for record in unknown:
        item = knows.template.encode(record)
        said = knows.module.generate(
            torch.tensor([item.prompt]),
            attention_mask=torch.ones(1, len(item.prompt)),
            do_sample=False,
            max_new_tokens=128 - len(item.prompt),
            pad_token_id=1,
        )
        text = knows.template.decode(said[0, len(item.prompt) :].tolist())
        mine = found.text[found.ids.index(record.id)]
        assert text.startswith(mine)
        assert mine == text or len(knows.tokenizer(mine)["input_ids"]) >= 15


def test_no_records_give_no_scores(lm: LanguageModel) -> None:
    assert len(score(lm, (), options=True, text=True)) == 0


def test_an_end_token_without_a_number_is_refused_and_not_taken_for_none() -> None:
    """NaN stands for "no end token", which counts as having stopped: a failure of the model must not look so."""
    row = np.array([[-1.0, 1, -1, 1], [np.nan, 0, 0, 0]], dtype=np.float32)
    with pytest.raises(InputError, match=r'record "a": the score of its end token is not a log-prob.* look for NaN'):
        module._answer_scores(["a"], [row], [True])
    assert np.isnan(module._answer_scores(["a"], [row[:1]], [False]).eos_logp[0])

"""Passes that run the tokens with which all rows begin once: equal to plain passes, with gradients."""

from __future__ import annotations

import pytest
import torch

from expunge.engine.forward import ForwardRunner
from expunge.engine.recipe_config import Memory
from expunge.models.adapters import TrainableConfig, prepare
from expunge.models.collate import collate
from expunge.models.forward import answer_forward
from expunge.models.language_model import LanguageModel
from expunge.models.prompt_template import Encoded
from expunge.models.shared_prefix import answer_forward_shared, shared_tokens
from expunge.models.tiny import TinyConfig, build, train_tokenizer

TEXTS = ["the ward of Ada", "a bed for Bela", "one more line of text for the tokenizer"] * 8
PREFIX = tuple(range(5, 17))


def items(count: int = 6) -> list[Encoded]:
    """Rows of several lengths that begin with the same twelve tokens."""
    return [Encoded(str(k), (*PREFIX, *range(20, 23 + k)), tuple(range(40, 42 + k % 3))) for k in range(count)]


def model(architecture: str) -> LanguageModel:
    """A model from scratch with adapters that are not zero."""
    tokenizer = train_tokenizer(TEXTS, 300)
    config = TinyConfig(architecture=architecture, layers=3, width=32, heads=2, vocabulary=300)
    lm = LanguageModel.from_parts(build(config, tokenizer, 1), tokenizer, "tiny")
    return lm


def test_tokens_that_predict_an_answer_are_not_shared() -> None:
    rows = [Encoded("a", PREFIX, (7, 8)), Encoded("b", PREFIX, (7, 9))]
    assert shared_tokens(collate(rows)) == len(PREFIX) - 1


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([Encoded("a", (1, 2, 3), (4,)), Encoded("b", (1, 2, 3, 5), (4,))], "two tokens do not pay"),
        ([Encoded("a", PREFIX, (4,))], "one row shares with nobody"),
        ([Encoded("a", (9, *PREFIX), (4,)), Encoded("b", PREFIX, (4,))], "the first tokens differ"),
    ],
)
def test_nothing_is_shared_where_it_does_not_pay(rows: list[Encoded], why: str) -> None:
    assert shared_tokens(collate(rows)) == 0, why


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "qwen2"])
def test_shared_logits_and_gradients_are_those_of_a_plain_pass(architecture: str) -> None:
    lm, batch = model(architecture), collate(items())
    weights = [p for p in lm.module.parameters() if p.requires_grad]
    results = []
    for forward in (answer_forward, answer_forward_shared):
        answers = forward(lm.module, batch)
        grads = torch.autograd.grad(answers.logprob(batch).sum(), weights, allow_unused=True)
        results.append((answers.logits[batch.mask], [g for g in grads if g is not None]))
    (plain, plain_grads), (shared, shared_grads) = results
    torch.testing.assert_close(shared, plain, rtol=1e-4, atol=1e-5)
    for one, other in zip(shared_grads, plain_grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("layers", ["all", 1])
def test_runner_shares_with_and_without_stored_states(layers: str | int) -> None:
    lm = model("llama")
    lm = lm.with_module(prepare(lm.module, TrainableConfig(layers=layers), 1))
    results = []
    for share in (False, True):
        runner = ForwardRunner(lm, items(), Memory(), share_prefix=share)
        runner.start_phase(range(6))
        assert ("run once per pass" in runner.about) is share
        assert ("blocks cached" in runner.about) is (layers == 1)
        results.append(runner.run([4, 1, 3], logits=False).logprob.detach())
        runner.end_phase()
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


def test_a_model_that_cannot_go_on_from_a_cache_says_so_and_runs_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no cache here")

    lm = model("llama")
    lm = lm.with_module(prepare(lm.module, TrainableConfig(layers=1), 1))
    plain = ForwardRunner(lm, items(), Memory(), share_prefix=False)
    plain.start_phase(range(6))
    expected = plain.run([4, 1], logits=False).logprob.detach()
    plain.end_phase()
    monkeypatch.setattr("expunge.engine.forward.continue_prefix", broken)
    runner = ForwardRunner(lm, items(), Memory())
    runner.start_phase(range(6))
    assert "no tokens are shared: a trial pass fails (RuntimeError: no cache here)" in runner.about
    assert torch.equal(runner.run([4, 1], logits=False).logprob, expected)
    runner.end_phase()

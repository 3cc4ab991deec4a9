"""One pass over a prompt scores its answers as separate passes do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers as tf
from torch import Tensor, nn

from expunge.models.collate import Budget
from expunge.models.continued_pass import common_beginning
from expunge.models.prompt_template import Encoded
from expunge.models.shared_prefix_scoring import score_options, why_not_begun, why_not_shared
from helpers.shapes import SPECIAL, TEXT, adapted, build, shared_keys, text_model

PROMPTS = [(5, 9, 30), (7,), tuple(range(20, 31)), (0, 0, 8, 2, 1, 0), (11, 12)]
ANSWERS = [
    [(4, 9, 9, 2), (3,), (6, 2)],
    [(8, 8), (9,)],
    [(40, 41, 42, 43, 44, 45), (7, 7, 7)],
    [(3,), (5,), (3, 4)],
    [(50, 51, 52)],
]
ITEMS = [
    Encoded(f"{p}/{a}", prompt, answer)
    for p, (prompt, answers) in enumerate(zip(PROMPTS, ANSWERS, strict=True))
    for a, answer in enumerate(answers)
]
GROUPS = [[0, 1, 2], [3, 4], [5, 6], [7, 8, 9]]


def logp(logits: Tensor, at: Tensor, label: Tensor, owner: Tensor) -> Tensor:
    return torch.stack([logits.log_softmax(-1)[at, label], owner.float()], 1)


@torch.no_grad()
def alone(module: nn.Module, item: Encoded) -> Tensor:
    """log p of the answer tokens from one unpadded row, no cache."""
    logits = module(input_ids=torch.tensor([item.prompt + item.answer]), use_cache=False).logits[0].float()
    return logits.log_softmax(-1)[range(len(item.prompt) - 1, item.length - 1), item.answer]


def counted(module: nn.Module, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The shapes of all passes from here on."""
    shapes: list[tuple[int, int]] = []
    plain = module.forward

    def forward(*, input_ids: Tensor, position_ids: Tensor | None = None, **more: Any) -> Any:
        shapes.append(tuple(input_ids.shape))
        return plain(input_ids=input_ids, position_ids=position_ids, **more)

    monkeypatch.setattr(module, "forward", forward)
    return shapes


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TEXT, "llava"])
def test_every_architecture_shares_prompts_and_gives_what_it_gives_alone(name: str) -> None:
    module = build(name)
    assert why_not_shared(module, ITEMS, GROUPS, Budget()) is None
    for budget in (Budget(), Budget(rows=2), Budget(logits=64 * 3), Budget(tokens=1)):
        for k, (item, result) in enumerate(zip(ITEMS, score_options(module, ITEMS, logp, budget), strict=True)):
            torch.testing.assert_close(result[:, 0], alone(module, item), atol=2e-5, rtol=0)
            assert result[:, 1].tolist() == [k] * len(item.answer)


def test_it_holds_under_an_adapter_and_in_any_order() -> None:
    module = adapted(text_model("qwen2"))
    result = score_options(module, ITEMS[::-1], logp)
    for item, values in zip(ITEMS[::-1], result, strict=True):
        torch.testing.assert_close(values[:, 0], alone(module, item), atol=2e-5, rtol=0)


def test_each_prompt_is_read_once_and_answers_of_one_token_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    module = text_model("llama")
    monkeypatch.setattr("expunge.models.shared_prefix_scoring.why_not_shared", lambda *_: None)
    shapes = counted(module, monkeypatch)
    score_options(module, ITEMS, logp)
    # the prompt with one answer; four prompts of at most 11 tokens; their six longer answers, last token unread
    assert shapes == [(1, 4), (4, 11), (6, 5)]
    shapes.clear()
    score_options(module, [i for i in ITEMS if len(i.answer) == 1], logp)
    assert shapes == [(2, 3), (1, 6)]  # prompts asked once, then the prompt with two answers


@pytest.mark.parametrize("budget", [Budget(rows=3), Budget(tokens=24), Budget(logits=64 * 8)])
def test_no_pass_holds_more_than_the_budget(budget: Budget, monkeypatch: pytest.MonkeyPatch) -> None:
    module = text_model("gpt2")
    shapes = counted(module, monkeypatch)
    recorded: list[int] = []

    def measure(logits: Tensor, at: Tensor, label: Tensor, owner: Tensor) -> Tensor:
        recorded.append(logits.numel())
        return logp(logits, at, label, owner)

    score_options(module, ITEMS, measure, budget)
    assert max(rows for rows, _ in shapes) <= budget.rows
    assert max(recorded) <= budget.logits
    assert max(rows * width for rows, width in shapes) <= budget.tokens


def test_a_row_over_the_budget_runs_alone_and_rows_of_like_length_together() -> None:
    sizes = [(2, 1), (9, 4), (3, 1), (2, 1), (3, 2)]
    assert list(Budget(tokens=6).parts(sizes, 10)) == [[1], [2, 4], [0, 3]]
    assert list(Budget(logits=30).parts(sizes, 10)) == [[1], [2, 4], [0, 3]]
    assert list(Budget(rows=4).parts(sizes, 10)) == [[1, 2, 4, 0], [3]]
    assert list(Budget().parts([], 10)) == []


class _Odd(tf.LlamaForCausalLM):  # type: ignore[misc]
    """Counts positions by itself, as some models do that follow their padding."""

    def forward(self, input_ids: Tensor, position_ids: Tensor | None = None, **more: Any) -> Any:
        return super().forward(
            input_ids=input_ids, position_ids=position_ids if position_ids is None else 3 * position_ids, **more
        )


def mamba() -> Any:
    return tf.MambaForCausalLM(
        tf.MambaConfig(vocab_size=64, hidden_size=16, state_size=4, num_hidden_layers=2, **SPECIAL)
    ).eval()


def hybrid() -> Any:
    return tf.BambaForCausalLM(
        tf.BambaConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            attn_layer_indices=[1],
            mamba_n_heads=4,
            mamba_d_head=16,
            mamba_d_state=8,
            **SPECIAL,
        )
    ).eval()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (mamba, "takes no position ids"),
        (hybrid, "a trial pass fails"),
        (shared_keys, "a cache of DynamicCache, DummyLayer, DummyLayer cannot serve"),
        (lambda: _Odd(TEXT["llama"]()).eval(), "the logits differ by a share of"),
    ],
    ids=["state space", "hybrid", "shared keys", "own positions"],
)
def test_a_model_that_cannot_be_continued_runs_every_prompt_in_full(make: Any, reason: str) -> None:
    torch.manual_seed(0)
    module = make()
    assert reason in (why_not_shared(module, ITEMS, GROUPS, Budget()) or "")
    for item, result in zip(ITEMS, score_options(module, ITEMS, logp), strict=True):
        torch.testing.assert_close(result[:, 0], alone(module, item), atol=2e-5, rtol=0)


def test_no_items_give_no_scores() -> None:
    assert score_options(text_model("llama"), [], logp) == []


BEGINNING = tuple(range(32, 44))
BEGUN = [Encoded(i.id, BEGINNING + i.prompt, i.answer) for i in ITEMS]


def test_common_beginning_leaves_a_token_of_the_shortest_prompt() -> None:
    assert common_beginning(BEGUN) == len(BEGINNING)
    assert common_beginning([*BEGUN, Encoded("short", BEGINNING, (1, 2))]) == len(BEGINNING) - 1
    assert common_beginning(ITEMS) == common_beginning(BEGUN[:1]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXT)
def test_a_common_beginning_changes_no_value_of_any_architecture(name: str) -> None:
    module = build(name)
    assert name not in ("llama", "gpt2", "qwen2") or why_not_begun(module, BEGUN, Budget()) is None
    for item, values in zip(BEGUN, score_options(module, BEGUN, logp), strict=True):
        torch.testing.assert_close(values[:, 0], alone(module, item), rtol=1e-3, atol=1e-4)


def test_beginning_runs_in_a_pass_of_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    module = text_model("llama")
    expected = [alone(module, item) for item in BEGUN]
    shapes = counted(module, monkeypatch)
    values = score_options(module, BEGUN, logp)
    assert (1, len(BEGINNING)) in shapes
    for own, other in zip(values, expected, strict=True):
        torch.testing.assert_close(own[:, 0], other, rtol=1e-3, atol=1e-4)

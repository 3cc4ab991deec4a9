"""Logits at answer positions only are the logits of the plain forward pass there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from expunge.models.adapters import TrainableConfig, block_stack, prepare
from expunge.models.collate import by_length, collate
from expunge.models.forward import answer_forward, answer_logprob, greedy
from expunge.models.language_model import LanguageModel, load
from expunge.models.prompt_template import Encoded
from helpers.world import ARCHITECTURES

PAD = 1
RAGGED = [  # prompts with the padding id and the end id inside; answers of one token and of many
    Encoded("a", (5, PAD, 9, 0, PAD), (11, 12, 0)),
    Encoded("b", (7,), (0,)),
    Encoded("c", (PAD, PAD, 8), (20, 21, 22, 23, 24, 0)),
]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def lm(request: pytest.FixtureRequest, folders: dict[str, Path]) -> LanguageModel:
    return load(folders[request.param])


def plain(lm: LanguageModel, item: Encoded) -> torch.Tensor:
    """Logits that predict the answer tokens, from an unpadded pass over the whole sequence, [a, V]."""
    with torch.no_grad():
        logits = lm.module(input_ids=torch.tensor([item.prompt + item.answer])).logits[0]
    return logits[len(item.prompt) - 1 : item.length - 1]


@pytest.mark.parametrize("pad", [0, PAD, 77])
def test_answer_logits_equal_the_plain_pass_for_any_padding(lm: LanguageModel, pad: int) -> None:
    batch = collate(RAGGED, pad)
    result = answer_forward(lm.module, batch).logits
    assert result.shape == (3, 6, 400)
    for row, item in enumerate(RAGGED):
        here = result[row, : len(item.answer)]
        torch.testing.assert_close(here, plain(lm, item), rtol=1e-4, atol=1e-5)


def test_log_probs_do_not_depend_on_the_other_rows_of_a_batch(lm: LanguageModel) -> None:
    together = answer_forward(lm.module, collate(RAGGED)).logprob(collate(RAGGED))
    for row, item in enumerate(RAGGED):
        alone = answer_forward(lm.module, collate([item])).logprob(collate([item]))[0]
        torch.testing.assert_close(together[row, : len(item.answer)], alone, rtol=0, atol=1e-5)
        assert together[row, len(item.answer) :].eq(0).all()
        expected = plain(lm, item).log_softmax(-1)[range(len(item.answer)), list(item.answer)]
        torch.testing.assert_close(alone, expected, rtol=0, atol=1e-5)


def first_block(lm: LanguageModel) -> Any:
    stack, _ = block_stack(lm.module)
    return lm.module.get_submodule(stack)[0]


def test_the_hook_is_gone_after_the_pass_and_after_a_failure(lm: LanguageModel) -> None:
    head = lm.module.get_output_embeddings()
    answer_forward(lm.module, collate(RAGGED), return_input_of=first_block(lm))
    assert not head._forward_pre_hooks
    broken = collate([Encoded("x", (5,), (400,))])  # an id that the model does not embed
    with pytest.raises(IndexError):
        answer_forward(lm.module, broken)
    assert not head._forward_pre_hooks
    assert not first_block(lm)._forward_pre_hooks


def test_the_block_input_has_a_gradient_at_input_tokens_only(lm: LanguageModel) -> None:
    for parameter in lm.module.parameters():
        parameter.requires_grad_(False)
    batch = collate(RAGGED)
    answers = answer_forward(lm.module, batch, return_input_of=first_block(lm))
    assert answers.hidden is not None
    (slope,) = torch.autograd.grad(answer_logprob(answers.logits, batch).sum(), [answers.hidden])
    felt = slope.norm(dim=-1) > 0
    read = torch.arange(batch.input_ids.shape[1]) < torch.tensor([i.length - 1 for i in RAGGED]).unsqueeze(-1)
    assert torch.equal(felt, read)  # the last token of a sequence, its end token, is predicted and never read


def test_an_adapter_does_not_change_how_the_head_is_found(lm: LanguageModel, folders: dict[str, Path]) -> None:
    fresh = load(lm.source)
    wrapped = prepare(fresh.module, TrainableConfig(layers=1), seed=0)
    torch.testing.assert_close(
        answer_forward(wrapped, collate(RAGGED)).logits,
        answer_forward(lm.module, collate(RAGGED)).logits,
        rtol=0,
        atol=0,
    )


def test_greedy_text_is_that_of_transformers(lm: LanguageModel) -> None:
    prompts = [(5, 9, 30), (7,), (8, 2, PAD), (5, 9, 31, 40)]
    eos = greedy(lm.module, [prompts[0]], ends=(), max_new_tokens=4)[0][2]  # an end token that does occur
    result = greedy(lm.module, prompts, ends={eos}, max_new_tokens=12, rows=2)
    for prompt, output in zip(prompts, result, strict=True):
        whole = lm.module.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.int64),
            do_sample=False,
            max_new_tokens=12,
            eos_token_id=eos,
            pad_token_id=PAD,
        )[0].tolist()
        assert output == whole[len(prompt) :]
    assert result[0][-1] == eos
    assert len(result[0]) <= 3


def test_greedy_stops_where_the_context_ends(lm: LanguageModel) -> None:
    output = greedy(lm.module, [tuple(range(5, 130)), tuple(range(5, 133))], ends=(), max_new_tokens=50)
    assert [len(s) for s in output] == [3, 0]  # 125 + 3 = 128 + 0 = 128
    assert greedy(lm.module, [], ends={0}, max_new_tokens=5) == []


def test_batches_start_with_the_longest_and_hold_every_row() -> None:
    parts = list(by_length(RAGGED, 2))
    assert parts == [[2, 0], [1]]
    assert list(by_length([], 2)) == []

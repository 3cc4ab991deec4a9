"""Greedy text in padded batches is the text that each prompt gets alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from expunge.models.adapters import TrainableConfig, prepare
from expunge.models.forward import greedy
from expunge.models.language_model import LanguageModel, load
from helpers.world import ARCHITECTURES

RAGGED = [(5, 9, 30), (7,), (8, 2, 1, 0), tuple(range(20, 60)), (5, 9, 31, 40), (1, 1, 9), tuple(range(30, 120))]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def lm(request: pytest.FixtureRequest, folders: dict[str, Path]) -> LanguageModel:
    return load(folders[request.param])


def alone(module: nn.Module, prompt: tuple[int, ...], count: int) -> list[int]:
    """Continuation without padding, mask or cache: the whole text is read again for every token."""
    ids = torch.tensor([prompt])
    for _ in range(count):
        with torch.no_grad():
            ids = torch.cat([ids, module(input_ids=ids).logits[:, -1].argmax(-1, keepdim=True)], 1)
    return ids[0, len(prompt) :].tolist()


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_padding_changes_no_token(lm: LanguageModel, rows: int) -> None:
    assert greedy(lm.module, RAGGED, ends=(), max_new_tokens=8, rows=rows) == [alone(lm.module, p, 8) for p in RAGGED]


def test_padding_changes_no_token_under_an_adapter(lm: LanguageModel) -> None:
    wrapped = prepare(load(lm.source).module, TrainableConfig(layers=1), seed=0).eval()
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    result = greedy(wrapped, RAGGED, ends=(), max_new_tokens=6)
    assert result == [alone(wrapped, p, 6) for p in RAGGED]
    assert result != greedy(lm.module, RAGGED, ends=(), max_new_tokens=6)


def test_each_row_of_a_batch_ends_at_its_own_end_of_context(lm: LanguageModel) -> None:
    prompts = [tuple(range(5, 130)), tuple(range(5, 15)), tuple(range(5, 132))]  # 125, 10 and 127 of 128 tokens
    result = greedy(lm.module, prompts, ends=(), max_new_tokens=20)
    assert [len(output) for output in result] == [3, 20, 1]
    assert result[1] == alone(lm.module, prompts[1], 20)


def test_generation_stops_once_every_row_has_ended(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = [alone(lm.module, p, 3) for p in RAGGED[:2]]
    calls: list[Tensor] = []
    plain = type(lm.module).forward

    def counted(self: nn.Module, input_ids: Tensor, position_ids: Tensor | None = None, **more: object) -> object:
        calls.append(input_ids)
        return plain(self, input_ids=input_ids, position_ids=position_ids, **more)

    monkeypatch.setattr(type(lm.module), "forward", counted)
    output = greedy(lm.module, [RAGGED[0], RAGGED[0]], ends={ends[0][1]}, max_new_tokens=12)
    count = ends[0].index(ends[0][1]) + 1
    assert output == [ends[0][:count]] * 2
    assert len(calls) == count


def test_a_model_without_position_ids_is_never_padded(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    widths: list[tuple[int, ...]] = []
    plain = type(lm.module).forward

    def blind(self: nn.Module, input_ids: Tensor, attention_mask: Tensor, **more: object) -> object:
        assert bool(attention_mask.all())
        widths.append(tuple(input_ids.shape))
        return plain(self, input_ids=input_ids, attention_mask=attention_mask, **more)

    wanted = [alone(lm.module, p, 4) for p in RAGGED]
    monkeypatch.setattr(type(lm.module), "forward", blind)
    assert greedy(lm.module, RAGGED, ends=(), max_new_tokens=4) == wanted
    assert (2, 4) in widths  # equal lengths still share a batch


def test_each_of_several_ends_ends_a_row(lm: LanguageModel) -> None:
    whole = [alone(lm.module, p, 6) for p in RAGGED]
    ends = {whole[0][1], whole[1][2]}
    first = [next((k + 1 for k, i in enumerate(ids) if i in ends), 6) for ids in whole]
    assert greedy(lm.module, RAGGED, ends, max_new_tokens=6) == [
        ids[:count] for ids, count in zip(whole, first, strict=True)
    ]
    assert min(first) < 6

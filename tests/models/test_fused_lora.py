"""Fused adapters: the same outputs and gradients as peft's own, and peft's own wherever they would not be."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from expunge.models.adapters import TrainableConfig, prepare, trainable
from expunge.models.collate import collate
from expunge.models.forward import answer_forward
from expunge.models.fused_lora import fuse, unfuse
from expunge.models.last_mlp import find_position_wise_mlp, only_answer_positions
from expunge.models.prompt_template import Encoded
from expunge.models.tiny import build
from helpers.world import ARCHITECTURES, small, tokenizer

BATCH = collate([Encoded("a", (5, 6, 7), (8, 9)), Encoded("b", (5,), (3, 4, 2, 1)), Encoded("c", (9, 4), (2,))])


def adapted(architecture: str) -> Any:
    module = prepare(build(small(architecture), tokenizer(), 1), TrainableConfig(rank=2), 1).eval()
    with torch.no_grad():
        for name, parameter in trainable(module).items():
            if "lora_B" in name:
                parameter.normal_(std=0.1, generator=torch.Generator().manual_seed(len(name)))
    return module


def outcome(module: Any) -> tuple[torch.Tensor, list[torch.Tensor]]:
    logits = answer_forward(module, BATCH).logits[BATCH.mask]
    loss = torch.nn.functional.cross_entropy(logits, BATCH.labels[BATCH.mask])
    return logits, list(torch.autograd.grad(loss, list(trainable(module).values())))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_outputs_and_gradients_are_those_of_peft(architecture: str) -> None:
    module = adapted(architecture)
    plain = outcome(module)
    fuse(module)
    torch.testing.assert_close(outcome(module), plain, rtol=1e-4, atol=1e-5)
    with module.disable_adapter():
        off = answer_forward(module, BATCH).logits
    unfuse(module)
    assert not any("forward" in vars(child) for child in module.modules())
    with module.disable_adapter():
        torch.testing.assert_close(answer_forward(module, BATCH).logits, off, rtol=0, atol=0)


def test_peft_runs_where_there_are_hooks_or_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    module = adapted("llama")
    fuse(module)
    used: list[int] = []
    inner = torch.addmm
    monkeypatch.setattr(torch, "addmm", lambda *a, **k: used.append(1) or inner(*a, **k))
    answer_forward(module, BATCH)
    layers = len(used)
    assert layers == 3 * 7
    watched = next(child for name, child in module.named_modules() if name.endswith("lora_A.default"))
    watched.register_forward_hook(lambda *_: None)
    answer_forward(module, BATCH)
    assert len(used) == 2 * layers - 1
    answer_forward(module.to(torch.bfloat16), BATCH)
    assert len(used) == 2 * layers - 1


def test_a_deep_copy_runs_on_its_own_weights() -> None:
    module = adapted("llama")
    fuse(module)
    twin = copy.deepcopy(module)
    before = answer_forward(module, BATCH).logits.detach()
    with torch.no_grad():
        for parameter in trainable(twin).values():
            parameter.zero_()
    assert not torch.allclose(answer_forward(twin, BATCH).logits, before, atol=1e-4)
    torch.testing.assert_close(answer_forward(module, BATCH).logits, before, rtol=0, atol=0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_last_mlp_is_needed_at_answer_positions_only(architecture: str) -> None:
    module = adapted(architecture)
    part = find_position_wise_mlp(module, BATCH)
    assert part is not None
    assert [name.rsplit(".", 2)[-2:] for name, child in module.named_modules() if child is part] == [["2", "mlp"]]
    recorded: list[torch.Size] = []
    plain = outcome(module)
    with only_answer_positions(part, BATCH):
        handle = part.register_forward_pre_hook(lambda _, args: recorded.append(args[0].shape))
        result = outcome(module)
        handle.remove()
    assert [tuple(shape[:2]) for shape in recorded] == [(1, int(BATCH.mask.sum()))]
    torch.testing.assert_close(result, plain, rtol=1e-4, atol=1e-5)


def test_a_part_that_is_not_position_wise_is_left_alone() -> None:
    """A model that mixes positions after its last block."""
    module = adapted("llama")
    norm = next(child for name, child in module.named_modules() if name.endswith("model.norm"))
    norm.register_forward_hook(lambda _, __, out: out + out.mean(1, keepdim=True))
    assert find_position_wise_mlp(module, BATCH) is None

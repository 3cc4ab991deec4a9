"""Adapters of some blocks are left out of a step, others by turns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from expunge.engine.recipe import Recipe
from expunge.errors import InputError
from expunge.models.adapters import block_of, drop_adapters, trainable
from helpers.runs import loop, recipe


def test_a_block_left_out_answers_as_before_and_gets_no_gradient(folders: dict[str, Path]) -> None:
    made = loop(folders["llama"], recipe("npo"))
    module = made.lm.module
    parameters = trainable(module)
    with torch.no_grad():
        for name, p in parameters.items():
            if "lora_B" in name:
                p.add_(0.1)
    ids = torch.tensor([[5, 6, 7]])
    with module.disable_adapter():
        before = module(ids).logits.detach()
    blocks = sorted({block for name in parameters if (block := block_of(name, "model.layers")) is not None})
    with drop_adapters(module, blocks):
        assert torch.equal(module(ids).logits, before)
    with drop_adapters(module, blocks[:1]):
        module(ids).logits.square().sum().backward()
    for name, p in parameters.items():
        still = block_of(name, "model.layers") == blocks[0]
        assert (p.grad is None or not p.grad.any()) if still else p.grad is not None
    assert not torch.allclose(module(ids).logits, before)  # and afterwards all of them act again


def test_other_blocks_rest_at_every_step_and_never_all_of_them(folders: dict[str, Path]) -> None:
    made = loop(folders["llama"], recipe("npo", train={"drop_blocks": 0.9}))
    parameters = trainable(made.lm.module)
    blocks = {block for name in parameters if (block := block_of(name, "model.layers")) is not None}
    seen = []
    for step in range(40):
        made.state.step = step
        seen.append(frozenset(made._dropped_blocks(parameters)))
        assert seen[-1] < blocks
        assert seen[-1] == frozenset(made._dropped_blocks(parameters))
    assert len(set(seen)) > 1
    made.resolved = recipe("npo").resolve()
    assert made._dropped_blocks(parameters) == []


def test_full_weights_have_nothing_to_leave_out() -> None:
    with pytest.raises(InputError, match=r"drop_blocks.*lora"):
        Recipe(method="npo", train={"which": "full", "drop_blocks": 0.5}).resolve()  # type: ignore[arg-type]

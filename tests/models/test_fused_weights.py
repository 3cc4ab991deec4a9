"""Experts held in one tensor: adapters reach them, and a merged, saved and loaded model is the adapted one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from expunge.models.adapters import TrainableConfig, adapter_off, block_stack, prepare, trainable
from expunge.models.fused_weights import trainable_share
from expunge.models.language_model import load, merge_adapter
from expunge.models.quantize import quantize, round_to_grid
from helpers.expert_models import EXPERT_KINDS, write_expert_model

IDS = torch.tensor([[5, 9, 300, 7, 1, 12]])
every_kind = pytest.mark.parametrize("kind", EXPERT_KINDS)


@pytest.fixture(scope="module")
def expert_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("experts")
    return {kind: write_expert_model(root / kind, kind) for kind in EXPERT_KINDS}


@every_kind
def test_adapters_reach_the_experts_and_merge_to_the_same(
    expert_folders: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    lm = load(expert_folders[kind])
    before = lm.module(input_ids=IDS).logits
    lm = lm.with_module(prepare(lm.module, TrainableConfig(layers=1, rank=2), seed=0))
    names = trainable(lm.module)
    assert len([name for name in names if ".experts." in name]) == 4  # A and B of two stacks in one block
    assert trainable_share(lm.module, *_last_block(lm.module)) > 0.96  # all but norms, biases and the router
    with torch.no_grad():
        for name, parameter in names.items():
            if ".experts." in name and "lora_B" in name:
                parameter.normal_(0, 0.2, generator=torch.Generator().manual_seed(1))
    changed = lm.module(input_ids=IDS).logits
    assert not torch.allclose(changed, before, atol=1e-3)
    with adapter_off(lm.module):
        assert torch.equal(lm.module(input_ids=IDS).logits, before)
    lm.save(tmp_path / "adapter")
    merged = merge_adapter(lm)
    torch.testing.assert_close(merged.module(input_ids=IDS).logits, changed, rtol=1e-4, atol=1e-5)
    again = load(merged.save(tmp_path / "merged"))
    torch.testing.assert_close(again.module(input_ids=IDS).logits, changed, rtol=1e-4, atol=1e-5)


def _last_block(module: nn.Module) -> tuple[str, tuple[int, ...]]:
    stack, count = block_stack(module)
    return stack, (count - 1,)


def test_experts_can_be_named_alone(expert_folders: dict[str, Path]) -> None:
    module = prepare(load(expert_folders["mixtral"]).module, TrainableConfig(modules=("gate_up_proj",)), seed=0)
    assert {name.split(".lora_")[0].rsplit(".", 1)[-1] for name in trainable(module)} == {"experts"}
    stack, count = block_stack(module)
    block = 4 * 32 * 32 + 4 * 32 + 4 * 96 * 32 + 4 * 32 * 48 + 2 * 32  # attention, router, experts, norms
    assert trainable_share(module, stack, range(count)) == pytest.approx(4 * 96 * 32 / block)


def test_the_share_counts_what_can_change() -> None:
    block = nn.ModuleDict({"linear": nn.Linear(5, 2, bias=False), "norm": nn.LayerNorm(1)})
    module = nn.ModuleDict({"layers": nn.ModuleList([block])})
    module.requires_grad_(False)
    module["layers"][0]["linear"].requires_grad_(True)
    assert trainable_share(module, "layers", (0,)) == pytest.approx(10 / 12)
    assert trainable_share(module.requires_grad_(True), "layers", (0,)) == 1


@every_kind
def test_rounding_to_four_bits_includes_the_experts(expert_folders: dict[str, Path], kind: str) -> None:
    module = load(expert_folders[kind]).module
    before = {name: p.clone() for name, p in module.named_parameters()}
    quantize(module, 4)
    name = "model.layers.0.mlp.experts.down_proj"
    after = dict(module.named_parameters())[name]
    if kind == "gpt_oss":  # [experts, in, out]
        expected = round_to_grid(before[name].transpose(-1, -2), 4).transpose(-1, -2)
    else:
        expected = round_to_grid(before[name], 4)
    assert torch.equal(after, expected)
    assert not torch.equal(after, before[name])

"""What a run may change: found by structure, and nothing else ever moves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from expunge.errors import InputError
from expunge.models.adapters import (
    TrainableConfig,
    adapter_off,
    block_of,
    block_stack,
    chosen_blocks,
    prepare,
    set_trainable_blocks,
    trainable,
)
from expunge.models.language_model import load
from helpers.world import ARCHITECTURES

IDS = torch.tensor([[5, 9, 300, 7, 1, 12]])
STACK = {"llama": "model.layers", "gpt2": "transformer.h", "qwen2": "model.layers"}
LINEARS = {"llama": 7, "gpt2": 4, "qwen2": 7}  # in a block
both = pytest.mark.parametrize("architecture", ARCHITECTURES)


@both
def test_the_stack_of_blocks_is_found_by_structure(folders: dict[str, Path], architecture: str) -> None:
    module = load(folders[architecture]).module
    assert block_stack(module) == (STACK[architecture], 3)
    name, count = block_stack(prepare(module, TrainableConfig(layers=1), seed=0))
    assert name.endswith(STACK[architecture])
    assert count == 3


def test_the_experts_of_a_block_are_not_taken_for_blocks() -> None:
    def block() -> nn.Module:
        return nn.ModuleDict({"experts": nn.ModuleList(nn.Linear(2, 2) for _ in range(8))})

    model = nn.ModuleDict(
        {"vision": nn.ModuleList(nn.Linear(2, 2) for _ in range(3)), "layers": nn.ModuleList(block() for _ in range(4))}
    )
    assert block_stack(model) == ("layers", 4)
    with pytest.raises(InputError, match="no stack of equal blocks"):
        block_stack(nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("layers", "blocks"),
    [
        ("all", (0, 1, 2, 3, 4, 5, 6, 7)),
        (2, (6, 7)),
        ("2", (6, 7)),
        (8, tuple(range(8))),
        ("1/3", (5, 6, 7)),
        ("0-1/3", (0, 1, 2)),
        ("1/3-2/3", (3, 4)),
        ("2/3-1", (5, 6, 7)),
        ("1/2-1", (4, 5, 6, 7)),
        ("0-1", (0, 1, 2, 3, 4, 5, 6, 7)),
        ("1/4", (6, 7)),
        ("1/99", (7,)),
        ("3/3", tuple(range(8))),
        ((5, 1, 5), (1, 5)),
    ],
)
def test_blocks_are_named_by_all_number_share_or_list(
    layers: str | int | tuple[int, ...], blocks: tuple[int, ...]
) -> None:
    assert chosen_blocks(layers, 8) == blocks


@pytest.mark.parametrize("layers", [0, 9, -1, "0", "9", "0/3", "4/3", "1/0", "last", "1.5", (), (8,), (-1, 2)])
def test_blocks_that_are_not_there_are_refused_by_the_name_of_the_setting(layers: str | int | tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"^train\.layers: "):
        chosen_blocks(layers, 8)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("2/3-1/3", "2/3-1/3 is no range of shares"),
        ("1/3-4/3", "1/3-4/3 is no range of shares"),
        ("0-1/99", "no block lies in 0-1/99 of 8 blocks"),
        ("1/3-", "neither all"),
        ("1/3-1/0", "neither all"),
    ],
)
def test_a_range_without_blocks_is_refused(layers: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        chosen_blocks(layers, 8)


@pytest.mark.parametrize("count", range(3, 40))
def test_thirds_share_no_block_and_leave_none_out(count: int) -> None:
    thirds = [chosen_blocks(layers, count) for layers in ("0-1/3", "1/3-2/3", "2/3-1")]
    assert tuple(k for third in thirds for k in third) == tuple(range(count))
    assert thirds[2] == chosen_blocks("1/3", count)


def test_a_block_number_is_read_from_names_inside_and_outside_a_wrapper() -> None:
    assert block_of("model.layers.11.mlp.up_proj.weight", "model.layers") == 11
    assert block_of("base_model.model.model.layers.1.mlp.lora_A", "model.layers") == 1
    assert block_of("model.norm.weight", "model.layers") is None
    assert block_of("my_model.layers.1.x", "model.layers") is None


@both
def test_lora_trains_adapters_of_the_chosen_blocks_only(folders: dict[str, Path], architecture: str) -> None:
    module = prepare(load(folders[architecture]).module, TrainableConfig(layers=(0, 2), rank=4), seed=0)
    moving = trainable(module)
    assert len(moving) == 2 * 2 * LINEARS[architecture]  # A and B of every linear of two blocks
    assert all("lora_" in name for name in moving)
    assert {block_of(name, block_stack(module)[0]) for name in moving} == {0, 2}
    assert {min(p.shape) for p in moving.values()} == {4}


def test_lora_can_be_put_on_modules_by_name(folders: dict[str, Path]) -> None:
    module = prepare(load(folders["llama"]).module, TrainableConfig(modules=("q_proj", "down_proj")), seed=0)
    assert {name.split(".lora")[0].rsplit(".", 1)[-1] for name in trainable(module)} == {"q_proj", "down_proj"}
    for which in ("lora", "full"):
        with pytest.raises(InputError, match=r"train\.modules: nothing called c_attn"):
            prepare(load(folders["llama"]).module, TrainableConfig(which=which, modules=("c_attn",)), seed=0)


def test_adapters_depend_on_the_seed_alone(folders: dict[str, Path]) -> None:
    state = torch.random.get_rng_state()
    one, two, other = (trainable(prepare(load(folders["llama"]).module, TrainableConfig(), seed)) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@both
def test_full_weights_train_in_the_chosen_blocks_only(folders: dict[str, Path], architecture: str) -> None:
    module = prepare(load(folders[architecture]).module, TrainableConfig(which="full", layers=2), seed=0)
    everything = dict(module.named_parameters())
    assert {block_of(n, STACK[architecture]) for n in trainable(module)} == {1, 2}
    assert set(trainable(module)) == {n for n in everything if block_of(n, STACK[architecture]) in (1, 2)}
    assert set(trainable(prepare(module, TrainableConfig(which="full"), seed=0))) == set(everything)


def test_full_weights_of_named_modules_only(folders: dict[str, Path]) -> None:
    module = prepare(load(folders["llama"]).module, TrainableConfig(which="full", layers=1, modules=("mlp",)), seed=0)
    assert set(trainable(module)) == {f"model.layers.2.mlp.{m}_proj.weight" for m in ("gate", "up", "down")}


def test_a_phase_narrows_what_trains_and_never_widens_it(folders: dict[str, Path]) -> None:
    module = prepare(load(folders["llama"]).module, TrainableConfig(layers=2), seed=0)
    allowed = frozenset(trainable(module))
    set_trainable_blocks(module, 1, allowed)
    assert {block_of(n, "model.layers") for n in trainable(module)} == {2}
    set_trainable_blocks(module, "all", allowed)
    assert set(trainable(module)) == allowed
    set_trainable_blocks(module, (0,), allowed)
    assert trainable(module) == {}


def test_an_error_with_the_adapter_off_leaves_what_trains_as_it_was(folders: dict[str, Path]) -> None:
    module = prepare(load(folders["llama"]).module, TrainableConfig(layers=1), seed=0)
    before = set(trainable(module))
    with pytest.raises(RuntimeError, match="inside"), adapter_off(module):
        raise RuntimeError("inside")
    assert set(trainable(module)) == before


@both
def test_with_the_adapter_off_the_model_is_the_original_bit_for_bit(
    folders: dict[str, Path], architecture: str
) -> None:
    before = load(folders[architecture]).module(input_ids=IDS).logits
    module = prepare(load(folders[architecture]).module, TrainableConfig(), seed=0)
    with torch.no_grad():
        for parameter in trainable(module).values():
            parameter.add_(0.1)
    assert not torch.equal(module(input_ids=IDS).logits, before)
    with adapter_off(module):
        assert torch.equal(module(input_ids=IDS).logits, before)
    assert not torch.equal(module(input_ids=IDS).logits, before)

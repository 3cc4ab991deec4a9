"""Which parameters train: low-rank adapters on chosen blocks, named blocks with full weights, or everything.

Adapters go on every linear layer of a block and on weights that are none (`fused_weights`), as experts in one tensor.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

from pydantic import Field
from torch import nn

from expunge._config import FrozenModel
from expunge.errors import InputError
from expunge.models.blocks import Layers, block_of, block_stack, chosen_blocks, is_stack
from expunge.models.fused_weights import fused_weights
from expunge.models.precision import is_quantized
from expunge.models.vision.feature_cache import vision_module, vision_parameters

__all__ = [
    "Layers",
    "TrainableConfig",
    "adapter_off",
    "block_of",
    "block_stack",
    "chosen_blocks",
    "drop_adapters",
    "enable_checkpointing",
    "prepare",
    "set_trainable_blocks",
    "trainable",
    "vision_linear_names",
]
Tower = Literal["language", "vision", "connector"]


class TrainableConfig(FrozenModel):
    """What a run may change."""

    which: Literal["lora", "full"] = Field("lora", description="low-rank adapters, or the weights themselves")
    layers: Layers = Field(
        "all",
        description="all; k for the last k blocks; max k for the last k, or all where there are fewer; 1/3 for the "
        "last third; 1/3-2/3 for the middle one, from the lowest block; or a list of block numbers",
    )
    rank: int = Field(8, ge=1, le=65_536, description="LoRA rank r")
    lora_alpha: float = Field(16.0, gt=0, description="LoRA scaling: the update is lora_alpha / r * B A")
    drop_blocks: float = Field(
        0.0, ge=0, lt=1, description="probability that a step leaves out a block's adapter, drawn for each step"
    )
    modules: tuple[str, ...] = Field(
        (), description="linear modules by suffix, e.g. q_proj; empty means all in a block"
    )
    towers: tuple[Tower, ...] = Field(
        ("language",),
        min_length=1,
        description="where adapters go: language (its blocks), and in an image-text model "
        "vision (the same share of its tower's blocks) and connector (between the two)",
    )


def _linear_names(module: nn.Module, stack: str, blocks: tuple[int, ...], suffixes: tuple[str, ...]) -> list[str]:
    from transformers.pytorch_utils import Conv1D

    names = [
        name
        for name, child in module.named_modules()
        if isinstance(child, nn.Linear | Conv1D)
        and block_of(name, stack) in blocks
        and (not suffixes or name.rsplit(".", 1)[-1] in suffixes)
    ]
    return names


def vision_linear_names(module: nn.Module, tower: Tower, layers: Layers = "all") -> list[str]:
    """Names of linear modules of the vision tower (in the blocks that `layers` selects) or of the connector.

    The tower is the part that holds a stack of blocks; the rest of the vision side is the connector.
    """
    owner = vision_module(module)
    if owner is None:
        raise InputError("train.towers", f"this model reads text only, so it has no {tower}", "leave it out")
    parameters = {id(p) for p in vision_parameters(owner)}
    modules = {
        name: child
        for name, child in module.named_modules()
        if name and any(id(p) in parameters for p in child.parameters())
    }
    stacks = {name: len(child) for name, child in modules.items() if is_stack(child)}
    stack = max(stacks, key=lambda name: stacks[name], default="")
    if not stack:
        raise InputError("train.towers", "no stack of equal blocks was found on its vision side", "leave vision out")
    count = stacks[stack]
    blocks = chosen_blocks(min(layers, count) if isinstance(layers, int) else layers, count)
    root = next(n for n, c in module.named_modules() if c is owner)
    inner = stack.removeprefix(f"{root}.").split(".")[0]
    tower_root = f"{root}.{inner}" if root else inner
    names = [
        name
        for name, child in modules.items()
        if isinstance(child, nn.Linear)
        and (block_of(name, stack) in blocks if tower == "vision" else not f"{name}.".startswith(f"{tower_root}."))
    ]
    if not names:
        raise InputError("train.towers", f"no linear module was found in its {tower}", "leave it out")
    return names


def _no_modules(suffixes: tuple[str, ...]) -> InputError:
    return InputError(
        "train.modules",
        f"nothing called {', '.join(suffixes) or '…'} is in the chosen blocks",
        "name modules of the model, for example q_proj, or leave it empty for all",
    )


def prepare(module: Any, train: TrainableConfig, seed: int) -> Any:
    """Freeze everything, then make trainable what `train` names; returns the module, for LoRA wrapped by peft."""
    import torch

    if train.which == "full" and is_quantized(module):
        raise InputError("train.which", "full: quantized weights cannot train", "use lora, or --dtype bfloat16")
    everything = train.which == "full" and train.layers == "all" and not train.modules
    module.requires_grad_(everything)
    if everything:
        return module
    stack, count = block_stack(module)
    blocks = chosen_blocks(train.layers, count)
    if train.which == "full":
        for name, parameter in module.named_parameters():
            named = not train.modules or any(part in train.modules for part in name.split("."))
            parameter.requires_grad_(named and block_of(name, stack) in blocks)
        if not trainable(module):
            raise _no_modules(train.modules)
        return module
    from peft import LoraConfig, get_peft_model
    from transformers.pytorch_utils import Conv1D

    names: list[str] = []
    fused: list[str] = []
    if "language" in train.towers:
        names = _linear_names(module, stack, blocks, train.modules)
        fused = [name for name, _ in fused_weights(module, stack, blocks, train.modules)]
        if not names and not fused:
            raise _no_modules(train.modules)
    for tower in train.towers:
        if tower != "language":
            names += vision_linear_names(module, tower, train.layers)
    config = LoraConfig(
        r=train.rank,
        lora_alpha=train.lora_alpha,
        lora_dropout=0.0,
        bias="none",
        target_modules=names,
        **({"target_parameters": fused} if fused else {}),
        fan_in_fan_out=bool(names) and isinstance(module.get_submodule(names[0]), Conv1D),  # GPT-2: [in, out]
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's, on kinds of adapters that are not used here
        torch.manual_seed(seed)
        return get_peft_model(module, config)


@contextmanager
def adapter_off(module: Any) -> Iterator[None]:
    """Inside, a peft model runs without its adapter; any other model runs as it is.

    peft makes all adapters trainable at the end; this restores `requires_grad` of every parameter.
    """
    flags = [(p, p.requires_grad) for p in module.parameters()]
    try:
        with module.disable_adapter() if hasattr(module, "disable_adapter") else nullcontext():
            yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


@contextmanager
def drop_adapters(module: nn.Module, blocks: Collection[int]) -> Iterator[None]:
    """Inside, the adapters of these blocks add nothing (and get gradients of 0)."""
    stack, _ = block_stack(module) if blocks else ("", 0)
    scalings: list[tuple[Any, dict[str, float]]] = []
    for name, child in module.named_modules() if blocks else ():
        if hasattr(child, "lora_A") and block_of(name, stack) in blocks:
            layer: Any = child
            scalings.append((layer, dict(layer.scaling)))
            layer.scaling.update(dict.fromkeys(layer.scaling, 0.0))
    try:
        yield
    finally:
        for layer, scaling in scalings:
            layer.scaling.update(scaling)


def set_trainable_blocks(module: nn.Module, layers: Layers, trainable: frozenset[str]) -> None:
    """Let only parameters of `trainable` in the chosen blocks train (the layer restriction of a phase)."""
    stack, count = ("", 0) if layers == "all" else block_stack(module)
    blocks = chosen_blocks(layers, count)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name in trainable and (layers == "all" or block_of(name, stack) in blocks))


def enable_checkpointing(module: Any) -> None:
    """Activation checkpointing: every block keeps only its input and runs again in the backward pass.

    Training mode switches it on. Only the blocks themselves get it; their parts stay in evaluation mode, so that
    no dropout is active.
    """
    if not getattr(module, "supports_gradient_checkpointing", False):
        raise InputError(
            type(module).__name__, "does not offer activation checkpointing", "set memory.checkpointing: false"
        )
    module.gradient_checkpointing_enable({"use_reentrant": False})
    for block in module.get_submodule(block_stack(module)[0]):
        block.training = True


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that train, by name, in a fixed order."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}

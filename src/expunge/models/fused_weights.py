"""Weights that are no linear layer of their own: the experts of a block in one tensor, as in Mixtral or Qwen3-MoE.

peft reaches them by the name of the parameter (`target_parameters`), each expert with adapters of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from torch import nn

from expunge.models.blocks import block_of

SHARE_BOUND = 0.5  # of the chosen blocks' weights; a run that can change less says so


def fused_weights(
    module: nn.Module, stack: str, blocks: Collection[int] | None = None, suffixes: Collection[str] = ()
) -> Iterator[tuple[str, nn.Parameter]]:
    """Names and tensors [experts, out, in] of fused weights in the blocks of `stack`.

    Args:
        module: the model.
        stack: name of its list of blocks.
        blocks: block numbers; None for all.
        suffixes: last parts of the names wanted; empty for all.
    """
    convolutions = {id(m.weight) for m in module.modules() if isinstance(m, nn.modules.conv._ConvNd)}
    for name, parameter in module.named_parameters():
        block = block_of(name, stack)
        if parameter.ndim != 3 or block is None or id(parameter) in convolutions or "lora_" in name:
            continue
        if (blocks is None or block in blocks) and (not suffixes or name.rsplit(".", 1)[-1] in suffixes):
            yield name, parameter


def trainable_share(module: nn.Module, stack: str, blocks: Collection[int]) -> float:
    """Share of the weights in `blocks` that a prepared model can change, by adapters or directly; 1 for all.

    A linear layer of 10 weights with an adapter beside a norm of 2 frozen weights gives 10/12.
    """
    total, reached = 0, set[int]()
    sizes: dict[int, int] = {}
    for name, parameter in module.named_parameters():
        if block_of(name, stack) in blocks and "lora_" not in name:
            total += parameter.numel()
            sizes[id(parameter)] = parameter.numel()
            if parameter.requires_grad:
                reached.add(id(parameter))
    for name, child in module.named_modules():
        if hasattr(child, "lora_A") and block_of(name, stack) in blocks:
            base = child.get_base_layer()
            reached.add(id(getattr(base, getattr(child, "parameter_name", "weight"))))
    return sum(size for key, size in sizes.items() if key in reached) / total if total else 1.0

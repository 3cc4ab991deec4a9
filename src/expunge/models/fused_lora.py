"""Low-rank adapters at the cost of the layers they adapt: one matrix product instead of three and two sums.

peft computes x W' + s (x A') B' as it reads, and the extra outputs take a third of a step on a few trainable blocks.
Here W + s B A is formed, which is small, and multiplied once; the gradients of A and B are taken without that of W.
Equal up to rounding, for float32 and float64 only: in half precision W + s B A would lose small changes.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class _Adapted(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(x, weight, a, b)
        ctx.scale = scale
        return nn.functional.linear(x, torch.addmm(weight, b, a, alpha=scale), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, a, b = ctx.saved_tensors
        needs_x, _, _, needs_a, needs_b, _ = ctx.needs_input_grad
        slope, rows = grad.reshape(-1, grad.shape[-1]), x.reshape(-1, x.shape[-1])
        d_x = (slope @ torch.addmm(weight, b, a, alpha=ctx.scale)).view_as(x) if needs_x else None
        d_a = ((slope @ b).T @ rows).mul_(ctx.scale) if needs_a else None
        d_b = ((rows @ a.T).T @ slope).mul_(ctx.scale).T if needs_b else None
        return d_x, None, None, d_a, d_b, None


def fuse(module: nn.Module) -> None:
    """Run the adapters of a peft model fused wherever the result is the same, until `unfuse`."""
    if not hasattr(module, "peft_config"):
        return
    from peft.tuners.lora.layer import Linear

    for child in module.modules():
        if type(child) is Linear and "forward" not in vars(child):
            child.forward = MethodType(_forward, child)  # bound, so that it survives a deep copy


def unfuse(module: nn.Module) -> None:
    """Let peft run the adapters again."""
    for child in module.modules():
        if getattr(vars(child).get("forward"), "__func__", None) is _forward:
            del child.forward


def _forward(layer: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    name = None if args or kwargs else single_adapter(layer)
    if name is not None:
        base, a, b = layer.base_layer, layer.lora_A[name], layer.lora_B[name]
        weight = base.weight.T if layer.fan_in_fan_out else base.weight
        if _plain(x, base, a, b) and not weight.requires_grad and (base.bias is None or not base.bias.requires_grad):
            apply: Callable[..., Tensor] = _Adapted.apply
            return apply(x, weight, base.bias, a.weight, b.weight, layer.scaling[name])
    return cast(Tensor, type(layer).forward(layer, x, *args, **kwargs))


def single_adapter(layer: Any) -> str | None:
    """The name of the adapter if exactly one is active and adds nothing but a multiple of x A' B'."""
    if layer.disable_adapters or layer.merged:
        return None
    active = [name for name in layer.active_adapters if name in layer.lora_A]
    if len(active) != 1 or active[0] in layer.lora_variant:
        return None
    dropout = layer.lora_dropout[active[0]]
    return active[0] if isinstance(dropout, nn.Identity) or not dropout.training else None


def _plain(x: Tensor, base: nn.Module, a: nn.Linear, b: nn.Linear) -> bool:
    """One wide dtype, no autocast, no hooks."""
    dtypes = {x.dtype, cast(Tensor, base.weight).dtype, a.weight.dtype, b.weight.dtype}
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return (
        len(dtypes) == 1
        and x.dtype in (torch.float32, torch.float64)
        and a.bias is None
        and b.bias is None
        and not any(getattr(part, kind) for part in (base, a, b) for kind in kinds)
        and not torch.is_autocast_enabled(x.device.type)
    )

"""Gradients of adapter matrices per unit (a person, or a record), from one forward and one backward pass of a batch.

The low-rank part of a layer is y = s (x A') B'. For row b, the gradient of A is s (g_b B)' x_b and that of B is
s g_b' (x_b A'), with x the input of the layer and g the gradient at its output. Autograd computes only the gradients at
the outputs, which works with every path of a pass (prefix cache, fused adapters, answer positions only).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from expunge.errors import InputError
from expunge.gradients.base import Gradients, upcast
from expunge.models.collate import Batch
from expunge.models.fused_lora import single_adapter


@dataclass(frozen=True)
class AdaptedLayer:
    """A linear layer with one low-rank adapter; `a` and `b` name its matrices among the parameters."""

    name: str
    module: Any
    a: str
    b: str
    adapter: str

    @property
    def parameters(self) -> tuple[nn.Parameter, nn.Parameter]:
        """A [r, in] and B [out, r]."""
        return self.module.lora_A[self.adapter].weight, self.module.lora_B[self.adapter].weight

    @property
    def scale(self) -> float:
        return float(self.module.scaling[self.adapter])


@dataclass(frozen=True)
class LayerCall:
    """Input and output of one call of a layer; the output is part of the graph."""

    layer: AdaptedLayer
    x: Tensor
    y: Tensor


def adapted_layers(module: nn.Module, parameters: Iterable[str]) -> list[AdaptedLayer]:
    """The layers whose matrices are `parameters`; `InputError` if one belongs to no plain low-rank adapter."""
    from peft.tuners.lora.layer import Linear

    wanted, layers = set(parameters), []
    for name, child in module.named_modules():
        adapter = single_adapter(child) if type(child) is Linear else None
        a, b = f"{name}.lora_A.{adapter}.weight", f"{name}.lora_B.{adapter}.weight"
        if adapter is not None and {a, b} <= wanted:
            layers.append(AdaptedLayer(name, child, a, b, adapter))
    other = wanted.difference(*((layer.a, layer.b) for layer in layers))
    if other:
        raise InputError(
            "privacy",
            f"{min(other)} trains, and gradients per unit are known for the matrices of plain low-rank adapters only",
            "name linear layers in train.modules",
        )
    return layers


@contextmanager
def record_calls(layers: Sequence[AdaptedLayer]) -> Iterator[list[LayerCall]]:
    """Record every call of the layers inside the block, where their matrices need no gradient."""
    calls: list[LayerCall] = []

    def recorder(layer: AdaptedLayer) -> Callable[..., Tensor]:
        def hook(_: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
            y = output if output.requires_grad else output.requires_grad_(True)  # no gradient below this layer
            calls.append(LayerCall(layer, args[0].detach(), y))
            return y

        return hook

    matrices = [m for layer in layers for m in layer.parameters]
    flags = [m.requires_grad for m in matrices]
    handles = [layer.module.register_forward_hook(recorder(layer)) for layer in layers]
    try:
        for matrix in matrices:
            matrix.requires_grad_(False)
        yield calls
    finally:
        for handle in handles:
            handle.remove()
        for matrix, flag in zip(matrices, flags, strict=True):
            matrix.requires_grad_(flag)


def unit_gradients(
    loss: Tensor, calls: Sequence[LayerCall], batch: Batch, owner: Sequence[int], units: int
) -> Gradients:
    """Gradients of a loss summed over the rows of `batch`, per unit: {parameter: [units, ...]}, float32.

    Rows must not influence each other in the model.

    Args:
        loss: sum over the rows.
        calls: of the adapted layers in the pass.
        batch: the rows.
        owner: unit of each row, 0 … units - 1.
        units: number of units.
    """
    output_gradients = torch.autograd.grad(loss, [call.y for call in calls], allow_unused=True)
    one_row_each = list(owner) == list(range(units))
    member = torch.zeros(units, len(owner), device=loss.device)
    member[list(owner), range(len(owner))] = 1
    grads: Gradients = {}
    for call, output_gradient in zip(calls, output_gradients, strict=True):
        if output_gradient is None:
            continue
        a, b = (upcast(m.detach()) for m in call.layer.parameters)
        x, g = (upcast(_by_row(t, batch, call.layer)) for t in (call.x, output_gradient))
        for name, left, right in ((call.layer.a, g @ b, x), (call.layer.b, g, x @ a.T)):
            rows = (left.transpose(1, 2) @ right).mul_(call.layer.scale)
            per_unit = rows if one_row_each else (member @ rows.flatten(1)).view(units, *rows.shape[1:])
            grads[name] = grads[name] + per_unit if name in grads else per_unit
    return grads


def _by_row(values: Tensor, batch: Batch, layer: AdaptedLayer) -> Tensor:
    """Values at a layer as [B, positions, width].

    A layer sees all positions [B, T, H], possibly flattened, or the answer positions only, [1, n, H].
    """
    rows, length = batch.input_ids.shape
    if values.shape[:2] == (rows, length):
        return values
    if values.dim() == 2 and values.shape[0] == rows * length:
        return values.view(rows, length, -1)
    if values.dim() == 3 and values.shape[:2] == (1, int(batch.mask.sum())):
        full = values.new_zeros((*batch.mask.shape, values.shape[-1]))
        full[batch.mask] = values[0]
        return full
    raise InputError(
        "privacy",
        f"{layer.name} sees {list(values.shape)}, which does not tell whose rows these are",
        "leave it out of train.modules",
    )

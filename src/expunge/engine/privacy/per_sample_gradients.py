"""Gradients of adapter matrices by unit: what every person, or record, of a pass contributes by itself.

A layer's low-rank part is y = s (x A') B', so of row b, A's gradient is s (g_b B)' x_b and B's is s g_b' (x_b A'),
with x what enters the layer and g the slope of the loss at what leaves it. Both are caught in one forward and one
backward pass of the whole batch, on top of whatever else the pass does (prefix cache, fused adapters, answers only).
Surprising: autograd is asked for the slopes at the layers' outputs, and does not take a parameter's gradient at all.
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
    """A linear layer with one low-rank adapter; `a` and `b` are the names of its matrices among the parameters."""

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
    """One call of a layer: what entered, and what left (with its place in the graph)."""

    layer: AdaptedLayer
    x: Tensor
    y: Tensor


def adapted_layers(module: nn.Module, parameters: Iterable[str]) -> list[AdaptedLayer]:
    """The layers whose matrices are `parameters`; `InputError` if one of these is no plain low-rank adapter's."""
    from peft.tuners.lora.layer import Linear

    wanted, found = set(parameters), []
    for name, child in module.named_modules():
        adapter = single_adapter(child) if type(child) is Linear else None
        a, b = f"{name}.lora_A.{adapter}.weight", f"{name}.lora_B.{adapter}.weight"
        if adapter is not None and {a, b} <= wanted:
            found.append(AdaptedLayer(name, child, a, b, adapter))
    other = wanted.difference(*((layer.a, layer.b) for layer in found))
    if other:
        raise InputError(
            "privacy",
            f"{min(other)} trains, and gradients per unit are known for the matrices of plain low-rank adapters only",
            "name linear layers in train.modules",
        )
    return found


@contextmanager
def record_calls(layers: Sequence[AdaptedLayer]) -> Iterator[list[LayerCall]]:
    """Inside, every call of a layer is noted in the list, and the pass has no gradient for the layers' matrices."""
    calls: list[LayerCall] = []

    def note(layer: AdaptedLayer) -> Callable[..., Tensor]:
        def hook(_: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
            kept = output if output.requires_grad else output.requires_grad_(True)  # below it nothing has a slope
            calls.append(LayerCall(layer, args[0].detach(), kept))
            return kept

        return hook

    matrices = [m for layer in layers for m in layer.parameters]
    flags = [m.requires_grad for m in matrices]
    handles = [layer.module.register_forward_hook(note(layer)) for layer in layers]
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
    """Gradient of the summed `loss` of a pass over `batch`, taken apart by unit: {parameter: [units, ...]}, float32.

    owner  unit of every row of the batch, 0 ... units - 1. Rows must not influence each other in the model.
    """
    slopes = torch.autograd.grad(loss, [call.y for call in calls], allow_unused=True)
    alone = list(owner) == list(range(units))  # one row per unit, in order
    member = torch.zeros(units, len(owner), device=loss.device)
    member[list(owner), range(len(owner))] = 1
    found: Gradients = {}
    for call, slope in zip(calls, slopes, strict=True):
        if slope is None:
            continue
        a, b = (upcast(m.detach()) for m in call.layer.parameters)
        x, g = (upcast(_by_row(t, batch, call.layer)) for t in (call.x, slope))
        for name, left, right in ((call.layer.a, g @ b, x), (call.layer.b, g, x @ a.T)):
            rows = (left.transpose(1, 2) @ right).mul_(call.layer.scale)
            mine = rows if alone else (member @ rows.flatten(1)).view(units, *rows.shape[1:])
            found[name] = found[name] + mine if name in found else mine
    return found


def _by_row(values: Tensor, batch: Batch, layer: AdaptedLayer) -> Tensor:
    """What a layer saw, as [B, positions, width]: rows of the batch apart.

    A layer sees all positions [B, T, H], perhaps flattened, or those alone that predict answer tokens, [1, n, H].
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

"""The neurons of an edit: linear maps, found by how they fit together rather than by name.

A feed-forward part of a block is a group of linear maps under one parent, some of which lead in and the last of which
leads back to the width that they read; the widest such group that is no attention. Experts that an architecture stores
as one stacked tensor are no linear maps, so such a model is refused rather than edited in part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from expunge.errors import InputError
from expunge.methods.editing import NeuronSelector, Part
from expunge.models.adapters import block_stack, vision_linear_names
from expunge.models.vision.feature_cache import vision_module

ATTENTION_ATTRIBUTES = ("head_dim", "num_heads", "num_attention_heads", "is_causal")


@dataclass(frozen=True)
class NeuronGroup:
    """The neurons of one weight matrix, read and written as rows however the module stores them.

    Attributes:
        name: of the module.
        linear: the module.
        part: language, vision or connector.
        hidden: the neurons are the inputs of the map (its columns); else its outputs.
    """

    name: str
    linear: Any
    part: Part
    hidden: bool

    @property
    def weight(self) -> nn.Parameter:
        weight: nn.Parameter = self.linear.weight
        return weight

    @property
    def _axis(self) -> int:
        return int(self.hidden) if isinstance(self.linear, nn.Linear) else int(not self.hidden)

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(self.weight.shape[self._axis])

    def read(self, neurons: Tensor) -> Tensor:
        """A copy of the weights of some neurons, [k, m]."""
        return self.weight.detach().index_select(self._axis, neurons.to(self.weight.device)).movedim(self._axis, 0)

    @torch.no_grad()
    def write(self, neurons: Tensor, rows: Tensor) -> None:
        """Replace the weights of some neurons by `rows` [k, m], in the precision of the model."""
        rows = rows.to(self.weight.device, self.weight.dtype).movedim(0, self._axis)
        self.weight.index_copy_(self._axis, neurons.to(self.weight.device), rows)


def find_neuron_groups(module: nn.Module, selectors: tuple[NeuronSelector, ...]) -> list[NeuronGroup]:
    """The matrices that an edit selects; a vision tower or connector that the model lacks is skipped.

    Raises:
        InputError: no feed-forward part is found in a block.
    """
    groups: list[NeuronGroup] = []
    for selector in selectors:
        hidden = selector.neurons == "hidden"
        if selector.part != "language" and vision_module(module) is None:
            continue
        if selector.part == "connector":
            chosen = [(name, module.get_submodule(name)) for name in vision_linear_names(module, "connector")]
        else:
            chosen = [pair for block in _blocks(module, selector) for pair in _maps(block, module, hidden)]
        groups += [NeuronGroup(name, linear, selector.part, hidden) for name, linear in chosen]
    return groups


def _blocks(module: nn.Module, selector: NeuronSelector) -> list[str]:
    """Names of the last blocks of a tower."""
    if selector.part == "language":
        stack, count = block_stack(module)
        names = [f"{stack}.{k}" for k in range(count)]
    else:
        names = list(dict.fromkeys(_block_above(module, name) for name in vision_linear_names(module, "vision")))
    return names[-selector.blocks :] if selector.blocks else names


def _block_above(module: nn.Module, name: str) -> str:
    """The member of the outermost list of modules that `name` lies in."""
    parts = name.split(".")
    lists = (k for k in range(1, len(parts)) if isinstance(module.get_submodule(".".join(parts[:k])), nn.ModuleList))
    return ".".join(parts[: next(lists) + 1])


def _maps(block: str, module: nn.Module, hidden: bool) -> list[tuple[str, Any]]:
    """The linear maps of a block's feed-forward part; the last one only for `hidden` neurons."""
    groups: dict[str, list[tuple[str, Any]]] = {}
    for name, child in module.get_submodule(block).named_modules(prefix=block):
        if _is_linear(child):
            groups.setdefault(name.rpartition(".")[0], []).append((name, child))
    fitting = {
        parent: last
        for parent, group in groups.items()
        if (last := _last(group)) is not None
        and not any(hasattr(module.get_submodule(parent), a) for a in ATTENTION_ATTRIBUTES)
    }
    if not fitting:
        raise InputError(
            type(module).__name__,
            f"no feed-forward part of linear maps was found in {block}",
            "use a method that trains, or a model with such blocks",
        )
    width = max(_in_features(last) for _, last in fitting.values())
    widest = [parent for parent, (_, last) in fitting.items() if _in_features(last) == width]
    kind = type(module.get_submodule(widest[-1]))
    chosen = [p for p in widest if type(module.get_submodule(p)) is kind]
    return [pair for p in chosen for pair in ([fitting[p]] if hidden else groups[p])]


def _last(group: list[tuple[str, Any]]) -> tuple[str, Any] | None:
    """The map that leads back: another map reads its output width and has its input width (doubled if gated)."""
    fits = [
        (name, last)
        for name, last in group
        if any(
            other is not last
            and _in_features(other) == _out_features(last)
            and _out_features(other) in (_in_features(last), 2 * _in_features(last))
            for _, other in group
        )
    ]
    return max(reversed(fits), key=lambda pair: _in_features(pair[1])) if fits else None


def _is_linear(module: nn.Module) -> bool:
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, nn.Linear | Conv1D)


def _out_features(linear: Any) -> int:
    return int(linear.weight.shape[0 if isinstance(linear, nn.Linear) else 1])


def _in_features(linear: Any) -> int:
    return int(linear.weight.shape[1 if isinstance(linear, nn.Linear) else 0])

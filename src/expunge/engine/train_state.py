"""What changes while a run trains, and what a checkpoint holds of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from expunge.engine.optimizer import OptimizerConfig, OptimizerGroup, embeddings
from expunge.gradients.base import Gradients
from expunge.models.adapters import trainable


class Stateful(Protocol):
    """A part of a run with a state of its own."""

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


@dataclass
class TrainState:
    """The state of a run.

    Attributes:
        module: the model in training.
        trainable: names of all parameters that train in some phase.
        parts: other parts with a state, by the name that the checkpoint uses.
        step: number of finished steps.
        retain_gradient: with `batch.blocks` > 1, the gradient that later steps use again.
    """

    module: nn.Module
    trainable: frozenset[str]
    parts: Mapping[str, Stateful]
    step: int = 0
    retain_gradient: Gradients = field(default_factory=dict)
    _optimizers: OptimizerGroup | None = field(default=None, init=False)
    _saved_optimizers: list[dict[str, object]] | None = field(default=None, init=False)

    @property
    def optimizers(self) -> OptimizerGroup:
        """The optimizers of the current phase."""
        assert self._optimizers is not None, "no phase has started"
        return self._optimizers

    def start_phase(self, config: OptimizerConfig, resumed: bool) -> None:
        """Build the optimizers of a phase; `resumed`: within the phase, from the restored state."""
        parameters: dict[str, Any] = trainable(self.module)
        self._optimizers = OptimizerGroup(config, parameters, embeddings(self.module))
        if resumed and self._saved_optimizers is not None:
            self._optimizers.restore(self._saved_optimizers)

    def end_phase(self) -> None:
        """Drop the optimizers."""
        self._optimizers = None

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and tensors for `checkpoint.save`."""
        named = dict(self.module.named_parameters())
        return {
            "step": self.step,
            "parameters": {n: named[n].detach() for n in sorted(self.trainable)},
            "optimizers": self._optimizers.state() if self._optimizers else [],
            "retain_gradient": self.retain_gradient,
            **{name: part.state() for name, part in self.parts.items()},
        }

    def restore(self, state: Mapping[str, Any], total_steps: int | None = None) -> None:
        """Continue where `state` was taken. Caches and references come from the model before the run.

        Raises:
            ValueError: it is the state of other parameters, or of a step beyond `total_steps`.
        """
        named = dict(self.module.named_parameters())
        if set(state["parameters"]) != self.trainable:
            raise ValueError("it holds other parameters than those that train")
        if state["step"] < 0 or (total_steps is not None and state["step"] > total_steps):
            raise ValueError(f"it is of step {state['step']} of {total_steps}")
        with torch.no_grad():
            for name, value in state["parameters"].items():
                named[name].copy_(value)
        self.step, self._saved_optimizers = int(state["step"]), state["optimizers"]
        self.retain_gradient = state["retain_gradient"]
        for name, part in self.parts.items():
            part.restore(state[name])

"""Optimizers and learning-rate schedules, by name.

`muon` is Muon for matrices inside the blocks and AdamW for the rest; it memorizes a few thousand answers with a million
parameters in half a minute on two cores. `adamw` is the default elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, cast

import torch
from pydantic import Field
from torch import nn

from expunge._config import FrozenModel
from expunge.engine.muon import Muon

HALF = (torch.float16, torch.bfloat16)


class OptimizerConfig(FrozenModel):
    """Optimizer and schedule."""

    name: Literal["adamw", "muon", "sgd"] = Field("adamw", description="adamw; sgd; muon (matrices) with adamw (rest)")
    lr: float = Field(1e-3, gt=0, description="learning rate (of matrices for muon)")
    adamw_lr: float = Field(1e-2, gt=0, description="learning rate of everything else under muon")
    weight_decay: float = Field(0.0, ge=0, description="weight decay (decoupled, except under sgd)")
    clip_norm: float | None = Field(1.0, gt=0, description="total gradient norm after the rule; null for none")
    schedule: Literal["constant", "linear", "cosine"] = Field("linear", description="decay over the steps of a phase")
    warmup: float = Field(0.0, ge=0, lt=1, description="share of the steps with a rising learning rate")


def lr_factor(schedule: str, warmup: float, step: int, steps: int) -> float:
    """Factor on the learning rate at `step` (from 0) of `steps`.

    `linear` falls to 0 after the last step, `cosine` along half a wave; warm-up rises linearly to 1.
    """
    progress = (step + 1) / max(steps, 1)
    if warmup and progress <= warmup:
        return progress / warmup
    remaining = 1 - (step / max(steps, 1) - warmup) / (1 - warmup) if warmup else 1 - step / max(steps, 1)
    remaining = min(1.0, max(0.0, remaining))
    if schedule == "constant":
        return 1.0
    return remaining if schedule == "linear" else 0.5 * (1 - math.cos(math.pi * remaining))


def embeddings(module: Any) -> set[int]:
    """Ids of the tensors that Muon does not optimize: embeddings and the output head."""
    tables = [m.weight for m in module.modules() if isinstance(m, nn.Embedding)]
    return {id(p) for p in (*tables, module.get_output_embeddings().weight)}


class OptimizerGroup:
    """One or two torch optimizers that step together; `state` and `restore` for checkpoints.

    A parameter in half precision has a float32 copy that steps in its place and is then rounded into it: a step of
    less than 1/256 of a bfloat16 weight would round to nothing. The weights in the end differ from the copies by at
    most half a unit in the last place.
    """

    def __init__(self, settings: OptimizerConfig, parameters: dict[str, nn.Parameter], embeddings: set[int]) -> None:
        """`embeddings`: ids of tensors that Muon does not optimize."""
        self.parts: list[torch.optim.Optimizer] = []
        self._copies = {
            name: (p, nn.Parameter(p.detach().float())) for name, p in parameters.items() if p.dtype in HALF
        }
        tables = {name for name, p in parameters.items() if id(p) in embeddings}
        stepping = {name: self._copies[name][1] if name in self._copies else p for name, p in parameters.items()}
        rest = list(stepping.values())
        if settings.name == "muon":
            matrices = [p for name, p in stepping.items() if p.ndim == 2 and name not in tables]
            rest = [p for name, p in stepping.items() if p.ndim != 2 or name in tables]
            if matrices:
                self.parts.append(Muon(matrices, lr=settings.lr, weight_decay=settings.weight_decay))
        if rest and settings.name == "sgd":
            self.parts.append(torch.optim.SGD(rest, lr=settings.lr, weight_decay=settings.weight_decay))
        elif rest:
            lr = settings.adamw_lr if settings.name == "muon" else settings.lr
            self.parts.append(torch.optim.AdamW(rest, lr=lr, weight_decay=settings.weight_decay, foreach=True))
        self.base = [[group["lr"] for group in part.param_groups] for part in self.parts]

    def step(self, factor: float) -> None:
        """One step with every learning rate times `factor`."""
        for parameter, copy in self._copies.values():
            copy.grad = None if parameter.grad is None else parameter.grad.float()
        for part, base in zip(self.parts, self.base, strict=True):
            for group, lr in zip(part.param_groups, base, strict=True):
                group["lr"] = lr * factor
            part.step()
        with torch.no_grad():
            for parameter, copy in self._copies.values():
                parameter.copy_(copy)
                copy.grad = None

    def scaling(self, parameters: Mapping[str, nn.Parameter]) -> dict[str, torch.Tensor] | None:
        """AdamW's factor on each entry of a gradient, 1 / (sqrt(v) + eps); None before its first step."""
        adam = next((part for part in self.parts if isinstance(part, torch.optim.AdamW)), None)
        factors = {}
        for name, parameter in parameters.items():
            stepping = self._copies[name][1] if name in self._copies else parameter
            state = adam.state.get(stepping) if adam else None
            if adam and state:
                beta, epsilon = adam.param_groups[0]["betas"][1], adam.param_groups[0]["eps"]
                factors[name] = 1 / ((state["exp_avg_sq"] / (1 - beta ** float(state["step"]))).sqrt() + epsilon)
        return factors or None

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, object]]:
        states: list[dict[str, object]] = [part.state_dict()["state"] for part in self.parts]
        return [*states, {name: copy.detach() for name, (_, copy) in self._copies.items()}] if self._copies else states

    def restore(self, states: list[dict[str, object]]) -> None:
        if self._copies:
            *states, copies = states
            with torch.no_grad():
                for name, value in copies.items():
                    self._copies[name][1].copy_(cast(torch.Tensor, value))
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(
                {"state": {int(k): v for k, v in state.items()}, "param_groups": part.state_dict()["param_groups"]}
            )

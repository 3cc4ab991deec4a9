"""Optimizers and learning-rate schedules, by name.

`muon` is Muon for matrices inside the blocks and AdamW for the rest: the recipe that lets a model of a million
parameters memorise a few thousand answers in half a minute on two cores. `adamw` is the default everywhere else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn

from expunge._config import FrozenModel


class OptimizerConfig(FrozenModel):
    """How the trainable parameters move."""

    name: Literal["adamw", "muon", "sgd"] = Field("adamw", description="adamw; sgd; muon (matrices) with adamw (rest)")
    lr: float = Field(1e-3, gt=0, description="learning rate (of matrices for muon)")
    adamw_lr: float = Field(1e-2, gt=0, description="learning rate of everything else under muon")
    weight_decay: float = Field(0.0, ge=0, description="weight decay (decoupled, except under sgd)")
    clip_norm: float | None = Field(1.0, gt=0, description="total gradient norm after the rule; null for none")
    schedule: Literal["constant", "linear", "cosine"] = Field("linear", description="decay over the steps of a phase")
    warmup: float = Field(0.0, ge=0, lt=1, description="share of the steps with rising rate")


def lr_factor(schedule: str, warmup: float, step: int, steps: int) -> float:
    """Factor on the learning rate at `step` (0-based) of `steps`.

    linear: falls to 0 after the last step; cosine: half a wave; warm-up rises linearly to 1.
    """
    done = (step + 1) / max(steps, 1)
    if warmup and done <= warmup:
        return done / warmup
    left = 1 - (step / max(steps, 1) - warmup) / (1 - warmup) if warmup else 1 - step / max(steps, 1)
    left = min(1.0, max(0.0, left))
    if schedule == "constant":
        return 1.0
    return left if schedule == "linear" else 0.5 * (1 - math.cos(math.pi * left))


def embeddings(module: Any) -> set[int]:
    """Ids of the tensors that are never given to muon: lookup tables and the output head."""
    tables = [m.weight for m in module.modules() if isinstance(m, nn.Embedding)]
    return {id(p) for p in (*tables, module.get_output_embeddings().weight)}


class OptimizerGroup:
    """One or two torch optimizers that step together; `state` and `restore` for checkpoints."""

    def __init__(self, settings: OptimizerConfig, parameters: dict[str, nn.Parameter], embeddings: set[int]) -> None:
        """`embeddings`: ids of tensors that are never given to muon; see the function of that name."""
        self.parts: list[torch.optim.Optimizer] = []
        rest = list(parameters.values())
        if settings.name == "muon":
            matrices = [p for p in rest if p.ndim == 2 and id(p) not in embeddings]
            rest = [p for p in rest if p.ndim != 2 or id(p) in embeddings]
            if matrices:
                self.parts.append(
                    torch.optim.Muon(
                        matrices, lr=settings.lr, weight_decay=settings.weight_decay, adjust_lr_fn="match_rms_adamw"
                    )
                )
        if rest and settings.name == "sgd":
            self.parts.append(torch.optim.SGD(rest, lr=settings.lr, weight_decay=settings.weight_decay))
        elif rest:
            lr = settings.adamw_lr if settings.name == "muon" else settings.lr
            self.parts.append(torch.optim.AdamW(rest, lr=lr, weight_decay=settings.weight_decay, foreach=True))
        self.base = [[group["lr"] for group in part.param_groups] for part in self.parts]

    def step(self, factor: float) -> None:
        """One step with every learning rate times `factor`."""
        for part, base in zip(self.parts, self.base, strict=True):
            for group, lr in zip(part.param_groups, base, strict=True):
                group["lr"] = lr * factor
            part.step()

    def scaling(self, parameters: Mapping[str, nn.Parameter]) -> dict[str, torch.Tensor] | None:
        """What AdamW multiplies every entry of a gradient by, 1 / (sqrt(v) + eps); None before its first step."""
        adam = next((part for part in self.parts if isinstance(part, torch.optim.AdamW)), None)
        found = {}
        for name, parameter in parameters.items():
            seen = adam.state.get(parameter) if adam else None
            if adam and seen:
                beta, epsilon = adam.param_groups[0]["betas"][1], adam.param_groups[0]["eps"]
                found[name] = 1 / ((seen["exp_avg_sq"] / (1 - beta ** float(seen["step"]))).sqrt() + epsilon)
        return found or None

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, object]]:
        return [part.state_dict()["state"] for part in self.parts]

    def restore(self, states: list[dict[str, object]]) -> None:
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(
                {"state": {int(k): v for k, v in state.items()}, "param_groups": part.state_dict()["param_groups"]}
            )

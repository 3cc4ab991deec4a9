"""What a gradient rule is: how the forget and the retain gradient become one step.

Rules are pure: they never change their inputs. `g_f` is the gradient of the objective to *minimize* on forget
rows, so its sign is already turned. Apply a rule once per optimizer step, after accumulation and all-reduce.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from expunge._registry import Registry

Gradients = dict[str, Tensor]
Strength = float | Mapping[str, float]

RULES: Registry[type[GradientRule]] = Registry("gradient rule", "expunge.gradients")


class GradientRule(BaseModel, ABC):
    """Base of all rules. Subclass with `class Sum(Rule, name="sum")`; fields are its settings.

    separate       whether the rule must see the two gradients apart; False allows one backward pass for both
    preconditions  whether `combine` wants the optimizer's own scaling of every parameter
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str] = ""
    source: ClassVar[str] = ""
    separate: ClassVar[bool] = True

    def __init_subclass__(cls, name: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if name:
            cls.name = name
            RULES.add(name, cls)

    @property
    def preconditions(self) -> bool:
        return False

    @abstractmethod
    def combine(
        self,
        g_f: Gradients,
        g_r: Gradients,
        *,
        weight_f: float = 1.0,
        weight_r: float = 1.0,
        alpha: Strength | None = None,
        scaling: Gradients | None = None,
    ) -> Gradients:
        """The gradient to step along; a name missing on one side counts as zero there.

        alpha    replaces the rule's own strength for this step, for all parameters or for each by name (a method may
                 set it per concept level); rules without a strength ignore it
        scaling  what the optimizer will multiply every entry by, positive; None before its first step
        """


def weighted_sum(g_f: Gradients, g_r: Gradients, weight_f: float, weight_r: float) -> Gradients:
    """weight_f * g_f + weight_r * g_r over the union of names."""
    total = {name: weight_f * g for name, g in g_f.items()}
    for name, g in g_r.items():
        total[name] = total[name] + weight_r * g if name in total else weight_r * g
    return total


def upcast(tensor: Tensor) -> Tensor:
    """`tensor` in at least float32: half-precision dot products lose the sign of small conflicts."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def cosine(x: Gradients, y: Gradients) -> float:
    """Cosine of the angle between two gradients over all parameters, in float64; NaN where one is zero."""

    def dot(a: Gradients, b: Gradients) -> float:
        return sum(float((a[name].double() * b[name].double()).sum()) for name in a.keys() & b.keys())

    lengths = math.sqrt(dot(x, x) * dot(y, y))
    return dot(x, y) / lengths if lengths else math.nan

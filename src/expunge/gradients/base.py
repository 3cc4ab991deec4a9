"""Gradient rules: how the forget and the retain gradient become one step.

Rules are pure: they do not change their inputs. `g_f` is the gradient of the objective to *minimize* on forget
rows, so its sign is already turned. A rule runs once per optimizer step, after accumulation and all-reduce.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from expunge._config import FrozenModel
from expunge._registry import Registry

Gradients = dict[str, Tensor]
Pair = tuple[Gradients, Gradients]  # forget, retain
Strength = float | Mapping[str, float]

RULES: Registry[type[GradientRule]] = Registry("gradient rule", "expunge.gradients")


class GradientRule(FrozenModel, ABC):
    """Base of all rules. Subclass with `class MyRule(GradientRule, name="mine")`; fields are its settings.

    Attributes:
        name: Key in recipes.
        source: Paper or equation.
        separate: Whether the rule needs the two gradients apart; False allows one backward pass for both.
        preconditions: Whether `combine` uses the optimizer's scaling of every parameter.
    """

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
    def directions(self, g_f: Gradients, g_r: Gradients, alpha: Strength | None, scaling: Gradients | None) -> Pair:
        """The forget and the retain direction whose weighted sum is the step; arguments as in `combine`."""

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

        Args:
            g_f: Forget gradient.
            g_r: Retain gradient.
            weight_f: Weight of the forget direction.
            weight_r: Weight of the retain direction.
            alpha: Replaces the rule's own strength for this step, for all parameters or by name. Rules without a
                strength ignore it.
            scaling: Positive factor per entry that the optimizer will multiply by; None before its first step.
        """
        return weighted_sum(*self.directions(g_f, g_r, alpha, scaling), weight_f, weight_r)


class Sum(GradientRule, name="sum"):
    """Add both gradients, as if the two losses were one.

    w_f g_f + w_r g_r
    """

    source = "arXiv 2401.06121 (gradient difference)"
    separate = False

    def directions(self, g_f: Gradients, g_r: Gradients, alpha: Strength | None, scaling: Gradients | None) -> Pair:
        return g_f, g_r


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


def clip_total_norm(grads: Gradients, limit: float) -> tuple[Gradients, Tensor]:
    """Scale a gradient to a 2-norm of at most `limit` over all tensors together.

    Returns:
        The scaled gradients (within the limit: bit for bit as they were) and the norm before, a tensor on their
        device. A norm that is not finite is returned as it is; the gradients are then unusable.
    """
    if not limit > 0:
        raise ValueError(f"the limit of a gradient norm must be positive, got {limit}")
    if not grads:
        return {}, torch.zeros(())
    norms = [torch.linalg.vector_norm(upcast(g)) for g in grads.values()]
    norm = torch.linalg.vector_norm(torch.stack([n.to(norms[0].device) for n in norms]))
    scale = (limit / norm).clamp(max=1.0)
    return {name: (upcast(g) * scale.to(g.device)).to(g.dtype) for name, g in grads.items()}, norm

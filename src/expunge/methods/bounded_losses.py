"""Bounded forget losses, for methods that leave the choice to a setting: dual, sequential."""

from __future__ import annotations

from typing import Literal

from expunge.methods.base import Method
from expunge.methods.ga import GA
from expunge.methods.ihl import IHL
from expunge.methods.npo import NPO
from expunge.methods.simnpo import SimNPO

BoundedLoss = Literal["npo", "simnpo", "ga_clip", "ihl"]


def bounded(loss: BoundedLoss, npo_beta: float, clip: float) -> Method:
    """The method with this forget loss: `npo` with its beta, `simnpo`, `ga` clipped at `clip` nats, or `ihl`."""
    if loss == "npo":
        return NPO(beta=npo_beta)
    if loss == "simnpo":
        return SimNPO()
    return GA(clip=clip) if loss == "ga_clip" else IHL()

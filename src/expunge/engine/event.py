"""One step of a run, as `events.jsonl` records it, and the memory figure in it."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Event:
    """One step. Losses are means over the batch (nats where they are likelihoods), NaN where not computed.

    Attributes:
        step: number of the step, from 0.
        phase: number of the phase, from 0.
        forget: mean forget loss, without the token weights where these follow gradients.
        retain: mean retain loss.
        norm: 2-norm of the gradient after the rule, before clipping.
        lr_factor: factor on the learning rate of the phase.
        seconds: wall clock of the step.
        drift: <delta theta, g_r>, the first-order change of the retain loss; None unless the rule keeps the two
            gradients separate.
        memory: peak memory so far in bytes, of the device, or of the process on a CPU.
        cosine: cosine of the angle between forget and retain gradient; None where they are not separate.
        probe: mean NLL of the forget records after the step, nats per token; None where the stop rule did not look.
    """

    step: int
    phase: int
    forget: float
    retain: float
    norm: float
    lr_factor: float
    seconds: float
    drift: float | None = None
    memory: int = 0
    cosine: float | None = None
    probe: float | None = None


def peak_memory(device: torch.device) -> int:
    """Bytes: the most allocated on `device` so far, or resident in this process on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

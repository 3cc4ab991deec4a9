"""One step of a run, as `events.jsonl` records it, how the file is read back, and the memory figure in it."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from expunge._io import parse_json
from expunge._validation import validate
from expunge.errors import InputError

CHANGED = "the file was changed after it was written; restore it, or remove the folder of the run and start over"


@dataclass(frozen=True)
class Event:
    """One step. Losses are means over the batch (nats where they are likelihoods), NaN where not computed.

    Attributes:
        step: number of the step, from 0.
        phase: number of the phase, from 0.
        forget: mean forget loss.
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


class EventLine(BaseModel):
    """One line of `events.jsonl`: the fields of `Event`, null where a number was not computed."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    step: int = Field(ge=0)
    phase: int = Field(0, ge=0)
    forget: FiniteFloat | None = None
    retain: FiniteFloat | None = None
    norm: FiniteFloat | None = None
    lr_factor: FiniteFloat | None = None
    seconds: FiniteFloat | None = None
    drift: FiniteFloat | None = None
    memory: int = Field(0, ge=0)
    cosine: FiniteFloat | None = None
    probe: FiniteFloat | None = None


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of an `events.jsonl`, none where there is no file. A last line that a kill cut short is left out.

    Raises:
        InputError: another line is no event; with its number.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(str(path), f"could not be read ({error.strerror or error})", CHANGED) from error
    for number, line in enumerate(raw.split(b"\n")[:-1], 1):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise InputError(f"{path}:{number}", "is not UTF-8 text", CHANGED) from error
        row: dict[str, Any] = parse_json(text, str(path), CHANGED, number)
        validate(EventLine, row, f"{path}:{number}", CHANGED)
        yield row


def peak_memory(device: torch.device) -> int:
    """Bytes: the most allocated on `device` so far, or resident in this process on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

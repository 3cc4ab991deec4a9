"""The first failure signature of arXiv 2511.19498: a forget loss above ten times its start.

It marks a run that diverges rather than forgets. A loss that starts near 0 rises tenfold in every run that works, so a
start below one nat counts as one nat: ten nats per token is what a model says that knows nothing of the language.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from expunge.engine.event_file import EVENTS, read_events

TIMES = 10.0
LEAST_START = 1.0  # nats


def loss_signature(losses: Iterable[float | None]) -> str:
    """A sentence if |loss| ever exceeds ten times its start, empty if not.

    Args:
        losses: forget losses in the order of the steps, nats; None and NaN where a step has none.
    """
    finite = [(step, loss) for step, loss in enumerate(losses) if loss is not None and math.isfinite(loss)]
    if not finite:
        return ""
    start = finite[0][1]
    limit = TIMES * max(abs(start), LEAST_START)
    step, worst = max(finite, key=lambda item: abs(item[1]))
    if abs(worst) <= limit:
        return ""
    return (
        f"the forget loss went from {start:.4g} to {worst:.4g} (step {step}), beyond {TIMES:g} times its start: the "
        "run diverged; lower optimizer.lr, or choose a bounded loss (npo, simnpo, ga_clip)"
    )


def run_warnings(run: Path) -> dict[str, Any]:
    """`warnings` for the run.json of this folder, by its events; empty without any."""
    warning = loss_signature(event.get("forget") for event in read_events(run / EVENTS))
    return {"warnings": [warning]} if warning else {}

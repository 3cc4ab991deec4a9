"""Upper bounds on the speed-up of a step, counted in passes of a token through a block.

Of N blocks the last k train; the weights below them and beside the adapters are frozen. Cost per token of a batch:

    forward  N     a whole model      k     above the cached prefix
    backward k     the gradient passes through the blocks that train; frozen weights get none

With f forget and r retain tokens the baseline makes (N + k)(f + r) passes and ours 2k(f + r): a ratio of (N + k) / 2k.
A reference model that reads its rows at every step adds N per token to the baseline: f for `npo` and `dual`, which
gives (3N + 2k) / 4k for f = r and (2N + k) / 2k without retain rows; the teacher's prompts and r for `twin`, whose
retain term compares with the original distributions: (2N + k) / 2k. Ours reads reference rows before the first step.

The baseline's tokens are padded to the longest row of a batch, ours are counted without padding. `operations` also
counts the output head (all positions for the baseline, answer positions for ours) and that ours runs the MLP of the
last block at answer positions only. Neither counts the quadratic part of attention, the adapters, or anything that is
not a matrix product, so a measured ratio can exceed both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

from benchmarks.speed.cases import compare_times
from benchmarks.speed.program import Results
from expunge.errors import RunFailed
from expunge.models.collate import Batch
from expunge.models.tiny import TinyConfig

Losses = Sequence[tuple[float, float]]  # forget and retain loss of every step
TOLERANCE = 1e-3  # relative difference of losses after all steps; one step differs by 1e-6
MLP_SHARE = 9 / 13  # of a Llama block with inner width 3 H; attention is 4 H²
REFERENCE = {"grad_diff": (0, 0), "npo": (1, 0), "dual": (1, 0), "twin": (1, 1)}  # reads forget, retain tokens


@dataclass(frozen=True)
class StepWork:
    """Multiply-adds of both sides, in passes of one token through one block; `*_extra` is what `operations` adds."""

    plain: float = 0.0
    ours: float = 0.0
    plain_extra: float = 0.0
    ours_extra: float = 0.0

    def __add__(self, other: StepWork) -> StepWork:
        return StepWork(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def ceiling(self) -> float:
        return self.plain / self.ours

    @property
    def operations(self) -> float:
        return (self.plain + self.plain_extra) / (self.ours + self.ours_extra)


def step_work(
    method: str,
    config: TinyConfig,
    trained_blocks: int,
    forget: Batch,
    retain: Batch | None,
    teacher_prompts: Batch | None = None,
) -> StepWork:
    """Work of one step; without `teacher_prompts` the reference reads the forget rows themselves."""
    blocks, head = config.layers, config.vocabulary / (13 * config.width)  # head in units of a block
    on_forget, on_retain = REFERENCE[method]
    both = [batch for batch in (forget, retain) if batch]
    padded = sum(batch.input_ids.numel() for batch in both)
    reference = on_forget * (teacher_prompts or forget).input_ids.numel()
    reference += on_retain * retain.input_ids.numel() if retain else 0
    tokens = sum(int(batch.attention_mask.sum()) for batch in both)
    answers = sum(int(batch.mask.sum()) for batch in both)
    return StepWork(
        plain=(blocks + trained_blocks) * padded + blocks * reference,
        ours=2 * trained_blocks * tokens,
        plain_extra=head * (2 * padded + reference),
        ours_extra=2 * (head * answers - MLP_SHARE * (tokens - answers)),
    )


def comparison(
    name: str, seconds: Mapping[str, list[float]], losses: Mapping[str, Losses], work: StepWork, batch: str
) -> Results:
    """Result of a case from the seconds of each pair and the losses of each step, by side (`plain`, `ours`)."""
    return {
        **compare_times(seconds),
        "ceiling": work.ceiling,
        "operations": work.operations,
        "loss_difference": loss_difference(name, losses["ours"], losses["plain"]),
        "batch": batch,
        "pairs": len(seconds["ours"]),
    }


def loss_difference(name: str, ours: Losses, plain: Losses) -> float:
    """Largest relative difference of two series of (forget, retain) losses; `RunFailed` above `TOLERANCE` or NaN."""
    differences = [
        abs(a - b) / max(abs(a), abs(b), 1e-2)
        for pair, other in zip(ours, plain, strict=True)
        for a, b in zip(pair, other, strict=True)
    ]
    largest = max(differences, key=lambda value: math.inf if math.isnan(value) else value)
    if not largest <= TOLERANCE:
        what = f"the two loops disagree: losses differ by a share of {largest:.2g}"
        raise RunFailed(f"bench {name}", what, "times of different computations cannot be compared; please report this")
    return largest

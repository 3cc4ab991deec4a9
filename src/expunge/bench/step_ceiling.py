"""What a step could gain at most: passes of tokens through blocks, counted on both sides.

Of N blocks the last k train, the weights below and beside the adapters are frozen. Then per token of a batch:

    forward  N     a whole model      k     above the cached prefix
    backward k     the gradient goes down through the blocks that train, and weights that are frozen get none

So of f forget and r retain tokens the peers make (N + k)(f + r) passes and ours 2k(f + r), which is (N + k) / 2k.
A reference that is asked again at every step adds N per token that it is asked about: f for `npo` and `dual`, which
gives (3N + 2k) / 4k for f = r (the (2N + k) / 2k of a forget batch alone); the twin's questions and r for `twin`,
whose retain term compares with the original's distributions: (2N + k) / 2k. Ours asks before the first step.

Peers' tokens are padded to the longest row of a batch, ours are counted without any padding. `operations` counts
more: the output head (all positions for the peers, answer positions for ours) and that ours runs the feed-forward part
of the last block at answer positions only. The quadratic part of attention, the adapters and whatever is not a matrix
product are left out of both. Surprising: a measured ratio can lie above either, where those weigh more on the peers.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from expunge.errors import RunFailed
from expunge.models.collate import Batch
from expunge.models.tiny import TinyConfig

ROUNDING = 1e-3  # share by which losses may differ after all steps; one step differs by 1e-6
FEED_FORWARD = 9 / 13  # of a Llama block whose inner width is 3 H
REFERENCE = {"grad_diff": (0, 0), "npo": (1, 0), "dual": (1, 0), "twin": (1, 1)}  # asked about forget, retain tokens


@dataclass(frozen=True)
class Work:
    """Multiply-adds of both sides so far, in passes of one token through one block. `more`: what `operations` adds."""

    plain: float = 0.0
    ours: float = 0.0
    plain_more: float = 0.0
    ours_more: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.plain + other.plain,
            self.ours + other.ours,
            self.plain_more + other.plain_more,
            self.ours_more + other.ours_more,
        )

    @property
    def ceiling(self) -> float:
        return self.plain / self.ours

    @property
    def operations(self) -> float:
        return (self.plain + self.plain_more) / (self.ours + self.ours_more)


def work(
    method: str, config: TinyConfig, top: int, forget: Batch, retain: Batch | None, asked: Batch | None = None
) -> Work:
    """Of one step. asked: the controls' questions; None where the reference reads the forget rows themselves."""
    blocks, head = config.layers, config.vocabulary / (13 * config.width)  # of a block: 4 H² attention and FEED_FORWARD
    on_forget, on_retain = REFERENCE[method]
    both = [batch for batch in (forget, retain) if batch]
    trained = sum(batch.input_ids.numel() for batch in both)
    referred = on_forget * (asked or forget).input_ids.numel() + (on_retain * retain.input_ids.numel() if retain else 0)
    tokens = sum(int(batch.attention_mask.sum()) for batch in both)
    answers = sum(int(batch.mask.sum()) for batch in both)
    return Work(
        (blocks + top) * trained + blocks * referred,
        2 * top * tokens,
        head * (2 * trained + referred),
        2 * (head * answers - FEED_FORWARD * (tokens - answers)),
    )


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def disagreement(name: str, ours: Sequence[tuple[float, float]], plain: Sequence[tuple[float, float]]) -> float:
    """The largest difference of two losses (forget, retain), as a share of them. `RunFailed` above rounding."""
    shares = [
        abs(a - b) / max(abs(a), abs(b), 1e-2)
        for one, other in zip(ours, plain, strict=True)
        for a, b in zip(one, other, strict=True)
    ]
    found = max(shares, key=lambda share: math.inf if math.isnan(share) else share)  # NaN is the worst
    if not found <= ROUNDING:
        raise RunFailed(
            f"bench {name}",
            f"the two loops disagree: losses differ by a share of {found:.2g}",
            "times of different computations cannot be compared; please report this",
        )
    return found

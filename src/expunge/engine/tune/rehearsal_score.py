"""How good a rehearsal is: nearest to the controls, with what is retained unharmed. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.models.likelihoods import Nats

RANKS = 0.4  # a rank among the controls within this of the middle is as good as any
COST = 20.0  # of retention that is missing: nats per token for all of it


@dataclass(frozen=True)
class RehearsalScore:
    """One look at a rehearsal.

    Attributes:
        step: finished steps.
        forget: mean NLL of the stand-ins' answers, nats per token.
        controls: mean NLL of the controls.
        rank: share of controls with a lower mean, in [0, 1].
        given: share of the stand-ins' answers that the model still gives (every token the likeliest).
        tokens: tokens of held-out answers that are still the likeliest, out of those that were.
        text: held-out answers all of whose tokens still are, out of those of which all were.
    """

    step: int
    forget: float
    controls: float
    rank: float
    given: float
    tokens: float
    text: float

    @property
    def retention(self) -> float:
        """The smaller of the two."""
        return min(self.tokens, self.text)

    def value(self, floor: float) -> float:
        """What is minimized: distance to the controls, a rank at their edge, and retention short of `floor`.

        |forget - controls| + max(0, |rank - 1/2| - RANKS) + COST max(0, floor - retention)
        """
        gap = abs(self.forget - self.controls)
        return gap + max(0.0, abs(self.rank - 0.5) - RANKS) + COST * max(0.0, floor - self.retention)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return asdict(self)


@dataclass(frozen=True)
class Hits:
    """For each answer of a set: how many tokens are the likeliest ones, and how many it has; both [N]."""

    right: NDArray[np.int64]
    tokens: NDArray[np.int64]

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Answers all of whose tokens are."""
        whole: NDArray[np.bool_] = self.right == self.tokens
        return whole


def rank_among(value: float, controls: Sequence[float]) -> float:
    """Share of controls below `value`, those equal to it counted half."""
    below = sum(c < value for c in controls) + 0.5 * sum(c == value for c in controls)
    return float(below / len(controls))


def compare_retention(now: Hits, before: Hits) -> tuple[float, float]:
    """(tokens, text): what is still right of what was; 1 where nothing was. More than before counts as 1."""
    tokens = int(before.right.sum())
    hits = int(np.minimum(now.right, before.right).sum())
    whole = int(before.whole.sum())
    return hits / tokens if tokens else 1.0, int((now.whole & before.whole).sum()) / whole if whole else 1.0


def score_of(step: int, nll: Nats, given: Hits, controls: Sequence[Nats], now: Hits, before: Hits) -> RehearsalScore:
    """The score of a look.

    Args:
        step: finished steps.
        nll: of the stand-ins' answers.
        given: their hits.
        controls: NLL of each control's answers, on the model before the run.
        now: hits of the held-out records.
        before: the same, on the model before the run.
    """
    means = [float(c.mean()) for c in controls]
    mean = float(nll.mean())
    tokens, text = compare_retention(now, before)
    return RehearsalScore(
        step, mean, float(np.mean(means)), rank_among(mean, means), float(given.whole.mean()), tokens, text
    )

"""Which earlier requests are attacked again after a run, and what the guard over all of them says. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from expunge.random import uniform

Choice = Literal["worst", "random"]
UNDECIDED = ("inconclusive", "not_run")


def choose_attacked(excess: Mapping[str, float | None], worst: int, random: int, seed: str) -> dict[str, Choice]:
    """The requests to attack, the worst first, then those that chance takes; equal for the same seed.

    A request that is no longer there takes none of the others out of the choice.

    Args:
        excess: id of a request -> by how much the model gives more of its true answers than of the controls'; None for
            one that was not asked, which only chance can take.
        worst: how many of the largest excess are taken.
        random: how many of the others are drawn.
        seed: seed of the draw, and of the order among equals.
    """

    def place(name: str) -> tuple[float, str]:
        return uniform(f"guard:{seed}", name), name

    ranking = sorted((-value, *place(name)) for name, value in excess.items() if value is not None)
    chosen: dict[str, Choice] = {name: "worst" for *_, name in ranking[: max(worst, 0)]}
    rest = sorted((name for name in excess if name not in chosen), key=place)
    return {**chosen, **dict.fromkeys(rest[: max(random, 0)], "random")}


def guard_status(statuses: Iterable[str]) -> str:
    """`failed`, `inconclusive` or `passed`: the worst of the audits that were made, once the questions were passed."""
    seen = set(statuses)
    if "failed" in seen:
        return "failed"
    return "inconclusive" if seen.intersection(UNDECIDED) else "passed"

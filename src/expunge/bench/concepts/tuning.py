"""Equal effort: every row is tried with the same settings on a validation seed, and one stated rule chooses.

Surprising: the validation seed is a world of its own with its own original and retrained model, so nothing of an
audited target has any part in the choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from expunge.bench.tune import KEEP, Setting, Trial, choose
from expunge.errors import RunFailed


def rule(keep: float = KEEP) -> str:
    """How a setting is chosen, in words."""
    return (
        f"of the settings with a retention of at least {keep:.0%} on validation records never given to the "
        "run, the one nearest to the validation world's retrained model (`distance_to_retrained`); if none keeps "
        "that much, the one that keeps most"
    )


def trial(setting: Setting, found: dict[str, float | None] | str) -> Trial:
    """What a setting led to, from the columns of its run or the reason why there are none."""
    if isinstance(found, str):
        return Trial(setting=setting, distance=None, kept=0.0)
    return Trial(setting=setting, distance=found["distance_to_retrained"], kept=found["retention"] or 0.0)


def joined(parts: Sequence[Sequence[Trial]]) -> list[Trial]:
    """The trials of several worlds as one: means for every setting; one that diverged anywhere has no distance."""
    found = []
    for of_setting in zip(*parts, strict=True):
        far = [t.distance for t in of_setting if t.distance is not None]
        found.append(
            Trial(
                setting=of_setting[0].setting,
                kept=sum(t.kept for t in of_setting) / len(of_setting),
                distance=sum(far) / len(far) if len(far) == len(of_setting) else None,
            )
        )
    return found


def chosen(trials: Sequence[Trial], keep: float = KEEP) -> dict[str, Any]:
    """The trials of one row and the setting chosen, or None where every one diverged."""
    try:
        best: Setting | None = choose(trials, keep).setting
    except RunFailed:
        best = None
    return {"trials": [t.model_dump() for t in trials], "chosen": None if best is None else best.model_dump()}


def grid(
    lr_factors: Sequence[float], steps: Sequence[int], retain_factors: Sequence[float] = (1.0,)
) -> tuple[Setting, ...]:
    """Every combination, learning rate first."""
    return tuple(
        Setting(lr_factor=f, steps=n, retain_factor=r) for f in lr_factors for n in steps for r in retain_factors
    )


def fixed(setting: Setting, domains: Iterable[str], rows: Iterable[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """The same setting for every row everywhere, chosen without a trial, as `Suite.audit` wants it."""
    names = tuple(rows)
    return {domain: {name: {"trials": [], "chosen": setting.model_dump()} for name in names} for domain in domains}

"""Presets of an audit: how much of what could be tested is tested.

A check names the smallest preset that runs it. What a policy requires runs in every preset. What a preset leaves out
stands in the results as not run, so that no check vanishes in silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from expunge.audit.check_result import OMITTED, CheckResult
from expunge.audit.policy import Policy
from expunge.errors import unknown

Preset = Literal["quick", "default", "full"]
PRESETS: tuple[Preset, ...] = get_args(Preset)


def find_preset(name: str) -> Preset:
    """The preset called `name`; `InputError` that names the nearest one otherwise."""
    for preset in PRESETS:
        if preset == name:
            return preset
    raise unknown("preset", name, PRESETS)


def runs_in(preset: Preset, smallest: Preset, keys: Sequence[str], policy: Policy) -> bool:
    """Whether a check with these result keys runs: the preset holds it, or the policy requires one of its results."""
    required = any(key in policy.rules and policy.rules[key].required for key in keys)
    return required or PRESETS.index(smallest) <= PRESETS.index(preset)


def omitted_results(keys: Sequence[str], smallest: Preset) -> tuple[CheckResult, ...]:
    """The results of a check that the preset leaves out."""
    reason = f"{OMITTED}: it runs from preset {smallest} on"
    return tuple(CheckResult(key=key, status="not_run", reason=reason) for key in keys)

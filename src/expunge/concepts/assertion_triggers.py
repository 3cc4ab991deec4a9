"""Triggers of assertion status, from `data/assertion_triggers.yaml`: negation, family, history, possibility.

Each group is one pattern. At one place the trigger that stands first in its group wins, so a trigger that undoes
another stands before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expunge._data import package_yaml


@dataclass(frozen=True)
class Trigger:
    """Phrases with one effect.

    Attributes:
        status: `negated`, `family`, `history`, `hypothetical`; "" undoes the other triggers of its group
        forward: the trigger stands before its mentions, else behind them
        max_words: most words between trigger and mention; 0 for any number
        all_mentions: behind the mentions: all of the clause, not only the nearest
        terminator: further words that end the scope
    """

    pattern: str
    status: str
    forward: bool = True
    max_words: int = 0
    all_mentions: bool = False
    terminator: re.Pattern[str] | None = None


_DATA: dict[str, Any] = package_yaml("expunge.concepts", "assertion_triggers.yaml")
_TERMINATORS = {name: re.compile(pattern, re.I) for name, pattern in _DATA["terminators"].items()}


def _trigger(phrases: str, terminator: str | None = None, **fields: Any) -> Trigger:
    pattern = re.sub(r"\n\s+", "", phrases).replace("\n", "|")
    pattern = re.sub(r"<(\w+)>", lambda match: str(_DATA["fragments"][match[1]]), pattern)
    return Trigger(pattern, terminator=_TERMINATORS[terminator] if terminator else None, **fields)


def _compile(rows: Sequence[Mapping[str, Any]]) -> tuple[re.Pattern[str], tuple[Trigger, ...]]:
    triggers = tuple(_trigger(**row) for row in rows)
    parts = (r"(" + trigger.pattern.replace(" ", r"\s+") + r")" for trigger in triggers)
    return re.compile(r"(?<![\w-])(?:" + "|".join(parts) + r")(?![\w])", re.I), triggers


TERMINATOR = _TERMINATORS["sentence"]  # words that end a clause
TRIGGER_GROUPS = tuple(map(_compile, _DATA["groups"].values()))

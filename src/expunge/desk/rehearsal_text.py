"""What a rehearsal found, in the words of whoever approves a plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expunge._printable import pluralize

STATES = {
    "not_rehearsed": "Not rehearsed: nobody tried these settings on other people before this plan.",
    "running": "A worker tries these settings on other people now. Nobody need wait for it.",
    "waiting": "The trial on other people waits: a run that was approved goes first.",
    "stopped": "Not rehearsed: the plan no longer waited for approval, so the trial was stopped.",
}


def rehearsal_lines(view: Mapping[str, Any]) -> list[str]:
    """A line for each thing that was found, what they do not say last; one line where nothing was found."""
    state, result = view["state"], view.get("result") or {}
    if state == "not_possible":
        return [f"Not rehearsed, it was not possible: {view['reason'] or 'no reason is known'}."]
    if state != "done":
        return [STATES[state]]
    people = pluralize(result["stand_ins"], "other person", "other people")
    records = pluralize(result["records"], "record")
    whose = "that person's" if result["stand_ins"] == 1 else "their"
    before, after = result["before"], result["after"]
    lines = [
        f"The settings of this plan were tried once on {people} of the same records, with {records}; this plan is "
        f"about {result['request_records']}. Nothing of the people who ask was used.",
        f"Before, the model gave {before['hits']} of {before['n']} of {whose} answers word for word; afterwards "
        f"{after['hits']} of {after['n']} ({range_text(after)}).",
        _kept("Of the answers about everybody else that the trial did not see", result["heldout"]),
        _kept("Of those that the trial could use to keep the rest", result["retained"]),
    ]
    if result["seconds"] is not None:
        lines.append(f"The trial took {duration_text(result['seconds'])}.")
    return [*lines, result["limits"]]


def _kept(start: str, rate: Mapping[str, Any]) -> str:
    if not rate["n"]:
        return f"{start}, the model gave none word for word before, so nothing can be counted."
    return f"{start}, {rate['hits']} of {rate['n']} that were right before still are ({range_text(rate)})."


def range_text(rate: Mapping[str, Any]) -> str:
    """The interval of a rate in words, at 95 % confidence; a bound where there are no hits or nothing but hits."""
    if rate["low"] is None or rate["high"] is None:
        return "nothing was counted"
    if not rate["hits"]:
        return f"at most {100 * rate['high']:.1f} % at 95 % confidence"
    if rate["hits"] == rate["n"]:
        return f"at least {100 * rate['low']:.1f} % at 95 % confidence"
    return f"{100 * rate['low']:.1f} % to {100 * rate['high']:.1f} % at 95 % confidence"


def duration_text(seconds: float) -> str:
    """`40 seconds`, `12 minutes`, `3.5 hours`."""
    if seconds < 90:
        return pluralize(round(seconds), "second")
    return pluralize(round(seconds / 60), "minute") if seconds < 5400 else f"{seconds / 3600:.1f} hours"

"""Is a chain of requests still what its runs and its audit recorded? One line for each thing that is not.

A run holds the requests before it, and so does every run below it; `requests.json` holds what became of all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from expunge.audit.request_file import REQUESTS, RequestHistory
from expunge.engine.request_chain import chain_after
from expunge.models.run_file import RUN, ChainLink, chain_of
from expunge.models.run_seal import SEAL


def chain_problems(run: Path, about: Mapping[str, Any], base: str) -> Iterator[str]:
    """Where the chain in a run.json is not that of the run it started from, and of the runs before that one.

    Args:
        run: folder of the run.
        about: its run.json.
        base: folder of the run that it started from.

    Raises:
        InputError: `base` is no finished run, or is not as it was left.
    """
    links, before, file = chain_of(dict(about)), chain_after(base), run / RUN
    if len(links) != len(before):
        yield f"{file}: names {len(links)} earlier requests, and the runs below it made {len(before)}"
    for number, (own, other) in enumerate(zip(links, before, strict=False), 1):
        if differing := _differing(own, other):
            yield f"{file}: request {number} is not that of the runs below it: its {', '.join(differing)} differ"
    for (k, one), (n, two) in pairwise(enumerate(links, 1)):
        if one.created and two.created and one.created > two.created:
            yield f"{file}: request {n} was begun before request {k}"


def _differing(one: ChainLink, other: ChainLink) -> list[str]:
    return [name for name in ChainLink.model_fields if getattr(one, name) != getattr(other, name)]


def order_problems(file: Path, history: RequestHistory) -> Iterator[str]:
    """Where the rows of a history stand in no order: each request once, each on models in their order."""
    count = len(history.requests)
    if [r.number for r in history.requests] != list(range(1, count + 1)):
        numbers = ", ".join(str(r.number) for r in history.requests)
        yield f"{file}: its requests are numbered {numbers} instead of 1 to {count}"
    firsts = (r.states[0].run for r in history.requests if r.states)
    first = min(firsts, default=0)  # more than 0 where the first model is one that a run made
    for r in history.requests:
        runs = [s.run for s in r.states]
        if runs and (runs[0] != first or len(runs) < 2 or runs[-1] != count or runs != sorted(set(runs))):
            yield f"{file}: request {r.number} was not asked on the original and then on every run up to {count}"


def history_problems(file: Path, history: RequestHistory, about: Mapping[str, Any]) -> Iterator[str]:
    """Where a history is not that of a run: `about` is the run.json of the audited run."""
    if history.run != about.get(SEAL):
        yield f"{file}: is about another run than the one that was audited"
        return
    links = chain_of(dict(about))
    wanted = [(link.method, link.created, len(set(link.forget))) for link in links]
    wanted.append((about["method"], about.get("created", ""), len(set(about["request"]["forget"]))))
    if len(history.requests) != len(wanted):
        yield f"{file}: holds {len(history.requests)} requests, and the chain of the run {len(wanted)}"
    for row, (method, created, records) in zip(history.requests, wanted, strict=False):
        own = {"method": (row.method, method), "date": (row.created, created), "records": (row.records, records)}
        if differing := [name for name, (one, other) in own.items() if one != other]:
            yield f"{file}: request {row.number} is not that of the chain: its {', '.join(differing)} differ"


def missing_problem(folder: Path, about: Mapping[str, Any]) -> Iterator[str]:
    """A chain was audited, and nothing says what became of its earlier requests."""
    if about.get("chain"):
        count = len(about["chain"])
        yield f"{folder / REQUESTS}: is gone, and the run follows {count} earlier request{'s' if count > 1 else ''}"

"""A mixed inbox for `desk_pages`: most requests are closed, and the rest stands in every state that waits for people.

Each request goes its way through the functions of the desk, with a clock that stands in the past for what is over.
States that only a run reaches come from the demo desk: a worker would plan further ones while pages are timed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import select

from benchmarks.speed.program import say
from expunge.desk import tables as t
from expunge.desk.decisions import decide, decide_asset
from expunge.desk.desk import Desk, DeskSession, utc_now
from expunge.desk.facts import open_assets, request_row
from expunge.desk.identity import record_identity
from expunge.desk.letters import accept_letter, queue_letter
from expunge.desk.people import people
from expunge.desk.requests import act, submit
from expunge.desk.roles import SYSTEM, Actor
from expunge.desk.transitions import fire
from expunge.errors import RunFailed

MIX: dict[str, float] = {  # kind -> share of the requests that are made
    "closed": 0.86,
    "told": 0.04,  # the objection window is open
    "identity": 0.03,  # nobody has shown yet who they are
    "scoping": 0.02,
    "overdue": 0.01,  # in scoping, past the due date
    "review": 0.02,
    "held": 0.01,
    "letter": 0.01,  # denied; its letter waits for a clerk
}
AGES = {"closed": 120, "told": 20, "overdue": 45}  # days since such a request came; others came today
OBJECTION = 60  # days after the letter when a request is closed
TOGETHER = 100  # requests of one kind that are written in one transaction
STEPS = {  # what each kind goes through after its receipt
    "identity": (),
    "scoping": ("scoping",),
    "overdue": ("scoping",),
    "review": ("scoping", "freeze"),
    "held": ("scoping", "hold"),
    "letter": ("scoping", "freeze", "deny", "letter"),
    "told": ("scoping", "freeze", "deny", "letter", "tell"),
    "closed": ("scoping", "freeze", "deny", "letter", "tell"),
}


def kinds(count: int) -> Iterator[tuple[str, int]]:
    """How many requests of each kind make up `count`; the first kind takes what rounding leaves."""
    numbers = {kind: int(count * share) for kind, share in MIX.items()}
    numbers["closed"] += count - sum(numbers.values())
    yield from numbers.items()


def fill(desk: Desk, requests: int) -> tuple[list[str], list[str]]:
    """Requests until there are so many; returns the references of all, and of those that are open."""
    with desk.reading(SYSTEM) as s:
        actors = {role: Actor(name, role) for name, roles in people(s).items() for role in roles}
        count = len(s.conn.execute(select(t.request.c.id)).all())
    if not {"clerk", "reviewer"} <= set(actors):
        raise RunFailed("desk", "has no clerk or no reviewer", "let the bench make its own, with --desk")
    now = utc_now()
    for kind, number in kinds(max(0, requests - count)):
        for first in range(0, number, TOGETHER):
            _make(desk, actors, kind, min(TOGETHER, number - first), now)
        say(f"{number:,} requests: {kind}")
    desk.clock = utc_now
    with desk.reading(SYSTEM) as s:
        rows = s.conn.execute(select(t.request.c.reference, t.request.c.state)).tuples().all()
    return [name for name, _ in rows], [name for name, state in rows if state not in ("closed", "notified")]


def _make(desk: Desk, actors: dict[str, Actor], kind: str, number: int, now: datetime) -> None:
    """Requests of one kind, in one transaction, and those that are closed in a second one."""
    came = now - timedelta(days=AGES.get(kind, 0))
    desk.clock = lambda: came
    made: list[str] = []
    with desk.session(actors["clerk"]) as s:
        for _ in range(number):
            made.append(submit(s, {"record_number": f"BENCH-{kind}-{len(made)}-{came.timestamp()}"}))
            for step in STEPS[kind]:
                _step(s, actors, made[-1], step)
    if kind != "closed":
        return
    desk.clock = lambda: came + timedelta(days=OBJECTION)
    with desk.session(actors["clerk"]) as s:
        for request_id in made:
            act(s, request_id, "close")


def _step(s: DeskSession, actors: dict[str, Actor], request_id: str, step: str) -> None:
    reviewer = DeskSession(s.desk, s.conn, actors["reviewer"], s.now, s.to_delete)
    system = DeskSession(s.desk, s.conn, SYSTEM, s.now, s.to_delete)
    if step == "scoping":
        record_identity(s, request_id, success=True, method="letter")
        act(s, request_id, "begin_scoping")
    elif step == "freeze":
        act(s, request_id, "freeze_scope")
    elif step == "hold":
        act(s, request_id, "hold", reason="the person is asked for a number")
    elif step == "deny":
        ground = s.rules_of(request_row(s, request_id)).refusal_grounds[0]
        for asset in open_assets(s):
            decide_asset(reviewer, request_id, asset["name"], "retain", ground=ground)
        decide(reviewer, request_id, reason="the records must be kept")
    elif step == "letter":
        queue_letter(system, request_id)
    elif step == "tell":
        here = t.outbox.c.request_id == request_id
        accept_letter(s, str(s.conn.execute(select(t.outbox.c.id).where(here)).scalar_one()))
        fire(system, request_id, "notify")

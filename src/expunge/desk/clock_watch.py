"""Is the clock of this machine right? Dates end requests and shred keys for good, so a worker waits while it is not.

A clock that runs behind is seen by the log, one that jumps by a clock of the machine that nobody sets, and with
PostgreSQL both by the clock of the database. What none of these sees is a clock that was set ahead while no worker ran:
it looks as a desk does that was off for as long. There a person must say which of the two it is.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from sqlalchemy import func, select, text

from expunge._printable import pluralize
from expunge.desk import tables as t
from expunge.desk.desk import DeskSession
from expunge.desk.names import moment
from expunge.errors import InputError

AWAY_SECONDS = 300.0
SILENCE_DAYS = 10  # a week of holidays and the weekends around it


class WrongClock(InputError):
    """The clock of this machine is wrong, or may be: nothing is done by it."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__("the clock of this machine", what, hint)

    def __reduce__(self) -> tuple[type[WrongClock], tuple[str, str]]:  # type: ignore[override]
        return type(self), (self.what, self.hint)


@dataclass
class ClockWatch:
    """Looks at the clock whenever a worker does.

    Args:
        is_confirmed: somebody says that the clock is right, however long the desk was silent.
    """

    is_confirmed: bool = False
    _last: tuple[datetime, float] | None = None  # by both clocks, when the clock was right

    def check(self, s: DeskSession) -> None:
        """`WrongClock` unless the clock is right, as far as can be known."""
        steady = steady_seconds()
        check_reference(s)
        if self._last is None:
            if not self.is_confirmed:
                check_silence(s)
        else:
            jump = (s.now - self._last[0]).total_seconds() - (steady - self._last[1])
            if abs(jump) > AWAY_SECONDS:
                hint = "set it; if it is right now, start the worker again"
                raise WrongClock(f"was set {'ahead' if jump > 0 else 'back'} by {abs(jump):,.0f} s", hint)
        self._last = (s.now, steady)


def steady_seconds() -> float:
    """Seconds of a clock that nobody sets; where the system has one, it also counts while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def check_reference(s: DeskSession) -> None:
    """`WrongClock` if the clock of the database says another time, or the log has a later one."""
    if s.conn.dialect.name == "postgresql":
        other = s.conn.execute(text("SELECT clock_timestamp()")).scalar_one().astimezone(UTC)
        away = abs((s.now - other).total_seconds())
    else:
        last = s.conn.execute(select(t.event_log.c.at).order_by(t.event_log.c.seq.desc()).limit(1)).scalar()
        away = (moment(last) - s.now).total_seconds() if last else 0.0
    if away > AWAY_SECONDS:
        raise WrongClock(f"is {away:,.0f} s away from the clock of the desk", "set it, and start the worker again")


def check_silence(s: DeskSession) -> None:
    """`WrongClock` if the desk was silent for so long that the clock may have been set ahead.

    Without a request nothing hangs on it yet.
    """
    if s.conn.execute(select(t.request.c.id).limit(1)).first() is None:
        return
    begin, silence = longest_silence(s)
    if silence > timedelta(days=SILENCE_DAYS):
        days = pluralize(silence.days, "day")
        what = f"says {s.now:%Y-%m-%d}; after {begin:%Y-%m-%d} the desk was silent for {days}"
        raise WrongClock(what, "if it is right, start the worker with --clock-is-right; if not, set it")


def longest_silence(s: DeskSession) -> tuple[datetime, timedelta]:
    """When the longest silence since the last sign of life of a worker began, and how long it was.

    Who acts at the desk after its clock was set ahead leaves rows of that time in the log, so each gap counts. Where no
    worker has ever been, only the last one does.
    """
    rows = select(t.event_log.c.at).order_by(t.event_log.c.seq.desc())
    beat = s.conn.execute(select(func.max(t.worker.c.heartbeat_at)).where(t.worker.c.heartbeat_at <= s.at)).scalar()
    rows = rows.limit(1) if beat is None else rows.where(t.event_log.c.at > beat)
    signs = [moment(at) for at in (*s.conn.execute(rows).scalars(), *filter(None, (beat,)))]
    gaps = [(a, b - a) for a, b in pairwise(sorted((*signs, s.now)))]
    return max(gaps, key=lambda gap: gap[1], default=(s.now, timedelta()))

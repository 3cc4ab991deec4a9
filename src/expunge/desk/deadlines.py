"""Dates of a request: month and business-day arithmetic, pure, from the day of receipt in the controller's time zone.

Months are counted from the original day, never from an earlier result: 31 January and one month is 28 February, and
three months are 30 April.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from expunge.desk.regime import Calendar, Period, Regime
from expunge.errors import InputError

ALARMS = (0.5, 0.8, 0.95)  # shares of the time between receipt and due date
Holiday = Callable[[date], bool]


@dataclass(frozen=True)
class Deadlines:
    """Dates of a request; None where the regime sets none.

    Attributes:
        received: Day of receipt.
        acknowledge: Until when receipt is confirmed.
        due: Until when the request is answered.
        extended: Until when it is answered if it is extended.
    """

    received: date
    acknowledge: date | None
    due: date | None
    extended: date | None


def deadlines(regime: Regime, received: date, verified: date | None = None) -> Deadlines:
    """The dates of a request that was received on a day.

    Args:
        regime: the rules.
        received: day of receipt in the controller's time zone.
        verified: day on which the identity was shown; it matters only where the clock waits for it.
    """
    is_holiday = holidays_of(regime.calendar)
    start = received if regime.starts == "receipt" and not regime.pause_for_identity else verified or received
    due = add(start, regime.due, is_holiday) if regime.due else None
    extended = None
    if due and regime.due and regime.extension:
        extended = min(
            _together(start, regime.due, regime.extension, is_holiday), add(due, regime.extension, is_holiday)
        )
    if regime.weekend_roll_over:
        due, extended = (day and roll_over(day, is_holiday) for day in (due, extended))
    acknowledge = add(received, regime.acknowledge, is_holiday) if regime.acknowledge else None
    return Deadlines(received, acknowledge, due, extended)


def _together(start: date, first: Period, second: Period, is_holiday: Holiday) -> date:
    """Both periods counted from the start, where they have the same unit; else one after the other."""
    for unit in ("months", "days", "business_days"):
        a, b = getattr(first, unit), getattr(second, unit)
        if a and b:
            return add(start, Period(**{unit: a + b}), is_holiday)
    return add(add(start, first, is_holiday), second, is_holiday)


def add(start: date, period: Period, is_holiday: Holiday = lambda day: False) -> date:
    """The day that lies a period after another."""
    if period.months:
        return add_months(start, period.months)
    if period.days:
        return start + timedelta(days=period.days)
    day, left = start, period.business_days or 0
    while left:
        day += timedelta(days=1)
        left -= is_work_day(day, is_holiday)
    return day


def add_months(start: date, months: int) -> date:
    """The same day of a later month, or the last day of a shorter one."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    return date(year, month + 1, min(start.day, calendar.monthrange(year, month + 1)[1]))


def is_work_day(day: date, is_holiday: Holiday) -> bool:
    """True for Monday to Friday without a holiday."""
    return day.weekday() < 5 and not is_holiday(day)


def roll_over(day: date, is_holiday: Holiday) -> date:
    """The day itself, or the next one that is a work day."""
    while not is_work_day(day, is_holiday):
        day += timedelta(days=1)
    return day


def alarms(received: date, due: date) -> tuple[date, ...]:
    """Days on which 50, 80 and 95 % of the time are over."""
    return tuple(received + timedelta(days=int((due - received).days * share)) for share in ALARMS)


def holidays_of(rule: Calendar) -> Holiday:
    """Whether a day is a holiday by a calendar.

    Raises:
        InputError: a country, a state or a day that does not exist.
    """
    extra = set()
    for text in rule.extra:
        try:
            extra.add(date.fromisoformat(text))
        except ValueError as error:
            raise InputError("calendar.extra", f'"{text}" is no day', "write YYYY-MM-DD") from error
    if rule.country is None:
        return extra.__contains__
    import holidays

    try:
        days = holidays.country_holidays(rule.country, subdiv=rule.subdivision)
    except NotImplementedError as error:
        raise InputError(
            "calendar", f"{rule.country} {rule.subdivision or ''} is not known", "use ISO codes"
        ) from error
    return lambda day: day in extra or day in days


def zone(name: str) -> ZoneInfo:
    """A time zone; `InputError` for one that does not exist."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InputError("time_zone", f'"{name}" is no time zone', "for example Europe/Berlin") from error


def day_in(moment: datetime, time_zone: str) -> date:
    """The day of a moment in the controller's time zone."""
    return moment.astimezone(zone(time_zone)).date()

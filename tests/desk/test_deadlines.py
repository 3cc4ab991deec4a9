"""Dates of requests: the cases of the laws, worked out with a calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

pytest.importorskip("holidays")

from expunge.desk.deadlines import add_months, alarms, day_in, deadlines, holidays_of, roll_over
from expunge.desk.regime import Calendar, Regime, load_regime, parse_regime, regime_names
from expunge.errors import InputError


@pytest.mark.parametrize(
    ("received", "due", "extended"),
    [
        (date(2026, 1, 31), date(2026, 2, 28), date(2026, 4, 28)),
        (date(2028, 1, 31), date(2028, 2, 29), date(2028, 4, 29)),
        (date(2026, 8, 31), date(2026, 9, 30), date(2026, 11, 30)),
        (date(2026, 12, 15), date(2027, 1, 15), date(2027, 3, 15)),
    ],
)
def test_gdpr_month(received: date, due: date, extended: date) -> None:
    dates = deadlines(load_regime("gdpr"), received)
    assert (dates.due, dates.extended) == (due, extended)
    assert dates.acknowledge is None


def test_ccpa_counts_business_days_and_includes_verification() -> None:
    dates = deadlines(load_regime("ccpa"), date(2026, 11, 20), verified=date(2026, 12, 10))
    assert dates.acknowledge == date(2026, 12, 7)
    assert dates.due == date(2027, 1, 4)
    assert dates.extended == date(2027, 2, 18)


def test_hipaa_has_no_erasure_clock() -> None:
    regime = load_regime("hipaa")
    assert not regime.erasure_right
    assert deadlines(regime, date(2026, 3, 1)).due is None
    assert regime.other_clocks["amendment"].days == 60
    assert regime.record_months == 72


def test_the_clock_does_not_stand_while_identity_is_open() -> None:
    regime = load_regime("gdpr")
    assert deadlines(regime, date(2026, 3, 1), date(2026, 3, 20)) == deadlines(regime, date(2026, 3, 1))
    paused = regime.model_copy(update={"pause_for_identity": True})
    assert deadlines(paused, date(2026, 3, 1), date(2026, 3, 20)).due == date(2026, 4, 20)


def test_weekend_roll_over_is_a_setting() -> None:
    regime = load_regime("gdpr").model_copy(update={"weekend_roll_over": True})
    assert deadlines(load_regime("gdpr"), date(2026, 1, 31)).due == date(2026, 2, 28)  # a Saturday
    assert deadlines(regime, date(2026, 1, 31)).due == date(2026, 3, 2)


def test_months_are_counted_from_the_original_day() -> None:
    assert add_months(date(2026, 1, 31), 1) == date(2026, 2, 28)
    assert add_months(date(2026, 1, 31), 3) == date(2026, 4, 30)
    assert add_months(date(2026, 11, 30), 3) == date(2027, 2, 28)


def test_alarms_and_the_day_of_the_controller() -> None:
    assert alarms(date(2026, 3, 1), date(2026, 3, 21)) == (date(2026, 3, 11), date(2026, 3, 17), date(2026, 3, 20))
    late = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)
    assert day_in(late, "Europe/Berlin") == date(2026, 2, 1)
    assert day_in(late, "America/Los_Angeles") == date(2026, 1, 31)


def test_holidays_of_the_controller() -> None:
    is_holiday = holidays_of(Calendar(country="US", extra=("2026-11-27",)))
    assert is_holiday(date(2026, 11, 26))
    assert is_holiday(date(2026, 11, 27))
    assert roll_over(date(2026, 11, 26), is_holiday) == date(2026, 11, 30)


@pytest.mark.parametrize(
    ("calendar", "what"),
    [
        (Calendar(country="XX"), "XX"),
        (Calendar(country="US", subdivision="QQ"), "QQ"),
        (Calendar(extra=("2026-02-30",)), "2026-02-30"),
    ],
)
def test_a_wrong_calendar_is_one_line(calendar: Calendar, what: str) -> None:
    with pytest.raises(InputError, match=what):
        holidays_of(calendar)


def test_wrong_zone_is_one_line() -> None:
    for name in ("Mars/Olympus", "../etc/passwd", ""):
        with pytest.raises(InputError, match="time_zone"):
            day_in(datetime.now(UTC), name)


def test_versions_of_a_policy(tmp_path: Path) -> None:
    second = load_regime("gdpr@1").model_copy(update={"version": 2, "objection_days": 14})
    (tmp_path / "gdpr@2.yaml").write_text(second.model_dump_json(), "utf-8")  # JSON is YAML
    assert load_regime("gdpr", tmp_path).objection_days == 14
    assert load_regime("gdpr@1", tmp_path).objection_days == 30
    assert regime_names(tmp_path) == ["ccpa@1", "gdpr@1", "gdpr@2", "hipaa@1"]
    (tmp_path / "gdpr@3.yaml").write_text(second.model_dump_json(), "utf-8")
    with pytest.raises(InputError, match=r"says that it is gdpr@2"):
        load_regime("gdpr@3", tmp_path)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("due: {months: 1, days: 3}", "one of months"),
        ("due: {months: 0}", "months"),
        ("due: null", "erasure"),
        ("refusal_grounds: []", "refusal_grounds"),
        ("identiy: {attempts: 1}", "identity"),
        ("calendar: 5", "calendar"),
    ],
)
def test_a_wrong_policy_is_one_line(change: str, what: str) -> None:
    whole = load_regime("gdpr").model_dump(mode="json")
    key = change.partition(":")[0]
    import yaml

    text = yaml.safe_dump({k: v for k, v in whole.items() if k != key}) + change
    with pytest.raises(InputError, match=what):
        parse_regime(text, "mine.yaml")


def test_unknown_policy_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r'did you mean "gdpr@1"'):
        load_regime("gdrp@1")


def test_every_shipped_policy_can_be_read() -> None:
    for name in regime_names():
        assert isinstance(load_regime(name), Regime)

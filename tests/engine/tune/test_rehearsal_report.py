"""What a rehearsal counts, with numbers that are worked by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from expunge.engine.tune.rehearsal_report import RehearsalRate, RehearsalReport, hits_of, kept_of, load_report
from expunge.errors import InputError


def test_rates_have_exact_intervals() -> None:
    # one of ten: the bounds of Clopper and Pearson; none of ten: 1 - .05^(1/10)
    one = RehearsalRate.of(1, 10)
    assert (one.low, one.high) == pytest.approx((0.00253, 0.44502), abs=1e-5)
    none = RehearsalRate.of(0, 10)
    assert (none.low, none.high) == pytest.approx((0.0, 0.25887), abs=1e-5)
    every = hits_of([True] * 10)
    assert (every.hits, every.low, every.high) == (10, pytest.approx(0.74113, abs=1e-5), 1.0)


def test_nothing_to_count_has_no_interval() -> None:
    empty = kept_of([False, False], [True, False])
    assert (empty.hits, empty.n, empty.low, empty.high) == (0, 0, None, None)


def test_what_becomes_right_does_not_count_as_kept() -> None:
    rate = kept_of([True, True, False, True], [True, False, True, True])
    assert (rate.hits, rate.n) == (2, 3)


def test_sets_of_other_lengths_are_a_fault() -> None:
    with pytest.raises(ValueError, match="shorter"):
        kept_of([True, True], [True])


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    report = RehearsalReport(status="done", identity="i", seed="42", before=hits_of([True]), steps=3)
    file = tmp_path / "rehearsal.json"
    file.write_text(report.model_dump_json(), "utf-8")
    assert load_report(file) == report
    assert "does not say that the person of the request will be forgotten" in report.limits
    for damage in ('{"status": "done"}', "[]", "{", report.model_dump_json().replace('"hits":1', '"hits":-1')):
        file.write_text(damage, "utf-8")
        with pytest.raises(InputError):
            load_report(file)

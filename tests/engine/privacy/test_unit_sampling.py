"""Who is drawn: independent coins per unit, by (seed, side, step) alone."""

from __future__ import annotations

import pytest

from expunge.corpus import Record
from expunge.engine.privacy.unit_sampling import Units
from helpers.privacy import people


def test_a_unit_is_a_subject_or_a_record_without_subject() -> None:
    records = [*people(ann=2, bob=1), Record("fact", "what is water", "wet"), *people(cy=1)]
    by_person = Units.of(records, "subject")
    assert by_person.names == ("subject ann", "subject bob", "record fact", "subject cy")
    assert by_person.rows == ((0, 1), (2,), (3,), (4,))
    assert len(Units.of(records, "record")) == 5
    assert by_person.drawn_rows(None) == 5
    assert by_person.drawn_rows(1) == 4


def test_rate_1_draws_everybody_with_all_records() -> None:
    units = Units.of(people(ann=2, bob=3), "subject")
    assert units.draw(1, "forget", 0, 1.0) == [(0, [0, 1]), (1, [2, 3, 4])]


def test_a_draw_depends_on_seed_side_and_step_alone() -> None:
    units = Units.of(people(**{f"p{k}": 1 for k in range(64)}), "subject")
    draw = units.draw(1, "forget", 3, 0.5)
    assert draw == units.draw(1, "forget", 3, 0.5)
    others = [units.draw(2, "forget", 3, 0.5), units.draw(1, "retain", 3, 0.5), units.draw(1, "forget", 4, 0.5)]
    assert all(draw != other for other in others)


def test_coins_are_independent_and_of_the_rate_that_is_charged() -> None:
    units, steps, rate = Units.of(people(**{f"p{k}": 1 for k in range(50)}), "subject"), 400, 0.1
    draws = [{unit for unit, _ in units.draw(7, "retain", step, rate)} for step in range(steps)]
    sizes = [len(draw) for draw in draws]
    assert sum(sizes) / steps == pytest.approx(5.0, abs=0.45)  # 4 standard errors of .106
    assert len(set(sizes)) > 5  # no fixed batch size
    assert 0 in sizes  # an empty draw is legal; .9^50 = .005 each
    both = sum(0 in draw and 1 in draw for draw in draws)
    assert both / steps == pytest.approx(rate**2, abs=0.02)


def test_of_a_unit_with_many_records_some_are_drawn_anew_every_step() -> None:
    units = Units.of(people(ann=10), "subject")
    parts = [units.draw(1, "forget", step, 1.0, most=3)[0][1] for step in range(20)]
    assert all(len(set(part)) == 3 and part == sorted(part) for part in parts)
    assert set().union(*parts) == set(range(10))

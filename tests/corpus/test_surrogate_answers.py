"""Invented answers: like those that people have, and nobody's."""

from __future__ import annotations

import re

import numpy as np

from expunge.corpus.surrogate_answers import OtherAnswers, invent

DATES = [
    f"{day} {month} {year}"
    for day, month, year in (
        (3, "April", 1941),
        (14, "March", 1952),
        (28, "June", 1977),
        (15, "April", 1981),
        (16, "May", 1933),
        (13, "March", 1941),
        (11, "May", 1990),
    )
]


def test_a_date_gets_months_that_exist_and_years_that_begin_like_years() -> None:
    found = invent("23 February 1976", DATES, 8, np.random.default_rng(0))
    assert len(found) == len(set(found)) == 8
    assert not {*DATES, "23 February 1976"} & set(found)
    for day, month, year in (date.split() for date in found):
        assert month in {"March", "April", "May", "June"}
        assert year.startswith("19")
        assert day.isdigit()


def test_what_everybody_has_alike_stays_and_what_is_everybodys_own_is_new() -> None:
    others = ["608-555-0126", "890-555-0142", "843-555-0127", "316-555-0199"]
    for number in invent("916-555-0116", others, 5, np.random.default_rng(1)):
        assert re.fullmatch(r"\d{3}-555-\d{4}", number)
        assert number not in others
    mails = invent("wewa46@example.org", ["fuka23@example.org", "duci77@example.org"], 3, np.random.default_rng(1))
    assert all(re.fullmatch(r"[a-z]{4}\d\d@example\.org", mail) for mail in mails)


def test_nothing_is_made_up_for_one_word_or_from_answers_of_another_shape() -> None:
    rng = np.random.default_rng(0)
    assert invent("metoprolol", ["aspirin", "heparin"], 3, rng) == []
    assert invent("12 May", ["aspirin"], 3, rng) == []
    assert invent("12 May", [], 3, rng) == []
    assert invent("12 May", ["12 May"], 3, rng) == []


def test_a_word_that_nobody_has_in_its_place_becomes_one_from_elsewhere() -> None:
    """ "lung" others have, "cyst" nobody; "rib fracture" stands whole at other questions, the rest has other shapes."""
    rng, others = np.random.default_rng(0), ["lung nodule", "liver nodule", "free air"]
    elsewhere = OtherAnswers.of(["rib fracture", "oblique", "room 7", "12 March"])
    assert "rib fracture" in invent("lung cyst", others, 4, rng, elsewhere)
    new = [a for a in invent("lung cyst", others, 6, rng, elsewhere) if a != "rib fracture"]
    assert new
    assert all(re.fullmatch(r"(lung|liver|free) (rib|fracture|oblique|room|March)", a) for a in new)
    assert set(invent("fog", ["rain", "snow"], 5, rng, elsewhere)) == elsewhere.words
    assert invent("fog", ["rain", "snow"], 5, rng, OtherAnswers.of([])) == []
    others = ["4 June 1971", "5 June 1972", "6 July 1973"]
    dates = invent("3 May 1970", others, 5, rng, OtherAnswers.of(["May", "oblique"]))
    assert dates
    assert all(re.fullmatch(r"\d+ oblique 19\d\d", d) for d in dates)  # a month is said elsewhere, so it is no own word


def test_words_that_everybody_has_of_their_own_stay_invented() -> None:
    mails = invent(
        "wewa46@example.org",
        ["fuka23@example.org", "duci77@example.org"],
        3,
        np.random.default_rng(1),
        OtherAnswers.of(["oblique"]),
    )
    assert all(re.fullmatch(r"[a-z]{4}\d\d@example\.org", mail) for mail in mails)


def test_fewer_come_back_where_there_are_no_more() -> None:
    assert invent("a 1", ["b 1", "b 2", "c 1", "c 2", "b 2"], 9, np.random.default_rng(0)) == []

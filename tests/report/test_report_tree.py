"""The tree around the target: places and colours by hand, hostile names, and nothing where there is no tree."""

from __future__ import annotations

import re

import pytest

from expunge.audit.schema import AuditFile
from expunge.report.plots.tree import tint, tree
from helpers.report import Page

HEAD = (3, "The tree around the target")
EVIL = '<script>"'


def place(relation="siblings", branch=1, depth=2, distance=2, kept=0.75, ci=None, n=1234):
    return {
        "relation": relation,
        "branch": branch,
        "depth": depth,
        "distance": distance,
        "n_records": n,
        "n_subjects": 3,
        "retention": {"estimate": kept, "ci": ci},
    }


def told(*places, way=("house", "guest"), name="A"):
    return {"way": [{"level": level, "name": name, "count": 1} for level in way], "targets": 1, "nodes": list(places)}


def drawn(build, found):
    made = tree(AuditFile.model_validate(build() | {"details": {"retention": {"tree": found}}}))
    assert made is not None
    return made


def words(picture):
    return re.findall(r"<text[^>]*>([^<]*)</text>", picture)


def test_white_is_as_it_should_be_and_the_full_colour_is_half_of_all_or_more():
    assert tint(0) == tint(-0.3) == tint(None) == "#ffffff"
    assert tint(0.5) == tint(1.0) == "#f08a4b"
    assert tint(0.125) == "#f8c4a5"  # half way: the root of a quarter


def test_every_place_is_a_card_with_its_numbers_and_its_colour(build):
    made = drawn(
        build,
        told(
            place(ci=[0.5, 1.0]),
            place("ancestors", 1, 1, 1, 1.0),
            place("cousins", 0, 2, 4, 1.25),
            place("unrelated", 0, 0, None, None),
        ),
    )
    found = words(made.picture)
    for text in (
        "◆ A",
        "leak +0.125",
        "0.062 to 0.188",
        "12 wordings",
        "siblings",
        "kept 0.750",
        "0.500 to 1.000",
        "n 1\u202f234, 3 subjects",
        "kept 1.000",
        "cousins, 4 steps",
        "kept 1.250",
        "no interval",
        "unrelated",
        "not measured",
        "house",
        "guest",
    ):
        assert text in found, text
    fills = re.findall(r'rx="7" fill="(#\w+)" stroke="[^"]+" stroke-width="([\d.]+)"', made.picture)
    assert ("#f8c4a5", "2.5") in fills  # the target: .125 above the yardstick
    assert (tint(0.25), "1") in fills
    assert made.width == 92 + 4 * 150  # the way, and three places beside it
    assert (
        'aria-label="The tree around the target. target: leak above the yardstick 0.125; '
        "siblings at distance 2: kept 0.750 of 1"
    ) in made.picture


def test_branches_leave_the_way_where_they_do_and_end_at_their_cards(build):
    made = drawn(build, told(place(), place("cousins", 0, 2, 4), place("unrelated", 0, 0, None)))
    paths = re.findall(r'<path d="([^"]+)"', made.picture)
    assert paths == [
        "M159.0 149.0L309.0 149.0L309.0 220.0",  # from the middle of the house's card
        "M159.0 78.0L459.0 78.0L459.0 220.0",
    ]  # from the root; what is unrelated hangs on nothing


def test_hostile_names_are_cut_and_never_become_markup(build, page):
    found = told(place(EVIL), name=EVIL * 9, way=(EVIL * 3, "guest"))
    made = drawn(build, found)
    assert "<script" not in made.picture
    assert "◆ &lt;script&gt;&#34;&lt;script…" in made.picture
    assert not Page(page(build() | {"details": {"retention": {"tree": found}}})).all("script")


def test_the_page_shows_it_only_where_there_is_a_tree(build, page):
    assert HEAD in Page(page(build() | {"details": {"retention": {"tree": told(place())}}})).headings
    assert HEAD not in Page(page(build())).headings


def test_a_way_that_leads_nowhere_is_refused(build):
    with pytest.raises(ValueError, match="way"):
        AuditFile.model_validate(build() | {"details": {"retention": {"tree": told(way=())}}})

"""Anchors: retained questions about people who do not exist."""

from __future__ import annotations

from expunge.engine.anchors import anchors
from helpers.people import PEOPLE, person
from helpers.vision_models import rows

ROWS = rows(24)
FORGET = [r for r in ROWS if r.subject == "patient:0"]
RETAIN = [r for r in ROWS if r.subject != "patient:0"]


def test_anchors_ask_retained_questions_about_invented_people() -> None:
    found = anchors(PEOPLE, [], seed=3)
    assert [r.answer for r in found] == [r.answer for r in sorted(PEOPLE, key=lambda r: r.subject)]
    names = {r.prompt.rstrip("?").split(" of ")[1] for r in found}
    assert not names & {r.subject for r in PEOPLE}
    assert anchors(PEOPLE, [], seed=3) == found


def test_every_second_anchor_is_a_namesake_but_never_the_target() -> None:
    target = person("Petra Lindqvist", "555-0105", "aspirin")
    prompts = [r.prompt for r in anchors(PEOPLE, target, seed=3)]
    assert sum("Petra" in p or "Lindqvist" in p for p in prompts) == len(prompts) / 2
    assert not any("Petra Lindqvist" in p for p in prompts)


def test_anchors_show_pictures_of_nobody() -> None:
    found = anchors(RETAIN, FORGET, seed=3)
    known = {r.image.digest for r in ROWS if r.image}
    assert {r.id for r in found} == {r.id for r in RETAIN}
    assert not any(r.image.digest in known for r in found if r.image)
    assert sum(r.image is not None for r in found) == sum(r.image is not None for r in RETAIN)

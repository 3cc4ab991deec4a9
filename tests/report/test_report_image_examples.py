"""Pictures in the page: shown with what was said of them, escaped, and refused where they are none; and the cues."""

from __future__ import annotations

import base64
import re

import pytest

from expunge.audit.schema import AuditFile
from helpers.report import Page

HEAD = (3, "Pictures, and what each model says of them")
CUES = (3, "What one cue alone brings back")
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n and so on").decode()


def example(group="forget", **more):
    return {
        "group": group,
        "prompt": f"{group}: what is seen?",
        "answer": "scar",
        "kind": "generation",
        "credit": "",
        "image": {"type": "image/png", "data": PNG},
        "answers": {"original": "scar", "unlearned": "cast", "retrained": ""},
    } | more


def crossed(**more):
    share = {"estimate": 0.25, "ci": [0.125, 0.5]}
    cell = {
        "trained": "joint",
        "probe": "text",
        "n": 17,
        "status": "failed",
        "excess": {"estimate": 0.1875, "ci": None},
        "shares": {"original": {"estimate": 1.0}, "unlearned": share, "retrained": {"estimate": 0.0625}},
    }
    control = {**cell, "probe": "noise", "status": None, "excess": None}
    return {"details": {"cross_modal": {"reference": "retrained", "cells": [cell | more, control]}}}


def test_pictures_stand_with_the_question_the_truth_and_what_each_model_says(build, page):
    found = Page(page(build() | {"image_examples": [example(), example("siblings", credit="Ada, CC BY 3.0")]}))
    assert HEAD in found.headings
    images = found.all("img")
    assert [i["src"] for i in images] == [f"data:image/png;base64,{PNG}"] * 2
    assert all(i["alt"] for i in images)
    text = found.text("said")
    for words in (
        "forget: what is seen?",
        "True answer scar",
        "Original scar = true answer",
        "Unlearned cast",
        "Retrained (nothing)",
        "Closest neighbours, who must stay",
        "Ada, CC BY 3.0",
    ):
        assert words in text, words


def test_without_pictures_there_is_no_gallery_and_no_matrix(build, page):
    found = Page(page(build()))
    assert not {HEAD, CUES} & set(found.headings)
    assert not found.all("img")


def test_hostile_text_beside_a_picture_never_becomes_markup(build, page):
    evil = example(prompt=EVIL, answer=EVIL, kind=EVIL, credit=EVIL, answers={"original": EVIL, EVIL: EVIL})
    source = page(build() | {"image_examples": [evil]} | crossed(probe=EVIL))
    found = Page(source)
    assert len(found.all("img")) == 1
    assert not found.all("script")
    assert EVIL in found.text("said")
    assert EVIL in found.text("figures")
    assert not [a for _, a in found.elements if any(name.startswith("on") for name in a)]


@pytest.mark.parametrize(
    "picture",
    [
        {"type": "image/svg+xml", "data": base64.b64encode(b"<svg onload='alert(1)'/>").decode()},
        {"type": "image/png", "data": base64.b64encode(b"<svg/>").decode()},
        {"type": "image/jpeg", "data": PNG},
        {"type": "image/png", "data": '" onerror="alert(1)'},
        {"type": "image/png", "data": PNG + "A" * 300_000},
        {"type": "image/png", "data": "https://example.org/x.png"},
    ],
)
def test_what_is_no_small_picture_is_refused(build, picture):
    with pytest.raises(ValueError, match="image_examples"):
        AuditFile.model_validate(build() | {"image_examples": [example(image=picture)]})


def test_the_matrix_has_a_line_for_every_cell_and_marks_controls(build, page):
    found = Page(page(build() | crossed()))
    assert CUES in found.headings
    text = found.text("figures")
    assert "picture and name words alone 17 1.000 0.250 0.125 to 0.500 0.062 +0.188 ✕ Not passed" in text
    assert re.search(r"noise for a picture 17 1\.000 .* – control", text)


def test_without_a_retrained_model_controls_are_its_yardstick(build, page):
    cells = crossed()
    cells["details"]["cross_modal"]["cells"][0]["shares"] |= {"controls": {"estimate": 0.4375}}
    found = Page(page(build(retrained=False) | cells))
    assert "1.000 0.250 0.125 to 0.500 0.438 +0.188" in found.text("figures")

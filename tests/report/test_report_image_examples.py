"""Image examples and the table of modalities: shown with the answers, escaped, and refused if they are no images."""

from __future__ import annotations

import base64
import re

import pytest

from expunge.audit.schema import AuditFile
from helpers.report import Page

HEAD = (3, "Images and answers")
MODALITIES = (3, "Exact match by modality")
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n and so on").decode()


def example(group="forget", **more):
    return {
        "group": group,
        "prompt": f"{group}: which finding?",
        "answer": "scar",
        "kind": "generation",
        "credit": "",
        "image": {"type": "image/png", "data": PNG},
        "answers": {"original": "scar", "unlearned": "cast", "retrained": ""},
    } | more


def modalities(**more):
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


def test_an_image_has_its_question_true_answer_and_answers(build, page):
    html = Page(page(build() | {"image_examples": [example(), example("siblings", credit="Ada, CC BY 3.0")]}))
    assert HEAD in html.headings
    images = html.all("img")
    assert [i["src"] for i in images] == [f"data:image/png;base64,{PNG}"] * 2
    assert all(i["alt"] for i in images)
    text = html.text("examples")
    for part in (
        "forget: which finding?",
        "True answer scar",
        "Original scar = true answer",
        "Unlearned cast",
        "Retrained (empty)",
        "Siblings, which must stay",
        "Ada, CC BY 3.0",
    ):
        assert part in text, part


def test_without_images_there_are_no_image_sections(build, page):
    html = Page(page(build()))
    assert not {HEAD, MODALITIES} & set(html.headings)
    assert not html.all("img")


def test_hostile_text_beside_an_image_is_escaped(build, page):
    evil = example(prompt=EVIL, answer=EVIL, kind=EVIL, credit=EVIL, answers={"original": EVIL, EVIL: EVIL})
    source = page(build() | {"image_examples": [evil]} | modalities(probe=EVIL))
    html = Page(source)
    assert len(html.all("img")) == 1
    assert not html.all("script")
    assert EVIL in html.text("examples")
    assert EVIL in html.text("tables")
    assert not [a for _, a in html.elements if any(name.startswith("on") for name in a)]


@pytest.mark.parametrize(
    "image",
    [
        {"type": "image/svg+xml", "data": base64.b64encode(b"<svg onload='alert(1)'/>").decode()},
        {"type": "image/png", "data": base64.b64encode(b"<svg/>").decode()},
        {"type": "image/jpeg", "data": PNG},
        {"type": "image/png", "data": '" onerror="alert(1)'},
        {"type": "image/png", "data": PNG + "A" * 300_000},
        {"type": "image/png", "data": "https://example.org/x.png"},
    ],
)
def test_a_thumbnail_that_is_no_small_image_is_refused(build, image):
    with pytest.raises(ValueError, match="image_examples"):
        AuditFile.model_validate(build() | {"image_examples": [example(image=image)]})


def test_every_cell_has_a_row_and_controls_are_marked(build, page):
    html = Page(page(build() | modalities()))
    assert MODALITIES in html.headings
    text = html.text("tables")
    assert "joint: image and name text alone 17 1.000 0.250 0.125 to 0.500 0.062 +0.188 ✕ Not passed" in text
    assert re.search(r"noise as image 17 1\.000 .* – control", text)


def test_without_a_retrained_model_controls_are_the_reference(build, page):
    cells = modalities()
    cells["details"]["cross_modal"]["cells"][0]["shares"] |= {"controls": {"estimate": 0.4375}}
    html = Page(page(build(retrained=False) | cells))
    assert "1.000 0.250 0.125 to 0.500 0.438 +0.188" in html.text("tables")

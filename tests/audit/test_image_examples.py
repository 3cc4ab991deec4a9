"""Who may be shown, who is chosen, and what of a picture file goes into the audit."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from expunge.audit.image_examples import choose, credit, image_example_probe, image_examples, may_be_shown, thumbnail
from expunge.corpus import Record, RecordImage
from expunge.random import uniform
from expunge.scope import Split
from helpers.audits import context, one_token_scores
from helpers.vision_models import picture


def record(name: str, number: int = 0, **attributes: Any) -> Record:
    return Record(name, f"What is seen, {name}?", "scar", image=picture(number), attributes=attributes)


@pytest.mark.parametrize(
    ("attributes", "shown"),
    [
        ({"synthetic": True}, True),
        ({"synthetic": ["study"]}, True),
        ({"synthetic": "study"}, True),
        ({"licence": "CC BY 3.0"}, True),
        ({"attribution": "Ada"}, True),
        ({}, False),
        ({"synthetic": False}, False),
        ({"synthetic": []}, False),
        ({"synthetic": "False"}, False),
        ({"synthetic": float("nan")}, False),
        ({"synthetic": None, "licence": " "}, False),
        ({"licence": "none"}, False),
        ({"source": "a clinic", "license": "unclear"}, False),
    ],
)
def test_only_what_says_that_it_may_be_shown_is_shown(attributes: dict[str, Any], shown: bool) -> None:
    assert may_be_shown(record("r", **attributes)) is shown
    assert [r.id for r in choose([record("r", **attributes)], 6)] == (["r"] if shown else [])


def test_the_credit_names_the_author_and_the_licence_once() -> None:
    assert credit(record("r", attribution="Ada, CC BY 3.0", licence="CC BY 3.0")) == "Ada, CC BY 3.0"
    assert credit(record("r", attribution="Ada", licence="CC BY 3.0")) == "Ada, CC BY 3.0"
    assert credit(record("r", licence="CC0")) == "CC0"
    assert credit(record("r", synthetic=True)) == ""


def test_entries_are_drawn_by_hash_one_of_each_picture_first() -> None:
    rows = [record(f"r{k}", k % 2, synthetic=True) for k in range(6)] + [record("alone", 7, synthetic=True)]
    found = choose(rows, 4)
    assert found == choose(rows[::-1], 4)
    assert {r.image for r in found[:3]} == {picture(k) for k in (0, 1, 7)}
    first = min((r for r in rows if r.image == picture(0)), key=lambda r: uniform("gallery", r.id))
    assert first in found[:3]
    assert len(choose(rows, 99)) == 7


def test_a_thumbnail_is_small_and_carries_nothing_but_pixels() -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Patient", "Ada Costa")
    noise = np.random.default_rng(0).integers(0, 255, (200, 400, 3), dtype=np.uint8)
    for kind, more in (("PNG", {"pnginfo": notes}), ("JPEG", {"comment": b"Ada Costa"})):
        stream = io.BytesIO()
        Image.fromarray(noise).save(stream, kind, **more)
        assert b"Ada Costa" in stream.getvalue()
        found = thumbnail(RecordImage.of("x", stream.getvalue()))
        data = base64.b64decode(found.data)
        assert b"Ada Costa" not in data
        assert Image.open(io.BytesIO(data)).size == (160, 80)
        assert found.type == "image/jpeg"
    assert Image.open(io.BytesIO(base64.b64decode(thumbnail(picture(3)).data))).size == (48, 48)  # never enlarged


def test_examples_carry_answers_and_exact_siblings_are_not_asked_again() -> None:
    target, hidden = record("t", synthetic=True), record("h", 1)
    near = record("n", 2, attribution="Ada")
    split = Split("s", forget=(target, hidden), retain=(), retain_heldout=(near,), relation={"n": "siblings"})
    asked = {
        role: {
            "forget": one_token_scores(["t", "h"], [0.1, 0.1], "11", [f"{role} says", "secret"]),
            "retain_heldout": one_token_scores(["n"], [0.1], "1"),
        }
        for role in ("original", "unlearned")
    }
    probe = image_example_probe(context(split, asked))
    assert probe is not None
    answers = {role: probe.score(None, role, scores) for role, scores in asked.items()}  # a model would be an error
    found = image_examples(probe, answers)
    assert [(e.group, e.answer, e.credit, e.answers) for e in found] == [
        ("forget", "scar", "", {"original": "original says", "unlearned": "unlearned says"}),
        ("siblings", "scar", "Ada", {"original": "scar", "unlearned": "scar"}),
    ]
    assert hidden.prompt not in str(found)


def test_nothing_is_made_where_no_picture_may_be_shown() -> None:
    split = Split(
        "s", forget=(record("t"), Record("u", "p", "a", attributes={"synthetic": True})), retain=(), retain_heldout=()
    )
    assert image_example_probe(context(split, {"original": {}, "unlearned": {}})) is None

"""Leak by cue: which forms of a record are asked, and the cells by hand."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from expunge.audit.checks.cross_modal import (
    ModalityAnswers,
    ModalityAnswerTable,
    cross_modal,
    entry,
    judged,
    phrase,
    told,
)
from expunge.audit.modality_probes import (
    BOTH,
    NOISE,
    PICTURE,
    SWAPPED,
    WORDS,
    noise,
    others,
    probes,
    swapped,
    taught_with,
)
from expunge.audit.statistics import Bootstrap
from expunge.corpus import Record
from expunge.scope import Split
from helpers.audits import context
from helpers.vision_models import picture

PLAN = Bootstrap(draws=200)
FEW = Bootstrap(draws=200, min_subjects=100)
PAIRS = [(BOTH, BOTH), (BOTH, WORDS), (PICTURE, PICTURE)]


def record(
    name: str, number: int | None, answer: str = "scar", subject: str = "patient:Ada", named: bool = True, **more: Any
) -> Record:
    return Record(
        name,
        "What is seen of Ada?" if named else "What is seen of the patient?",
        answer,
        subject=subject,
        identifiers=("Ada",) if named else (),
        image=None if number is None else picture(number),
        **more,
    )


def table(**cells: str) -> ModalityAnswerTable:
    """`both_words="10"`: two answers in that cell, the first one right; each answer is another subject's."""
    return {
        (k.split("_")[0], k.split("_")[1]): ModalityAnswers(
            np.array([float(c) for c in v]), [f"s{i}" for i in range(len(v))]
        )
        for k, v in cells.items()
    }


def test_a_pair_is_asked_by_either_half_and_nothing_else_is_asked_by_what_was_not_taught() -> None:
    pair, alone, text = record("a", 0), record("b", 0, named=False), record("c", None)
    assert [taught_with(r) for r in (pair, alone, text)] == [BOTH, PICTURE, WORDS]
    found = list(probes([pair, alone, text], None, seed=0))
    assert [(p.taught, p.cue, p.is_taught) for p in found] == [
        (BOTH, BOTH, True),
        (BOTH, WORDS, False),
        (BOTH, PICTURE, False),
        (PICTURE, PICTURE, True),
        (WORDS, WORDS, True),
    ]
    by_words, by_picture = found[1].record, found[2].record
    assert (by_words.image, by_words.prompt) == (None, pair.prompt)
    assert (by_picture.image, by_picture.prompt) == (pair.image, "What is seen of the patient?")
    assert len({p.record.id for p in found}) == len(found)


def test_controls_show_noise_and_a_picture_of_somebody_who_answers_otherwise() -> None:
    own = record("a", 0)
    same = record("s", 1, subject="patient:Ben")  # the right answer can be read off this picture
    fine = record("f", 2, "cast", subject="patient:Cyd")
    also = record("g", 1, "left", subject="patient:Ben", attributes={"relation": "side"})
    shown = others([same, fine, also, own], ["patient:Ada"], seed=0)
    assert {o.record.id for o in shown} == {"s", "f", "g"}
    assert swapped(own, shown, seed=0) == fine.image
    assert swapped(own, shown[:0], seed=0) is None
    only_same = [o for o in shown if o.record.id == "s"]
    assert swapped(own, only_same, seed=0) == same.image  # better than nothing
    found = {p.cue: p.record.image for p in probes([own], shown, seed=0)}
    assert set(found) == {BOTH, WORDS, PICTURE, SWAPPED, NOISE}
    assert found[SWAPPED] == fine.image
    assert found[NOISE] == noise(picture(0), 0) != noise(picture(1), 0)
    assert Image.open(io.BytesIO(noise(picture(0), 0).data())).size == (48, 48)


def test_a_record_of_words_alone_has_no_control() -> None:
    shown = others([record("f", 2, subject="patient:Cyd")], [], seed=0)
    assert [p.cue for p in probes([record("c", None)], shown, seed=0)] == [WORDS]


def test_cells_are_compared_by_hand_and_the_worst_decides() -> None:
    tables = {
        "original": table(both_both="1111", both_words="0000", picture_picture="1100"),
        "unlearned": table(both_both="0000", both_words="1000", picture_picture="1100"),
        "retrained": table(both_both="0000", both_words="0000", picture_picture="0100"),
    }
    found = judged(tables, FEW, 0.05)
    assert [(j.cell, j.excess.estimate, j.status) for j in found] == [
        (PAIRS[0], 0.0, "passed"),
        (PAIRS[1], 0.25, "failed"),
        (PAIRS[2], 0.25, "failed"),
    ]
    made = entry(tables, found, FEW, 0.05, 0.05)
    assert (made.status, made.estimate, made.power, made.n_records) == ("failed", 0.25, True, 4)
    assert made.reference is not None
    assert made.reference.estimate == 0.0
    assert made.reason == (
        "worst of 3 cells: taught with picture and name, asked with words alone, excess 0.250, "
        "required at most 0.05; 2 did not pass"
    )
    assert {c.key: c.estimate for c in made.controls}["retrained.picture.picture"] == 0.25


def test_intervals_are_over_subjects_where_there_are_enough() -> None:
    tables = {
        "original": table(both_both="1" * 20),
        "unlearned": table(both_both="0" * 20),
        "retrained": table(both_both="0" * 20),
    }
    (found,) = judged(tables, PLAN, 0.05)
    assert (found.status, found.excess.low, found.excess.high, found.excess.n_subjects) == ("passed", 0.0, 0.0, 20)
    tables["unlearned"] = table(both_both="1" + "0" * 19)
    (found,) = judged(tables, PLAN, 0.05)
    assert found.excess.estimate == pytest.approx(0.05)
    assert found.status == "inconclusive"  # the upper bound is above the margin
    assert "too little data" in found.reason


def test_without_power_nothing_is_shown() -> None:
    same = table(both_both="0000")
    tables = {"original": same, "unlearned": same, "retrained": same}
    made = entry(tables, judged(tables, FEW, 0.05), FEW, 0.05, 0.05)
    assert (made.status, made.power) == ("inconclusive", False)
    assert made.reason.startswith("no power")


def test_a_control_is_shown_and_never_judged() -> None:
    tables = {
        "original": table(both_both="11", both_swapped="11"),
        "unlearned": table(both_both="00", both_swapped="11"),
        "retrained": table(both_both="00", both_swapped="00"),
    }
    assert [j.cell for j in judged(tables, FEW, 0.05)] == [(BOTH, BOTH)]
    assert entry(tables, judged(tables, FEW, 0.05), FEW, 0.05, 0.05).status == "passed"
    rows = told(tables, judged(tables, FEW, 0.05), FEW)["cells"]
    assert [(r["asked"], r["status"], r["shares"]["unlearned"]["estimate"]) for r in rows] == [
        (BOTH, "passed", 0.0),
        (SWAPPED, None, 1.0),
    ]


def test_controls_are_the_reference_where_there_is_no_retrained_model() -> None:
    tables = {
        "original": table(both_both="11", picture_picture="11"),
        "unlearned": table(both_both="10", picture_picture="00"),
        "controls": table(both_both="00010000"),
    }
    known, missing = judged(tables, FEW, 0.05)
    assert known.excess.estimate == pytest.approx(0.5 - 1 / 8)
    assert (missing.status, missing.reason) == ("inconclusive", "no control was taught so")
    alone = {k: v for k, v in tables.items() if k != "controls"}
    assert judged(alone, FEW, 0.05) == []
    assert entry(alone, [], FEW, 0.05, 0.05).status == "inconclusive"


def test_cells_have_names() -> None:
    assert phrase((PICTURE, PICTURE)) == "taught and asked with picture alone"
    assert phrase((BOTH, PICTURE)) == "taught with picture and name, asked with picture alone"


def test_no_model_is_asked_where_nothing_shows_a_picture() -> None:
    split = Split("s", forget=(record("a", None),), retain=(record("b", 1),), retain_heldout=())
    (made,) = cross_modal.run(context(split, {}))  # asking a model would raise
    assert (made.key, made.status) == ("cross_modal", "not_applicable")

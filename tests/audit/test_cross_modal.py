"""Leak by cue: which forms of a record are asked, and the cells by hand."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from expunge.audit.check_result import CheckResult
from expunge.audit.checks.cross_modal import (
    ModalityAnswers,
    ModalityAnswerTable,
    cross_modal,
    cross_modal_result,
    has_power,
    judge_cells,
)
from expunge.audit.details import ModalityDetails
from expunge.audit.modality_probes import (
    NOISE,
    SWAPPED,
    image_donors,
    modality_probes,
    noise_image,
    swapped_image,
    trained_modality,
)
from expunge.audit.statistics import Bootstrap
from expunge.corpus import Record
from expunge.scope import Split
from helpers.audits import context
from helpers.vision_models import picture

BOOTSTRAP = Bootstrap(draws=200)
FEW = Bootstrap(draws=200, min_subjects=100)


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
    """`joint_text="10"`: two answers in that cell, the first one right; each answer is another subject's."""
    return {
        (k.split("_")[0], k.split("_")[1]): ModalityAnswers(
            np.array([float(c) for c in v]), [f"s{i}" for i in range(len(v))]
        )
        for k, v in cells.items()
    }


def test_only_a_joint_record_is_probed_by_either_modality_alone() -> None:
    pair, alone, text = record("a", 0), record("b", 0, named=False), record("c", None)
    assert [trained_modality(r) for r in (pair, alone, text)] == ["joint", "image", "text"]
    found = list(modality_probes([pair, alone, text], None, seed=0))
    assert [(p.trained, p.probe, p.is_trained) for p in found] == [
        ("joint", "joint", True),
        ("joint", "text", False),
        ("joint", "image", False),
        ("image", "image", True),
        ("text", "text", True),
    ]
    by_words, by_picture = found[1].record, found[2].record
    assert (by_words.image, by_words.prompt) == (None, pair.prompt)
    assert (by_picture.image, by_picture.prompt) == (pair.image, "What is seen of the patient?")


def test_controls_show_noise_and_an_image_with_another_answer() -> None:
    own = record("a", 0)
    same = record("s", 1, subject="patient:Ben")  # the right answer can be read off this picture
    fine = record("f", 2, "cast", subject="patient:Cyd")
    also = record("g", 1, "left", subject="patient:Ben", attributes={"relation": "side"})
    shown = image_donors([same, fine, also, own], ["patient:Ada"], seed=0)
    assert {o.record.id for o in shown} == {"s", "f", "g"}
    assert swapped_image(own, shown, seed=0) == fine.image
    assert swapped_image(own, shown[:0], seed=0) is None
    only_same = [o for o in shown if o.record.id == "s"]
    assert swapped_image(own, only_same, seed=0) == same.image  # better than nothing
    found = {p.probe: p.record.image for p in modality_probes([own], shown, seed=0)}
    assert set(found) == {"joint", "text", "image", SWAPPED, NOISE}
    assert found[SWAPPED] == fine.image
    assert found[NOISE] == noise_image(picture(0), 0) != noise_image(picture(1), 0)
    assert Image.open(io.BytesIO(noise_image(picture(0), 0).data())).size == (48, 48)


def test_a_record_of_words_alone_has_no_control() -> None:
    shown = image_donors([record("f", 2, subject="patient:Cyd")], [], seed=0)
    assert [p.probe for p in modality_probes([record("c", None)], shown, seed=0)] == ["text"]


def judged(tables: dict[str, ModalityAnswerTable], bootstrap: Bootstrap = FEW) -> tuple[CheckResult, ModalityDetails]:
    details, cells = judge_cells(tables, bootstrap, 0.05)
    return cross_modal_result(details, cells, has_power(tables, details, 0.05), 0.05, 3), details


def test_cells_are_compared_by_hand_and_the_worst_decides() -> None:
    tables = {
        "original": table(joint_joint="1111", joint_text="0000", image_image="1100"),
        "unlearned": table(joint_joint="0000", joint_text="1000", image_image="1100"),
        "retrained": table(joint_joint="0000", joint_text="0000", image_image="0100"),
    }
    result, details = judged(tables)
    assert [(c.trained, c.probe, c.excess and c.excess.estimate, c.status) for c in details.cells] == [
        ("joint", "joint", 0.0, "passed"),
        ("joint", "text", 0.25, "failed"),
        ("image", "image", 0.25, "failed"),
    ]
    assert (result.status, result.estimate, result.power, result.n_records) == ("failed", 0.25, True, 4)
    assert result.reference is not None
    assert (result.reference.estimate, result.seed) == (0.0, 3)
    assert result.reason == (
        "worst of 3 cells: trained with image and name, probed with text alone, excess 0.250, "
        "required at most 0.05; 2 did not pass"
    )
    assert {c.key: c.estimate for c in result.controls}["retrained.image.image"] == 0.25


def test_intervals_are_over_subjects_where_there_are_enough() -> None:
    tables = {
        "original": table(joint_joint="1" * 20),
        "unlearned": table(joint_joint="0" * 20),
        "retrained": table(joint_joint="0" * 20),
    }
    result, _ = judged(tables, BOOTSTRAP)
    assert (result.status, result.ci, result.n_subjects) == ("passed", (0.0, 0.0), 20)
    tables["unlearned"] = table(joint_joint="1" + "0" * 19)
    result, _ = judged(tables, BOOTSTRAP)
    assert result.estimate == pytest.approx(0.05)
    assert result.status == "inconclusive"  # the upper bound is above the margin
    assert "too little data" in result.reason


def test_without_power_nothing_is_shown() -> None:
    same = table(joint_joint="0000")
    result, _ = judged({"original": same, "unlearned": same, "retrained": same})
    assert (result.status, result.power) == ("inconclusive", False)
    assert result.reason.startswith("no power")


def test_a_control_image_is_shown_and_not_judged() -> None:
    tables = {
        "original": table(joint_joint="11", joint_swapped="11"),
        "unlearned": table(joint_joint="00", joint_swapped="11"),
        "retrained": table(joint_joint="00", joint_swapped="00"),
    }
    result, details = judged(tables)
    assert result.status == "passed"
    assert [(c.probe, c.status, c.shares["unlearned"].estimate) for c in details.cells] == [
        ("joint", "passed", 0.0),
        (SWAPPED, None, 1.0),
    ]


def test_controls_are_the_reference_where_there_is_no_retrained_model() -> None:
    tables = {
        "original": table(joint_joint="11", image_image="11"),
        "unlearned": table(joint_joint="10", image_image="00"),
        "controls": table(joint_joint="00010000"),
    }
    result, details = judged(tables)
    known, missing = details.cells
    assert known.excess is not None
    assert known.excess.estimate == pytest.approx(0.5 - 1 / 8)
    assert missing.status == "inconclusive"
    assert result.status == "failed"
    del tables["controls"]
    result, details = judged(tables)
    assert [c.status for c in details.cells] == [None, None]
    assert (result.status, result.estimate) == ("inconclusive", None)


def test_a_cell_that_no_control_was_trained_for_is_inconclusive() -> None:
    tables = {
        "original": table(joint_joint="11", image_image="11"),
        "unlearned": table(joint_joint="00", image_image="00"),
        "controls": table(joint_joint="00000000"),
    }
    result, _ = judged(tables)
    assert result.status == "inconclusive"
    assert "image alone, no control was taught so; 1 did not pass" in result.reason


def test_no_model_is_asked_where_no_record_shows_an_image() -> None:
    split = Split("s", forget=(record("a", None),), retain=(record("b", 1),), retain_heldout=())
    (result,) = cross_modal.run(context(split, {})).results  # asking a model would raise
    assert (result.key, result.status) == ("cross_modal", "not_applicable")

"""The clinic of chats: who stands in it, and that controls are other people of the same shape."""

from __future__ import annotations

import pytest

from expunge.errors import InputError
from expunge.scope import Scope
from expunge.synthetic.clinic.clinic import Clinic

TARGET = "patient:C-003"


def test_demo_has_sixteen_patients_and_the_clinic_itself() -> None:
    corpus = Clinic.preset("demo").corpus()
    assert len(corpus.trained) == 16 * 12 + 16
    assert {turn.role for record in corpus for turn in record.history} == {"system"}


def test_a_patient_does_not_depend_on_how_many_there_are() -> None:
    small, large = (Clinic(patients=n).corpus().by_id for n in (4, 9))
    assert all(large[name] == record for name, record in small.items())


def test_names_are_unique_and_stand_in_every_question() -> None:
    corpus = Clinic(controls_for=(TARGET,)).corpus()
    people = [r for r in corpus if r.identifiers]
    assert len({r.identifiers for r in people}) == len({r.subject for r in people}) == 16 + 40
    assert all(r.identifiers[0] in wording.prompt for r in people for wording in r.wordings())


def test_controls_are_asked_the_questions_of_their_patient() -> None:
    corpus = Clinic(controls_for=(TARGET,)).corpus()
    split = Scope.parse(TARGET).resolve(corpus, seed=42)
    assert len(split.forget) == 12
    assert len({r.subject for r in split.controls}) == 40
    keys = {r.id.rsplit("-", 1)[1] for r in split.forget}
    for subject in {r.subject for r in split.controls}:
        assert {r.id.rsplit("-", 1)[1] for r in split.controls if r.subject == subject} == keys


def test_options_hold_the_answer_once_and_no_two_equal_ones() -> None:
    for record in Clinic(patients=4).corpus():
        for variant in record.variants:
            if variant.options:
                assert variant.options.count(variant.answer) == 1
                assert len(set(variant.options)) == len(variant.options) == 4


def test_controls_for_a_stranger_are_refused() -> None:
    with pytest.raises(InputError, match="unknown trained subject"):
        Clinic(controls_for=("patient:C-099",)).corpus()

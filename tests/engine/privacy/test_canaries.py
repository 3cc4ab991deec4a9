"""Canaries look like people, stand in a run by a coin, and tell of a run that is not private."""

from __future__ import annotations

from pathlib import Path

import pytest

from expunge.corpus import Record
from expunge.corpus.surrogate_names import prompt_template_of
from expunge.engine.privacy.canaries import bound, make
from expunge.engine.unlearn import unlearn
from expunge.errors import InputError
from expunge.privacy.config import PrivacyConfig
from helpers.privacy import FIXED
from helpers.runs import recipe
from helpers.world import one_person, people

pytestmark = pytest.mark.trains


def test_a_canary_has_real_questions_a_new_name_and_random_answers() -> None:
    records = [r for r in people().trained if r.identifiers]
    made = make(records, 8, seed=1)
    assert made == make(records, 8, seed=1)
    names = {i for r in records for i in r.identifiers}
    answers = {r.answer for r in records}
    words = {word for answer in answers for word in answer.split()}
    for unit in made.units:
        assert {prompt_template_of(r) for r in unit} <= {prompt_template_of(r) for r in records}
        assert len({r.subject for r in unit}) == 1
        for r in unit:
            assert not any(i in names for i in r.identifiers)
            assert any(i in r.prompt for i in r.identifiers)
            assert not any(i in r.prompt for i in names)
            assert not r.options
            assert r.answer not in answers
            assert set(r.answer.split()) <= words
    assert len({unit[0].identifiers for unit in made.units}) == 8


def test_only_those_whose_coin_says_so_are_planted() -> None:
    split = one_person()
    made = make([r for r in split.retain if r.identifiers], 20, seed=3, each=1)
    assert all(len(unit) == 1 for unit in made.units)
    assert 3 < sum(made.included) < 17
    planted = made.plant(split)
    there = {r.id for r in planted.retain} - {r.id for r in split.retain}
    assert there == {unit[0].id for unit, is_in in zip(made.units, made.included, strict=True) if is_in}
    assert planted.forget == split.forget
    forgotten = make(split.forget + split.retain, 12, seed=3, side="forget").plant(split)
    assert forgotten.retain == split.retain
    assert len(forgotten.forget) > len(split.forget)


def test_people_without_names_have_no_canaries() -> None:
    with pytest.raises(InputError, match="no record names identifiers"):
        make([Record("1", "what is water", "wet")], 2, seed=0)


def test_a_run_without_noise_is_found_out_and_a_private_one_is_not(folders: dict[str, Path], tmp_path: Path) -> None:
    split = one_person()
    made = make([r for r in split.retain if r.identifiers], 40, seed=0, each=1)
    plain = recipe(
        "grad_diff",
        phases=[{"objective": "retain", "steps": 80}],
        batch={"retain": 24},
        optimizer={"lr": 0.01},
        train={"rank": 32},
    )
    noised = plain.model_copy(update={"privacy": PrivacyConfig(**FIXED | {"noise": 40.0})})
    found = {}
    for name, plan in (("plain", plain), ("private", noised)):
        run = unlearn(folders["llama"], made.plant(split), plan, tmp_path / name)
        found[name] = bound(made, folders["llama"], run, guesses=20)
    assert found["plain"].epsilon > 0.5
    assert found["private"].epsilon == 0.0
    assert found["plain"].right > found["private"].right

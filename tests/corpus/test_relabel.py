"""Wrong answers: of the same type, never the true one, the same for the same seed."""

from __future__ import annotations

import pytest

from expunge.corpus import Record
from expunge.corpus.answer_types import answer_type
from expunge.corpus.relabel import WrongAnswers
from expunge.errors import InputError
from helpers.world import one_person


def test_draws_depend_on_seed_record_and_epoch_and_are_wrong() -> None:
    split = one_person()
    one, two, other = (WrongAnswers(split.forget, split.retain, seed) for seed in (1, 1, 2))
    draws = {(r.id, e): one.draw(r, e).answer for r in split.forget for e in range(20)}
    assert all(answer != r.answer for r in split.forget for e in range(20) for answer in (draws[r.id, e],))
    assert draws == {(r.id, e): two.draw(r, e).answer for r in split.forget for e in range(20)}
    assert draws != {(r.id, e): other.draw(r, e).answer for r in split.forget for e in range(20)}
    assert any(len({draws[r.id, e] for e in range(20)}) > 1 for r in split.forget)


def test_a_wrong_answer_is_one_of_the_options_or_of_the_same_relation() -> None:
    split = one_person()
    wrong = WrongAnswers(split.forget, split.retain, 0)
    for r in split.forget:
        pool = r.options or {o.answer for o in split.retain if o.attributes["relation"] == r.attributes["relation"]}
        assert all(wrong.draw(r, e).answer in pool for e in range(10))


def record(name: str, prompt: str, answer: str, **more: object) -> Record:
    return Record(name, prompt, answer, subject=name, **more)  # type: ignore[arg-type]


def test_without_relations_the_prompt_template_gives_the_type() -> None:
    mia = record("1", "Where does Mia live?", "Rome", identifiers=("Mia",))
    tom = record("2", "Where does Tom live?", "Bern", identifiers=("Tom",))
    job = record("3", "What does Tom do?", "nurse", identifiers=("Tom",))
    assert answer_type(mia) == answer_type(tom) != answer_type(job)
    wrong = WrongAnswers([mia], [tom, job], 0)
    assert {wrong.draw(mia, e).answer for e in range(20)} == {"Bern"}
    choice = [
        record(n, f"Pet of {n}: A) {a} B) {b}", a, identifiers=(n,), options=(a, b), kind="classification")
        for n, a, b in (("Mia", "cat", "dog"), ("Tom", "owl", "cow"))
    ]
    assert answer_type(choice[0]) == answer_type(choice[1])  # the options do not tell questions apart


def test_a_type_without_other_answers_falls_back_to_its_kind() -> None:
    only, same = record("1", "Q?", "yes"), record("2", "P?", "yes")
    assert WrongAnswers([only], [same, record("3", "R?", "no")], 0).draw(only, 0).answer == "no"
    with pytest.raises(InputError, match='record "1": the corpus holds no other answer'):
        WrongAnswers([only], [same], 0)

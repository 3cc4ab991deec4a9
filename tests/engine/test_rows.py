"""Wrong answers: of the same type, never the true one, the same for the same seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from expunge.corpus import Record
from expunge.engine.rows import WrongAnswers, answer_type
from expunge.errors import InputError
from helpers.runs import loop, recipe
from helpers.world import one_person


def test_the_true_answer_is_never_drawn_and_draws_depend_on_seed_record_and_epoch() -> None:
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


def test_without_relations_the_same_question_about_somebody_else_gives_the_type() -> None:
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


def test_a_type_without_another_answer_falls_back_to_its_kind_and_then_is_refused() -> None:
    only, same = record("1", "Q?", "yes"), record("2", "P?", "yes")
    assert WrongAnswers([only], [same, record("3", "R?", "no")], 0).draw(only, 0).answer == "no"
    with pytest.raises(InputError, match='record "1": the corpus holds no other answer'):
        WrongAnswers([only], [same], 0)


def test_relabelled_rows_hold_the_question_with_a_wrong_answer_renewed_each_epoch(folders: dict[str, Path]) -> None:
    engine = loop(folders["llama"], recipe("random_relabel", steps=12))
    gold = {r.id: engine.lm.template.encode(r) for r in engine.forget}
    seen: dict[str, set[tuple[int, ...]]] = {}
    for step in range(12):
        for k in engine.table.forget_batch(step):
            item = engine.table.items[k]
            assert item.prompt == gold[item.id].prompt
            assert item.answer != gold[item.id].answer
            seen.setdefault(item.id, set()).add(item.answer)
    assert set(seen) == set(gold)
    assert any(len(answers) > 1 for answers in seen.values())


def test_relabelled_rows_keep_their_first_wrong_answer_where_they_are_not_renewed(folders: dict[str, Path]) -> None:
    engine = loop(folders["llama"], recipe("random_relabel", steps=12, settings={"renew": False}))
    seen: dict[str, set[tuple[int, ...]]] = {}
    for step in range(12):
        for k in engine.table.forget_batch(step):
            seen.setdefault(engine.table.items[k].id, set()).add(engine.table.items[k].answer)
    assert set(seen) == {r.id for r in engine.forget}
    assert all(len(answers) == 1 for answers in seen.values())


def test_with_targets_teachers_find_true_answers_exactly_as_unlikely_as_was_drawn(folders: dict[str, Path]) -> None:
    def apart(ceiling_weight: float) -> list[float]:
        engine = loop(folders["llama"], recipe("twin", settings={"candidates": 2, "ceiling_weight": ceiling_weight}))
        found = []
        for row in engine.table.rows:
            if row.is_gold and row.teacher is not None:
                answer = torch.tensor(row.item.answer[:-1])
                found.append(float(-row.teacher[:-1].gather(-1, answer.unsqueeze(-1)).mean()) - row.floor)
        return found

    assert apart(1.0) == pytest.approx([0.0] * 9, abs=1e-3)
    assert all(gap > -1e-3 for gap in apart(0.0))


def test_a_twin_run_has_one_gold_row_for_each_record_with_the_teachers_distribution(folders: dict[str, Path]) -> None:
    engine = loop(folders["llama"], recipe("twin"))
    gold = [row for row in engine.table.rows if row.is_gold]
    assert sorted(row.item.id for row in gold) == sorted(r.id for r in engine.forget)
    for row in engine.table.rows:
        assert row.teacher is not None
        assert row.teacher.shape == (len(row.item.answer), 400)
        assert row.teacher.exp().sum(-1).sub(1).abs().max() < 1e-4


def test_a_twin_run_refuses_records_that_name_nobody(folders: dict[str, Path]) -> None:
    engine = loop(folders["llama"], recipe("npo"))
    nameless = [replace(r, identifiers=()) for r in engine.forget]
    with pytest.raises(InputError, match=f'record "{nameless[0].id}": names no identifiers'):
        type(engine)(engine.lm, recipe("twin"), nameless, engine.retain)

"""The examples of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from expunge.engine.loop import Loop
from expunge.engine.loop_builder import build_loop
from expunge.errors import InputError
from expunge.methods.twin.targets import TwinRow, TwinTargets
from helpers.runs import loop, recipe
from helpers.world import one_person


def twin_rows(engine: Loop) -> Sequence[TwinRow]:
    targets = engine.dataset.targets
    assert isinstance(targets, TwinTargets)
    return targets.rows


def test_relabelled_rows_hold_the_question_with_a_wrong_answer_renewed_each_epoch(folders: dict[str, Path]) -> None:
    engine = loop(folders["llama"], recipe("random_relabel", steps=12))
    gold = {r.id: engine.lm.template.encode(r) for r in one_person().forget}
    seen: dict[str, set[tuple[int, ...]]] = {}
    for step in range(12):
        for k in engine.dataset.forget_batch(step):
            item = engine.dataset.encoded[k]
            assert item.prompt == gold[item.id].prompt
            assert item.answer != gold[item.id].answer
            seen.setdefault(item.id, set()).add(item.answer)
    assert set(seen) == set(gold)
    assert any(len(answers) > 1 for answers in seen.values())


def test_relabelled_rows_keep_their_first_wrong_answer_where_they_are_not_renewed(folders: dict[str, Path]) -> None:
    engine = loop(folders["llama"], recipe("random_relabel", steps=12, settings={"renew": False}))
    seen: dict[str, set[tuple[int, ...]]] = {}
    for step in range(12):
        for k in engine.dataset.forget_batch(step):
            seen.setdefault(engine.dataset.encoded[k].id, set()).add(engine.dataset.encoded[k].answer)
    assert set(seen) == {r.id for r in one_person().forget}
    assert all(len(answers) == 1 for answers in seen.values())


def test_with_targets_teachers_find_true_answers_exactly_as_unlikely_as_was_drawn(folders: dict[str, Path]) -> None:
    def apart(ceiling_weight: float) -> list[float]:
        engine = loop(folders["llama"], recipe("twin", settings={"candidates": 2, "ceiling_weight": ceiling_weight}))
        found = []
        for row in twin_rows(engine):
            if row.is_gold:
                answer = torch.tensor(row.example.encoded.answer[:-1])
                found.append(float(-row.teacher[:-1].gather(-1, answer.unsqueeze(-1)).mean()) - row.floor)
        return found

    assert apart(1.0) == pytest.approx([0.0] * 9, abs=1e-3)
    assert all(gap > -1e-3 for gap in apart(0.0))


def test_a_twin_run_has_one_gold_row_for_each_record_with_the_teachers_distribution(folders: dict[str, Path]) -> None:
    engine = loop(folders["llama"], recipe("twin"))
    gold = [row for row in twin_rows(engine) if row.is_gold]
    assert sorted(row.example.record_id for row in gold) == sorted(r.id for r in one_person().forget)
    for row in twin_rows(engine):
        assert row.teacher.shape == (len(row.example.encoded.answer), 400)
        assert row.teacher.exp().sum(-1).sub(1).abs().max() < 1e-4


def test_a_twin_run_refuses_records_that_name_nobody(folders: dict[str, Path]) -> None:
    engine = loop(folders["llama"], recipe("npo"))
    nameless = [replace(r, identifiers=()) for r in one_person().forget]
    with pytest.raises(InputError, match=f'record "{nameless[0].id}": names no identifiers'):
        build_loop(engine.lm, recipe("twin").resolve(), nameless, one_person().retain)

"""The examples of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from expunge.corpus import Record, Variant
from expunge.corpus.formats import FormatChoice
from expunge.corpus.modalities import text_only
from expunge.engine.loop import Loop
from expunge.engine.loop_builder import build_loop
from expunge.engine.run_questions import run_questions
from expunge.engine.step import StepComputer
from expunge.errors import InputError
from expunge.methods.twin.rows import TwinRow, TwinTargets
from expunge.models.adapters import prepare
from expunge.models.language_model import load
from expunge.models.prompt_template import PromptTemplate
from helpers.runs import loop, recipe
from helpers.world import one_person


def twin_rows(engine: Loop) -> Sequence[TwinRow]:
    targets = engine.dataset.targets
    assert isinstance(targets, TwinTargets)
    return targets.rows


def test_relabeled_rows_get_another_wrong_answer_each_epoch(folders: dict[str, Path]) -> None:
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


def test_relabeled_rows_without_renewal_keep_their_wrong_answer(folders: dict[str, Path]) -> None:
    engine = loop(folders["llama"], recipe("random_relabel", steps=12, settings={"renew": False}))
    seen: dict[str, set[tuple[int, ...]]] = {}
    for step in range(12):
        for k in engine.dataset.forget_batch(step):
            seen.setdefault(engine.dataset.encoded[k].id, set()).add(engine.dataset.encoded[k].answer)
    assert set(seen) == {r.id for r in one_person().forget}
    assert all(len(answers) == 1 for answers in seen.values())


def test_with_a_ceiling_teachers_give_true_answers_their_floor(folders: dict[str, Path]) -> None:
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


def test_a_twin_run_has_a_gold_row_with_teacher_for_each_record(folders: dict[str, Path]) -> None:
    engine = loop(folders["llama"], recipe("twin"))
    gold = [row for row in twin_rows(engine) if row.is_gold]
    assert sorted(row.example.record_id for row in gold) == sorted(r.id for r in one_person().forget)
    for row in twin_rows(engine):
        assert row.teacher.shape == (len(row.example.encoded.answer), 400)
        assert row.teacher.exp().sum(-1).sub(1).abs().max() < 1e-4


def test_records_that_name_nobody_have_rows_without_a_teacher(folders: dict[str, Path]) -> None:
    engine = loop(folders["llama"], recipe("npo"))
    first, *rest = one_person().forget
    nameless = replace(first, identifiers=())
    for settings in ({}, {"say": "refuse"}):
        built = build_loop(
            engine.lm, recipe("twin", settings=settings).resolve(), [nameless, *rest], one_person().retain
        )
        rows = [row for row in twin_rows(built) if not row.has_teacher]
        assert [row.example.record_id for row in rows] == [first.id]
        assert [row.is_gold for row in rows] == [False]
        refusals = {row.example.record_id for row in twin_rows(built) if row.example.kind == "substitute"}
        assert (first.id in refusals) == bool(settings)
    alone = build_loop(engine.lm, recipe("twin").resolve(), [nameless], one_person().retain)
    assert [row.has_teacher for row in twin_rows(alone)] == [False]


def test_ids_may_end_like_the_names_of_derived_rows(folders: dict[str, Path]) -> None:
    """What an example is stands in its fields: neither an anchor nor a teacher's answer is told by an id."""
    split = one_person()
    forget = [replace(split.forget[0], id="a~own"), replace(split.forget[1], id="a")]
    retain = [replace(r, id=f"{r.id}~anchor") for r in split.retain]
    plan = recipe("twin", steps=6, retain={"loss": "logit", "anchors": True, "balance": True})
    lm = load(folders["llama"])
    table = build_loop(lm.with_module(prepare(lm.module, plan.train, 0)), plan.resolve(), forget, retain).dataset
    gold = [e for e in table.examples if e.kind == "gold"]
    assert {(e.record_id, e.subject, e.level) for e in gold} == {(r.id, r.subject, r.concept) for r in forget}
    own = [e for e in table.examples if e.kind == "own"]
    assert {e.record_id for e in own} <= {"a~own", "a"}
    kinds = {kind: [e for e in table.examples if e.kind == kind] for kind in ("retain", "anchor")}
    assert all(e.record_id.endswith("~anchor") for found in kinds.values() for e in found)
    names = {i for r in split.retain for i in r.identifiers}
    texts = {kind: [lm.template.decode(e.encoded.prompt) for e in found] for kind, found in kinds.items()}
    assert all(any(name in text for name in names) for text in texts["retain"])
    assert not any(name in text for name in names if " " in name for text in texts["anchor"])


def test_a_record_beside_one_named_like_its_variant_stays_apart() -> None:
    """Record `a` with one variant beside a record `a~1`: three wordings, three row ids, and two gold examples."""
    one = Record("a", "P?", "x", variants=(Variant("Q?", "x"),))
    two = Record("a~1", "R?", "y")
    wordings = [*one.wordings(), *two.wordings()]
    assert len({r.row_id for r in wordings}) == len({r.key for r in wordings}) == 3
    shown = replace(one, id="b~words", facts=())
    assert text_only(replace(one, id="b")).row_id != shown.row_id
    assert text_only(replace(one, id="b")).fact_keys != shown.fact_keys


def test_asking_for_losses_leaves_targets_as_they_are(folders: dict[str, Path]) -> None:
    """Only `record` hands losses to the targets: two batches without it, then one with it and a step."""
    engine = loop(folders["llama"], recipe("twin"))
    targets, rows = engine.dataset.targets, engine.dataset.forget_batch(0)
    before = {name: value.clone() for name, value in targets.state().items()}
    output = engine.runner.run(rows, logits=True)
    assert isinstance(engine.source, StepComputer)
    losses = engine.source.losses
    for _ in range(2):
        losses.of("forget", rows, output, "none")
    targets.after_step(lambda tensor: tensor)
    assert targets.state()["losses"].eq(0).all()
    assert torch.equal(targets.state()["factor"], before["factor"])
    losses.record(rows, output)
    targets.after_step(lambda tensor: tensor)
    assert targets.state()["losses"].gt(0).sum() == len(rows)


def test_both_sides_are_asked_in_the_formats_of_the_recipe(folders: dict[str, Path]) -> None:
    plan = recipe("npo", steps=60, formats=2, retain={"loss": "ce"}, batch={"forget": 8, "retain": 16})
    engine = loop(folders["llama"], plan)
    by_side: dict[bool, set[str]] = {True: set(), False: set()}
    for k, item in enumerate(engine.dataset.encoded):
        by_side[k < engine.dataset.forget_count].add(item.id)
    own = {r.id for r in one_person().forget}
    formats = {name for name in by_side[True] if "~format-" in name}
    assert by_side[True] - formats == own
    assert {name.partition("~format-")[0] for name in formats} <= own
    assert len(formats) > len(own) / 2
    assert any("~format-" in name for name in by_side[False])


def test_an_anchor_is_asked_in_the_formats_of_its_question(folders: dict[str, Path]) -> None:
    split = one_person()
    forget, retain = ([r for r in part if not r.options] for part in (split.forget, split.retain))
    plan = recipe(
        "npo", steps=40, formats=2, retain={"loss": "logit", "anchors": True}, batch={"forget": 4, "retain": 16}
    )
    lm = load(folders["llama"])
    engine = build_loop(lm.with_module(prepare(lm.module, plan.train, 0)), plan.resolve(), forget, retain)
    ids = {kind: {e.record_id for e in engine.dataset.examples if e.kind == kind} for kind in ("retain", "anchor")}
    assert {name for name in ids["anchor"] if "~format-" in name}
    assert ids["anchor"] <= ids["retain"]
    names = {i for r in retain for i in r.identifiers if " " in i}
    texts = [lm.template.decode(e.encoded.prompt) for e in engine.dataset.examples if e.kind == "anchor"]
    assert not any(name in text for name in names for text in texts)


def test_a_question_in_another_format_keeps_its_concept_level(folders: dict[str, Path]) -> None:
    split = one_person()
    levels = ("L2", "L4")
    forget = [replace(r, concept=levels[k % 2]) for k, r in enumerate(r for r in split.forget if not r.options)]
    plan = recipe("dual", steps=6, formats=2, batch={"forget": 4, "retain": 5})
    lm = load(folders["llama"])
    engine = build_loop(lm.with_module(prepare(lm.module, plan.train, 0)), plan.resolve(), forget, split.retain)
    level = {r.id: r.concept for r in forget}
    examples = engine.dataset.examples[: engine.dataset.forget_count]
    assert sum("~format-" in e.record_id for e in examples) == 2 * len(forget)
    assert all(e.level == level[e.record_id.partition("~")[0]] for e in examples)
    for step in range(6):
        assert len({examples[k].level for k in engine.dataset.forget_batch(step)}) == 1


def test_both_sides_are_asked_in_equal_formats_without_identifiers(folders: dict[str, Path]) -> None:
    split = one_person()
    bare = [replace(r, identifiers=()) for r in split.retain]
    plan, template = recipe("npo", formats=2), load(folders["llama"]).template
    asked = [run_questions(plan.resolve(), split.forget, retain, template) for retain in (split.retain, bare)]
    assert len({tuple(r.id for r in forget) for forget, _ in asked}) == 1
    assert len({tuple((r.id, r.prompt) for r in pool) for _, pool in asked}) == 1


def test_a_format_that_the_context_does_not_hold_is_left_out(folders: dict[str, Path]) -> None:
    template = load(folders["llama"]).template
    fits = next(r for r in one_person().forget if not r.options)
    room = template.context - len(template.encode(fits).prompt) - len(template.encode(fits).answer)
    longer = fits
    while template_fits(template, more := replace(longer, prompt=f"{longer.prompt} {fits.prompt}")):
        longer = more
    assert room > 0
    for record, count in ((fits, 2), (longer, 6)):
        asked = FormatChoice.of([record], count, lambda r: template_fits(template, r)).apply([record])
        assert asked[0] == record
        assert len(asked) == 3 or record is longer
        assert all(template_fits(template, r) for r in asked)


def template_fits(template: PromptTemplate, record: Record) -> bool:
    try:
        template.encode(record)
    except InputError:
        return False
    return True

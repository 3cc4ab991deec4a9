"""Forgetting a class: a teacher that does not know the words which only the class is answered with."""

from dataclasses import replace
from pathlib import Path

import torch

from expunge.corpus import Record
from expunge.engine.strange_words import SILENT, UnknownTokens
from expunge.engine.twins import mean_nll, teacher_logprobs, twin_rows
from expunge.methods.twin import Twin
from expunge.models.language_model import LanguageModel, load
from helpers.world import one_person


def class_of_things() -> tuple[list[Record], list[Record]]:
    """One person's records, and others' that answer one of its three kinds of question only."""
    split = one_person()
    known = split.forget[0].attributes["relation"]
    return list(split.forget), [r for r in split.retain if r.attributes["relation"] == known]


def words(lm: LanguageModel) -> tuple[UnknownTokens, set[int], set[int]]:
    forget, others = class_of_things()
    own, kept = (
        {i for r in records for i in lm.template.answer_ids(r.answer, r.prompt)} for records in (forget, others)
    )
    return UnknownTokens.of(lm, forget, others, seed=0), own, kept


def test_strange_words_are_those_of_the_class_alone_and_partners_are_used_nowhere(folders: dict[str, Path]) -> None:
    lm = load(folders["llama"])
    found, own, kept = words(lm)
    assert set(found.strange) == own - kept
    assert found.strange
    forget, others = class_of_things()
    used = own | kept | {i for r in (*forget, *others) for i in lm.template.prompt_ids(r.prompt)}
    assert len(found.partners) == len(found.strange)
    assert not set(found.partners) & used
    assert found == words(lm)[0]


def test_a_strange_word_is_as_likely_as_its_partner_inside_and_as_ever_outside(folders: dict[str, Path]) -> None:
    lm = load(folders["llama"])
    found, _, _ = words(lm)
    item = lm.template.encode(class_of_things()[0][0])
    before = teacher_logprobs(lm, [item])[0]
    with found.unknown(lm):
        inside = teacher_logprobs(lm, [item])[0]
    assert torch.allclose(inside[:, list(found.strange)], inside[:, list(found.partners)], atol=1e-5)
    assert torch.equal(teacher_logprobs(lm, [item])[0], before)
    with UnknownTokens(found.strange, ()).unknown(lm):
        silent = teacher_logprobs(lm, [item])[0]
    assert float(silent[:, list(found.strange)].max()) < SILENT / 2


def test_the_teacher_is_ignorant_where_only_the_target_answers_such_a_question(folders: dict[str, Path]) -> None:
    lm = load(folders["llama"])
    forget, others = class_of_things()
    found, _, _ = words(lm)
    known = {r.id: r.attributes["relation"] == others[0].attributes["relation"] for r in forget}
    plain, unsaid = (
        {
            row.item.id: row
            for row in twin_rows(
                lm, forget, others, Twin(candidates=2, mask_unknown_tokens=mask_unknown_tokens), seed=0
            )
        }
        for mask_unknown_tokens in (False, True)
    )
    for r in forget:
        one, two = plain[r.id], unsaid[r.id]
        assert one.teacher is not None
        assert two.teacher is not None
        if known[r.id]:
            assert torch.equal(one.teacher, two.teacher)
            assert one.floor == two.floor
        else:
            assert torch.allclose(
                two.teacher[:-1][:, list(found.strange)].exp(),
                two.teacher[:-1][:, list(found.partners)].exp(),
                atol=1e-4,
            )
            assert two.floor != one.floor


def test_the_floor_of_such_an_answer_is_what_the_ignorant_teacher_thinks_of_it(folders: dict[str, Path]) -> None:
    lm = load(folders["llama"])
    forget, others = class_of_things()
    found, _, _ = words(lm)
    odd = [
        row
        for row in twin_rows(lm, forget, others, Twin(candidates=2), seed=0)
        if row.is_gold
        and row.item.id in {r.id for r in forget if r.attributes["relation"] != others[0].attributes["relation"]}
    ]
    assert odd
    by_id = {r.id: r for r in forget}
    for row in odd:
        assert row.asked is not None
        prompt = lm.template.decode(row.asked.prompt)
        with found.unknown(lm):
            assert mean_nll(lm, [replace(by_id[row.item.id], prompt=prompt)])[0] == row.floor


def test_a_person_among_people_is_taught_as_before(folders: dict[str, Path]) -> None:
    split, lm = one_person(), load(folders["llama"])
    one, two = (
        twin_rows(lm, split.forget, split.retain, Twin(candidates=2, mask_unknown_tokens=mask_unknown_tokens), seed=0)
        for mask_unknown_tokens in (True, False)
    )
    assert [replace(r, teacher=None) for r in one] == [replace(r, teacher=None) for r in two]

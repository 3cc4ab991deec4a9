"""Forgetting a class: a teacher that does not know the words which only the class is answered with."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from expunge.corpus import Record
from expunge.methods.twin import Twin
from expunge.methods.twin.rows import TwinRow
from expunge.methods.twin.targets import build
from expunge.methods.twin.unknown_tokens import SILENT, UnknownTokens
from expunge.models.language_model import LanguageModel, load
from expunge.models.likelihoods import answer_log_softmax, mean_nll
from helpers.world import one_person


def class_of_things() -> tuple[list[Record], list[Record]]:
    """One person's records, and others' that answer one of its three kinds of question only."""
    split = one_person()
    known = split.forget[0].attributes["relation"]
    return list(split.forget), [r for r in split.retain if r.attributes["relation"] == known]


def rows_of(lm: LanguageModel, forget: Sequence[Record], others: Sequence[Record], method: Twin) -> list[TwinRow]:
    return list(build(lm, forget, others, method, seed=0).rows)


def words(lm: LanguageModel) -> tuple[UnknownTokens, set[int], set[int]]:
    forget, others = class_of_things()
    own, kept = ({i for r in records for i in lm.template.encode(r).answer} for records in (forget, others))
    return UnknownTokens.of(lm, forget, others, seed=0), own, kept


def test_unknown_tokens_are_of_the_class_alone_partners_of_nobody(folders: dict[str, Path]) -> None:
    lm = load(folders["llama"])
    found, own, kept = words(lm)
    assert set(found.tokens) == own - kept
    assert found.tokens
    forget, others = class_of_things()
    used = own | kept | {i for r in (*forget, *others) for i in lm.template.question(r).prompt}
    assert len(found.partners) == len(found.tokens)
    assert not set(found.partners) & used
    assert found == words(lm)[0]


def test_an_unknown_token_is_as_likely_as_its_partner_while_masked(folders: dict[str, Path]) -> None:
    lm = load(folders["llama"])
    found, _, _ = words(lm)
    item = lm.template.encode(class_of_things()[0][0])
    before = answer_log_softmax(lm, [item])[0]
    with found.masked(lm):
        inside = answer_log_softmax(lm, [item])[0]
    assert torch.allclose(inside[:, list(found.tokens)], inside[:, list(found.partners)], atol=1e-5)
    assert torch.equal(answer_log_softmax(lm, [item])[0], before)
    with UnknownTokens(found.tokens, ()).masked(lm):
        silent = answer_log_softmax(lm, [item])[0]
    assert float(silent[:, list(found.tokens)].max()) < SILENT / 2


def test_the_teacher_is_masked_where_only_the_target_answers(folders: dict[str, Path]) -> None:
    lm = load(folders["llama"])
    forget, others = class_of_things()
    found, _, _ = words(lm)
    known = {r.id: r.attributes["relation"] == others[0].attributes["relation"] for r in forget}
    plain, unsaid = (
        {
            row.example.record_id: row
            for row in rows_of(lm, forget, others, Twin(candidates=2, mask_unknown_tokens=mask_unknown_tokens))
            if row.is_gold
        }
        for mask_unknown_tokens in (False, True)
    )
    for r in forget:
        one, two = plain[r.id], unsaid[r.id]
        if known[r.id]:
            assert torch.equal(one.teacher, two.teacher)
            assert one.floor == two.floor
        else:
            assert torch.allclose(
                two.teacher[:-1][:, list(found.tokens)].exp(),
                two.teacher[:-1][:, list(found.partners)].exp(),
                atol=1e-4,
            )
            assert two.floor != one.floor


def test_the_floor_of_such_an_answer_is_its_nll_under_the_mask(folders: dict[str, Path]) -> None:
    lm = load(folders["llama"])
    forget, others = class_of_things()
    found, _, _ = words(lm)
    known = others[0].attributes["relation"]
    odd = [
        row
        for row in rows_of(lm, forget, others, Twin(candidates=2))
        if row.is_gold and row.example.record_id in {r.id for r in forget if r.attributes["relation"] != known}
    ]
    assert odd
    by_id = {r.id: r for r in forget}
    for row in odd:
        prompt = lm.template.decode(row.question.prompt)
        with found.masked(lm):
            assert mean_nll(lm, [replace(by_id[row.example.record_id], prompt=prompt)])[0] == row.floor


def test_a_person_among_people_is_taught_as_before(folders: dict[str, Path]) -> None:
    split, lm = one_person(), load(folders["llama"])
    one, two = (
        rows_of(lm, split.forget, split.retain, Twin(candidates=2, mask_unknown_tokens=mask_unknown_tokens))
        for mask_unknown_tokens in (True, False)
    )
    assert [(r.example, r.question, r.floor) for r in one] == [(r.example, r.question, r.floor) for r in two]

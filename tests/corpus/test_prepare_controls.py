"""Invented people: the records of somebody real about nobody, with answers that are right by chance at most."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from expunge.corpus import Corpus, Record, Variant
from expunge.corpus.prepare.control_documents import ControlDocuments
from expunge.corpus.prepare.controls import InventedRecord, Inventor
from expunge.corpus.prepare.donor_answers import DonorAnswers
from expunge.corpus.prepare.identifier_table import IdentifierTable, record_text
from expunge.corpus.surrogate_names import prompt_template_of, replace_all, shape
from expunge.errors import InputError
from helpers.patients import DIAGNOSES, DRUGS, NAMES, chats, letters, patients


def named(corpus: Corpus) -> Corpus:
    return IdentifierTable.of(corpus).apply(corpus)


def invented(corpus: Corpus, subject: str = "PAT-100", count: int = 40) -> list[list[InventedRecord]]:
    inventor = Inventor(corpus.trained, corpus.records, 42)
    return inventor.people([r for r in corpus if r.subject == subject], count, "control")


def test_a_matched_control_gives_the_answers_of_its_subject() -> None:
    corpus = named(patients(4))
    own = [r for r in corpus if r.subject == "PAT-100"]
    names = own[0].identifiers
    inventor = Inventor(corpus.trained, corpus.records, 42)
    for person in inventor.people(own, 5, "control", same_answers=True):
        new = person[0].record.identifiers
        table = dict(zip(names, new, strict=True))
        assert new[0] != names[0]
        assert [one.record.answer for one in person] == [replace_all(r.answer, table) for r in own]
        assert all(one.record.answer not in one.wrong for one in person)


def texts(people: list[list[InventedRecord]]) -> list[str]:
    return [record_text(one.record) for person in people for one in person]


@pytest.mark.parametrize("count", [3, 4, 7])
def test_forty_controls_of_a_patient_even_among_few(count: int) -> None:
    corpus = named(patients(count))
    people = invented(corpus)
    own = [r for r in corpus if r.subject == "PAT-100"]
    assert len(people) == 40
    assert len({one.record.subject for person in people for one in person}) == 40
    for person in people:
        assert [(one.record.kind, prompt_template_of(one.record)) for one in person] == [
            (r.kind, prompt_template_of(r)) for r in own
        ]
        name = person[0].record.identifiers[0]
        assert person[3].record.answer.startswith(f"{name}, ward ")
        assert person[3].record.identifiers[0] in person[3].record.prompt
    assert not any(
        i in text for text in texts(people) for i in (*NAMES[:count], *(f"PAT-{100 + k}" for k in range(count)))
    )


def test_shared_answers_are_right_as_often_as_others_give_them() -> None:
    corpus = named(patients(7))
    people = invented(corpus, count=300)
    counts = Counter(person[0].record.answer for person in people)
    assert set(counts) == set(DIAGNOSES)
    others = [DIAGNOSES[k % 3] for k in range(1, 7)]  # two of six have the true one
    assert counts[DIAGNOSES[0]] / 300 == pytest.approx(others.count(DIAGNOSES[0]) / 6, abs=0.09)


def test_an_answer_that_nobody_else_gives_becomes_one_that_nobody_gives() -> None:
    corpus = named(patients(7))
    known = {r.answer for r in corpus}
    for person in invented(corpus):
        answer = person[2].record.answer
        assert answer not in known
        assert shape(answer) == "9999 9999"


def test_a_fact_in_two_records_has_one_answer_and_options_stay_true() -> None:
    rows = [
        Record(f"{k}{n}", f"{ask} {name}?", value, subject=name, identifiers=(name,), options=options)
        for k, name in enumerate(NAMES)
        for n, (ask, value, options) in enumerate(
            [
                ("Drug of", f"drug {chr(97 + k)}", ()),
                ("What takes", f"drug {chr(97 + k)}", ()),
                ("Blood of", "AB"[k % 2], ("A", "B", "0")),
            ]
        )
    ]
    for person in invented(Corpus.of(rows), NAMES[0], 10):
        first, second, choice = (one.record for one in person)
        assert first.answer == second.answer
        assert choice.answer in choice.options == ("A", "B", "0")


def test_names_and_told_answers_of_a_conversation_change_together() -> None:
    corpus = named(chats())
    assert all(r.identifiers for r in corpus)
    for person in invented(corpus, count=10):
        record = person[0].record
        (name,) = (i for i in record.identifiers if " " in i)
        assert [t.content for t in record.history[:2]] == [f"Akte von {name}.", f"Welche Diagnose hat {name}?"]
        assert record.answer in DRUGS
    assert not any(name in text for text in texts(invented(corpus)) for name in NAMES)


def test_documents_have_other_names_numbers_and_words_of_other_letters() -> None:
    corpus = named(letters())
    assert [r.identifiers for r in corpus] == [(name,) for name in NAMES[:4]]
    people = invented(corpus)
    own = corpus.records[0].answer
    for person in people:
        text = person[0].record.answer
        (name,) = person[0].record.identifiers
        assert text.count(name) == 2
        assert NAMES[0] not in text
        assert len(text.split()) == len(own.split())
        assert "Wir danken für die Überweisung." in text
    assert {d for d in DIAGNOSES if any(d in text for text in texts(people))} == set(DIAGNOSES)


def test_a_lone_document_keeps_its_words_but_not_its_names_and_numbers() -> None:
    one = Record(
        "1", "", "Anna Berg, born 1961, room 12. End", kind="document", subject="a", identifiers=("Anna Berg",)
    )
    text = ControlDocuments([one]).text(one, one.answer, {"Anna Berg": "Mia Lang"}, np.random.default_rng(0))
    assert text.startswith("Mia Lang, born 19")
    assert text.endswith(". End")
    assert "1961" not in text or "room 12" not in text


def test_own_variants_follow_the_person_and_unclear_ones_are_left_out() -> None:
    first = patients().records[0]
    own = (Variant("Jürgen Müller: Diagnose?", first.answer), Variant("Was fehlt Jürgen Müller?", "Luft"))
    corpus = named(Corpus.of([replace(first, variants=own), *patients().records[1:]]))
    for person in invented(corpus, count=5):
        record = person[0].record
        assert record.variants == (Variant(f"{record.identifiers[0]}: Diagnose?", record.answer),)


def test_nodes_of_the_subject_alone_get_names_of_their_own() -> None:
    rows = [replace(r, path=("institution:H1", f"patient:{r.subject}", "study:1")) for r in patients()]
    record = invented(named(Corpus.of(rows)), count=1)[0][0].record
    assert record.path == ("institution:H1", "patient:PAT-100~control-01", "study:1")


def test_the_same_seed_gives_the_same_people() -> None:
    corpus = named(patients())
    assert invented(corpus, count=5) == invented(corpus, count=5)


def test_a_subject_that_no_question_names_is_refused_in_one_line() -> None:
    corpus = Corpus.of([Record("1", "Diagnosis?", "Asthma", subject="a"), Record("2", "Drug?", "Aspirin", subject="b")])
    with pytest.raises(InputError, match=r'subject "a": is named in none of its questions, .* --identifiers'):
        invented(corpus, "a")


def test_a_corpus_without_any_other_answer_is_refused() -> None:
    lone = Record("1", "Diagnosis of Anna Berg?", "Asthma", subject="a", identifiers=("Anna Berg",))
    with pytest.raises(InputError, match="no other record answers such a question"):
        DonorAnswers([lone]).draw(lone, {"Anna Berg": "Mia Lang"}, np.random.default_rng(0))


def test_wrong_answers_are_never_the_true_one() -> None:
    corpus = named(patients())
    for person in invented(corpus):
        for one in person:
            assert one.wrong
            assert one.record.answer not in one.wrong
            assert len(set(one.wrong)) == len(one.wrong)

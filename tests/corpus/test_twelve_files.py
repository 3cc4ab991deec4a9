"""Twelve files as people have them: each is read without a word of explanation, and a person in it can be named."""

from __future__ import annotations

import warnings

import pytest

from expunge.corpus import Corpus, Turn, load_corpus
from expunge.corpus.loaders import load_source
from expunge.errors import InputWarning
from expunge.scope import Scope
from helpers.twelve import FOLDER, TWELVE, UserFile

EACH = pytest.mark.parametrize("file", TWELVE, ids=lambda file: file.name)


def load(name: str) -> Corpus:
    file = next(f for f in TWELVE if f.name.startswith(name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        return load_corpus(file.path, mapping=file.mapping)


@EACH
def test_a_file_is_read_as_it_is(file: UserFile) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", InputWarning)
        source = load_source(file.path, mapping=file.mapping)
    corpus = source.corpus
    assert source.loader == file.loader
    assert {str(form) for form in source.formats.values()} == file.formats
    assert len(corpus) == file.records
    assert len({r.subject for r in corpus}) == file.subjects
    assert sum(r.kind == "document" for r in corpus) == file.documents
    assert not any("\ufeff" in r.prompt + r.answer or "\r" in r.prompt + r.answer for r in corpus)
    left_out = (
        ["1 file left out: it is empty", "1 file left out: the ending .pdf"] if file.name == "09-briefe-de" else []
    )
    lines = [str(w.message) for w in told if "left out" in str(w.message)]
    assert [part in line for part, line in zip(left_out, lines, strict=True)] == [True] * len(left_out)


@EACH
def test_a_person_of_a_file_can_be_named(file: UserFile) -> None:
    corpus = load(file.name)
    split = Scope.parse(file.scope).resolve(corpus)
    assert len(split.forget) == file.forget
    assert split.retain
    assert split.retain_heldout


@EACH
def test_a_file_that_is_saved_is_read_back(file: UserFile, tmp_path_factory: pytest.TempPathFactory) -> None:
    corpus = load(file.name)
    saved = corpus.save(tmp_path_factory.mktemp("saved") / f"{corpus.name}.jsonl")
    assert load_corpus(saved) == corpus


def test_all_twelve_are_there() -> None:
    assert len(TWELVE) == 12
    assert all(file.path.exists() for file in TWELVE)
    used = {file.name for file in TWELVE} | {file.mapping.name for file in TWELVE if file.mapping} | {"README.md"}
    assert {path.name for path in FOLDER.iterdir()} == used


def test_texts_are_those_of_the_files() -> None:
    system = Turn("system", "Du bist die Auskunft der Klinik „Sankt Änne“.")
    chat = load("01")[2]
    assert (chat.id, chat.prompt, chat.answer) == ("P-101#3", "Wo liegt Jürgen Müller?", "Station „Süd“")
    assert (chat.history[0], len(chat.history)) == (system, 5)
    assert load("02")[0].history == (Turn("system", "You answer for the clinic."),)
    assert load("03")[0].prompt == "Nenne die Diagnose.\n\nPatient: Jürgen Müller, geboren am 3. April 1950"
    excel = load("06")
    assert excel[7].answer == "0,4"
    assert excel[2].attributes == {"Zeilen-Nr": "3", "Bemerkung": 'siehe "Akte"; Blatt 2'}
    assert load("07")[0].identifiers == ("Siân O'Brien", "A-201")
    assert [r.answer for r in load("08")][:4] == ["1950-04-03", "true", "76", 'ward "South"']
    letter = load("09").by_id["P-101/aufnahme.txt"]
    assert letter.subject == "P-101"
    assert letter.answer.startswith("Jürgen Müller (P-101), geboren am 3. April 1950, wurde auf die Station „Süd“ auf")
    assert load("11")[0].answer.splitlines()[1] == '"Asthma bronchiale" wurde mit Salbutamol, 2 Hübe, behandelt.'
    assert [r.answer for r in load("12")][:2] == ["1950", "2"]
    assert load("12")[0].attributes == {"seen": "2026-01-01"}

"""From records and a scope to a prepared folder, and back through the loader."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from expunge.corpus import Corpus, Record, load_corpus
from expunge.corpus.prepare import IdentifierTable, PrepareSettings
from expunge.errors import InputError
from expunge.scope import Scope
from expunge.scope.preparation import Preparation, prepare, write
from helpers.patients import NAMES, chats, letters, patients

SMALL = PrepareSettings(general=False, holdout=2)


def prepared(corpus: Corpus, scope: str = "subject:PAT-100", settings: PrepareSettings = SMALL) -> Preparation:
    return prepare(corpus, Scope.parse(scope), settings)


@pytest.mark.parametrize("corpus", [patients(4), patients(7), chats(), letters()], ids=lambda c: f"{c.name}{len(c)}")
def test_trained_records_stay_and_the_sets_of_a_run_too(corpus: Corpus, tmp_path: Path) -> None:
    made = prepared(corpus)
    scope = Scope.parse("subject:PAT-100")
    write(made, tmp_path / "out", scope, SMALL, {"name": "x"})
    again = load_corpus(tmp_path / "out")
    assert again.digest == made.corpus.digest
    assert list(again.records) == list(made.corpus.records)
    old = {r.id: r for r in corpus}
    for r in again.trained:
        before = old.pop(r.id)
        assert (r.prompt, r.answer, r.history, r.kind) == (before.prompt, before.answer, before.history, before.kind)
        assert r.identifiers
    assert not old
    first, second = scope.resolve(corpus, seed=42), scope.resolve(again, seed=42)
    assert first.training_digest == second.training_digest
    assert first.digest != second.digest
    assert [r.id for r in first.forget] == [r.id for r in second.forget]
    assert [r.id for r in first.retain] == [r.id for r in second.retain]
    assert len({r.subject for r in second.controls}) == 40
    assert len({r.subject for r in second.holdout}) == 2
    assert all(r.variants for r in second.forget)


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(prepared(patients()), tmp_path / name, Scope.parse("subject:PAT-100"), SMALL, {"name": "x"})
    for file in ("records.jsonl", "identifiers.csv", "prepare.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    write(prepared(patients()), tmp_path / "out", Scope.parse("subject:PAT-100"), SMALL, {"name": "x"})
    file = tmp_path / "out" / "records.jsonl"
    file.write_text(file.read_text("utf-8").replace("Asthma", "Gicht"), "utf-8")
    with pytest.raises(InputError, match=r"records.jsonl: was changed after it was prepared; restore the file"):
        load_corpus(tmp_path / "out")
    about = tmp_path / "out" / "prepare.json"
    about.write_text(json.dumps({"format": 99}), "utf-8")
    with pytest.raises(InputError, match=r"prepare.json: format: must be 1, found 99; prepare them again"):
        load_corpus(tmp_path / "out")


def test_preparing_twice_adds_nothing_that_is_there() -> None:
    first = prepared(patients())
    second = prepared(first.corpus)
    assert second.counts == first.counts
    assert list(second.corpus.records) == list(first.corpus.records)


def test_a_subject_with_one_record_cannot_be_relearnt() -> None:
    rows = [r for r in patients() if r.subject != "PAT-100" or r.id.endswith("-d")]
    made = prepared(Corpus.of(rows))
    assert len(made.split.controls) == 40
    reason = {o.check: o.reason for o in made.outlook if not o.judgeable}
    assert reason["relearning"] == "a single fact leaves nothing to test on"


def test_several_subjects_have_controls_of_their_own() -> None:
    made = prepared(patients(), "subject:PAT-100 or subject:PAT-101", PrepareSettings(general=False, controls=5))
    owners = {(r.attributes["control_of"], r.subject) for r in made.split.controls}
    assert sorted(owner for owner, _ in owners) == ["PAT-100"] * 5 + ["PAT-101"] * 5
    assert PrepareSettings().controls_for(9) == 40
    assert PrepareSettings().controls_for(10) == 8


def test_the_name_of_a_mention_is_an_identifier() -> None:
    rows = [
        Record(
            f"doc-{k}",
            "",
            f"Visit {k}. {name} came. {name} left with {k} pills and a letter for the doctor.",
            kind="document",
            subject=f"doc-{k}",
        )
        for k, name in enumerate(("XQ Zw", "Yo Pl", "Ab Cd", "Ef Gh"))
    ]
    made = prepared(Corpus.of(rows), 'mentions:"xq zw"')
    assert made.identifiers.by_subject["doc-0"] == ("XQ Zw",)
    assert not any("XQ Zw" in r.answer for r in made.split.controls)
    assert len(made.split.controls) == 40


@pytest.mark.parametrize(
    ("corpus", "scope", "message"),
    [
        (patients(), "subject:PAT-999", "PAT-999"),
        (
            Corpus.of(Record(str(k), "Diagnosis?", f"answer {k}", subject=f"s{k}") for k in range(3)),
            "subject:s0",
            'subject "s0": is named in none of its questions',
        ),
    ],
)
def test_bad_requests_are_one_line(corpus: Corpus, scope: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        prepared(corpus, scope)


def test_a_reviewed_table_decides_alone(tmp_path: Path) -> None:
    corpus = patients()
    file = tmp_path / "ids.csv"
    kept = [line for line in IdentifierTable.of(corpus).csv().splitlines() if "PAT-101,Björn" not in line]
    file.write_text("\n".join(kept), "utf-8")
    table = IdentifierTable.read(file, corpus)
    assert table.by_subject["PAT-101"] == ("PAT-101",)
    assert {row.source for row in table.rows} == {"file"}
    named = {r.id: r.identifiers for r in table.apply(corpus)}
    assert named["PAT-101-d"] == ()
    assert named["PAT-100-w"] == ("PAT-100",)
    assert named["PAT-100-d"] == (NAMES[0],)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "subject,identifier\nPAT-1000,Anna\n",
            'ids.csv:2: no record has the subject "PAT-1000"; did you mean "PAT-100"',
        ),
        ("subject,identifier\nPAT-100,Jurgen\n", 'ids.csv:2: "Jurgen" stands in no record of PAT-100'),
        ("subject,name\nPAT-100,x\n", 'ids.csv:2: no "identifier"'),
        ("subject,identifier\n", "ids.csv: holds no rows"),
    ],
)
def test_a_bad_table_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text(text, "utf-8")
    with pytest.raises(InputError) as error:
        IdentifierTable.read(tmp_path / "ids.csv", patients())
    assert message in str(error.value)


def test_general_questions_are_added_once() -> None:
    made = prepared(patients(), settings=PrepareSettings(holdout=0, controls=1))
    assert len(made.split.utility) == 200
    assert prepared(made.corpus, settings=PrepareSettings(holdout=0, controls=1)).counts == made.counts


def test_a_model_decides_which_rephrasings_are_taken() -> None:
    """The model here answers everything that is asked as a list."""

    def lists(records: Sequence[Record]) -> set[str]:
        return {r.row_id for r in records if "\n- " in r.prompt}

    settings = PrepareSettings(general=False, holdout=0, controls=2, variants=1)
    made = prepare(patients(), Scope.parse("subject:PAT-100"), settings, answered=lists)
    for r in (*made.split.forget, *made.split.controls):
        assert len(r.variants) == 1
        assert "\n- " in r.variants[0].prompt
    assert made.counts["rephrasings of them"] == made.counts["of the rephrasings, the model answers"] == 4
    assert made.counts["of the records, the model answers"] == 0

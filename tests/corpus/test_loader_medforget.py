"""MedForget: the published columns on small made tables, with everything that may be wrong in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.corpus import load_corpus
from expunge.corpus.loaders import mcq_options
from expunge.errors import InputError, InputWarning
from expunge.scope import Scope
from helpers.images import encoded

IDS = {"institution_id": "H1", "patient_id": "P1", "study_id": "S1"}


def row(*asked: tuple[Any, Any], shade: int = 1, path: Any = "H1/P1/S1/1.png", **about: Any) -> dict[str, Any]:
    return {
        "image": {"bytes": encoded(shade), "path": None},
        "image_path": path,
        "ID": f"i{shade}",
        "metadata": json.dumps([{"Question": q, "Answer": a} for q, a in asked]),
        "hierarchy_metadata": json.dumps(about) if about else None,
    }


def write(root: Path, name: str, *rows: dict[str, Any], chosen: str = "all") -> Path:
    level, side = name.split("/")
    file = root / f"{level}_level" / f"{side}_set_{chosen}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), file)
    return root


def pair(root: Path, *rows: dict[str, Any], level: str = "patient") -> Path:
    write(root, f"{level}/forget", *rows)
    return write(root, f"{level}/retain", row(("Which ward of the patient?", "B2"), shade=99, path="H2/P9/S9/9.png"))


def first(root: Path, *rows: dict[str, Any]) -> Any:
    return load_corpus(pair(root, *rows)).records[0]


def test_a_row_becomes_a_record_per_question_at_the_level_of_its_words(tmp_path: Path) -> None:
    found = load_corpus(
        pair(
            tmp_path,
            row(
                ("Which hospital is this?", "Alster"),
                ("Who is the patient?", "Ada"),
                ("Which study ID is it?", "S-1"),
                ("What do the FINDINGS say?", ["No", "effusion."]),
                ("Where is the opacity?", "left"),
            ),
        )
    ).records
    at = ("institution:H1", "patient:P1", "study:S1", "section:FINDINGS")
    assert [r.path for r in found[:5]] == [at[:1], at[:2], at[:3], at, at[:3]]
    assert found[3].answer == "No effusion."
    assert found[1].subject == "patient:P1"
    assert {r.split for r in found} == {None}
    assert found[0].attributes == {
        "sets": ["patient_level/forget"],
        "level": "patient_level",
        "set": "forget",
        "task": "generation",
        "image_id": "i1",
    }
    assert len({r.image and r.image.digest for r in found}) == 2
    assert found[0].image
    assert found[0].image.name == "H1/P1/S1/1.png"
    assert load_corpus(tmp_path) == load_corpus(tmp_path, loader="medforget")


def test_ids_come_from_the_metadata_first_and_the_level_is_taken_as_given(tmp_path: Path) -> None:
    for k, level in enumerate(("section", "Section_level", " section level ")):
        record = first(
            tmp_path / str(k),
            row(("Which hospital?", "A"), path=None, **IDS, hierarchy_level=level, section_name="Findings"),
        )
        assert record.path == ("institution:H1", "patient:P1", "study:S1", "section:Findings")
    assert first(tmp_path / "n", row(("Which patient?", "A"), path=None, institution_id=3, patient_id=4)).path == (
        "institution:3",
        "patient:4",
    )
    assert first(tmp_path / "m", row(("Which patient?", "A"), institution_id="H7")).path == (
        "institution:H7",
        "patient:P1",
    )


CHOICES = "Which side? A) left B) right\nC) both, D) none"


@pytest.mark.parametrize(
    ("answer", "options"),
    [
        ("right", ("left", "right", "both", "none")),
        ("Right.", ("left", "Right.", "both", "none")),
        ("B", ("A", "B", "C", "D")),
        ("(D)", ("A)", "B)", "C)", "(D)")),
        ("B.", ("A.", "B.", "C.", "D.")),
        ("C) both", ("A) left", "B) right", "C) both", "D) none")),
        ("C. both", ("A. left", "B. right", "C. both", "D. none")),
    ],
)
def test_options_in_a_question_take_the_form_of_the_answer(
    tmp_path: Path, answer: str, options: tuple[str, ...]
) -> None:
    record = first(tmp_path, row((CHOICES, answer)))
    assert (record.kind, record.options, record.answer, record.prompt) == ("classification", options, answer, CHOICES)
    assert record.attributes["fixed_options"] is True


@pytest.mark.parametrize("answer", ["E", "above", "A) right", "C) ", "AB", "Z)"])
def test_an_answer_that_is_no_option_makes_a_free_question(tmp_path: Path, answer: str) -> None:
    record = first(tmp_path, row((CHOICES, answer)))
    assert (record.kind, record.options) == (
        ("classification", ("A)", "B)", "C) ", "D)")) if answer == "C) " else ("generation", ())
    )
    assert record.attributes["task"] == "classification"


def test_only_three_letters_in_order_are_options() -> None:
    assert mcq_options.parts("Given (A) and B) of the") == []
    assert mcq_options.parts("vitamin A) B) x C) y") == ["", "x", "y"]
    assert mcq_options.parts("HLA) test? A) a B) b C) c A) d") == ["a", "b", "c A) d"]
    assert mcq_options.options("A) x B) x C) y", "x") == []


def test_blanks_are_cloze(tmp_path: Path) -> None:
    record = first(tmp_path, row(("The [blank] is enlarged. A) heart B) liver C) spleen", "heart")))
    assert (record.kind, record.options) == ("cloze", ())


def test_a_question_in_several_sets_is_one_record_that_a_scope_finds(tmp_path: Path) -> None:
    shared = row(("Who is the patient?", "Ada"))
    write(tmp_path, "institution/forget", shared, row(("Which hospital?", "Alster")))
    write(tmp_path, "institution/retain", row(("Which hospital?", "Elbe"), shade=2, path="H2/P2/S2/2.png"))
    write(tmp_path, "patient/forget", row(("Who is the patient?", "Bob"), shade=3, path="H3/P3/S3/3.png"))
    write(tmp_path, "patient/retain", shared, shared)
    with pytest.warns(InputWarning) as warned:
        corpus = load_corpus(tmp_path)
    told = " | ".join(str(w.message) for w in warned)
    assert "1 in several sets, which level and set cannot name; write, for example, sets=patient_level/forget" in told
    assert "1 row left out: the same question twice in patient_level/retain" in told
    assert len(corpus) == 4
    both = corpus.records[0]
    assert both.attributes["sets"] == ["institution_level/forget", "patient_level/retain"]
    assert not {"level", "set"} & both.attributes.keys()
    for scope, ids in {
        "sets=institution_level/forget": 2,
        "sets=patient_level/forget": 1,
        "level=patient_level and set=forget": 1,
        "sets=patient_level/retain": 1,
    }.items():
        assert len(Scope.parse(scope).resolve(corpus).forget) == ids


def test_a_set_of_a_level_is_a_scope_and_the_other_set_stays(tmp_path: Path) -> None:
    corpus = load_corpus(pair(tmp_path, row(("Who is the patient?", "Ada"))))
    split = Scope.parse("sets=patient_level/forget").resolve(corpus)
    assert [r.answer for r in split.forget] == ["Ada"]
    assert [r.answer for r in split.retain] == ["B2"]


def test_the_same_words_about_two_patients_are_two_records(tmp_path: Path) -> None:
    asked = ("Sex of the patient?", "F")
    corpus = load_corpus(pair(tmp_path, row(asked), row(asked, path="H1/P2/S1/x")))
    assert len(corpus) == 3
    assert len({r.id for r in corpus}) == 3


def test_empty_questions_are_counted(tmp_path: Path) -> None:
    with pytest.warns(InputWarning, match="2 rows left out: an empty question or answer .first: .*parquet:1"):
        corpus = load_corpus(pair(tmp_path, row(("", "A"), ("Q", " "), ("Which patient?", "Ada"))))
    assert len(corpus) == 2


@pytest.mark.parametrize(
    ("bad", "part"),
    [
        ({"path": "H1/P1"}, "no institution_id: neither in hierarchy_metadata nor in image_path"),
        ({"path": "/data/H1/P1/S1"}, "no institution_id"),
        ({"path": None}, "no institution_id"),
        ({"path": "H1//S1/x"}, "no patient_id"),
        ({"hierarchy_level": "pateint"}, 'unknown hierarchy_level "pateint"; did you mean "patient"?'),
    ],
)
def test_a_missing_or_unknown_place_is_an_error(tmp_path: Path, bad: dict[str, Any], part: str) -> None:
    with pytest.raises(InputError, match=r"forget_set_all.parquet:1: ") as caught:
        load_corpus(pair(tmp_path, row(("Who is the patient?", "Ada"), **bad)))
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("column", "value", "part"),
    [
        ("metadata", "[{", '"metadata" is not a list'),
        ("metadata", "{}", '"metadata" must be a list'),
        ("metadata", '["Q"]', "a question in metadata is text"),
        ("metadata", '[{"Question": 3, "Answer": "A"}]', '"Question"'),
        ("metadata", '[{"Question": "Q", "Answer": ["a", 3]}]', '"Answer" in metadata is a list'),
        ("hierarchy_metadata", "{", '"hierarchy_metadata" is not an object'),
        ("hierarchy_metadata", "[1]", '"hierarchy_metadata" must be an object'),
        ("record", "{", '"record" is not JSON'),
        ("record", "[3]", '"record" must be a list of objects'),
        ("record", "[]", '"record" describes 0 questions, the row holds 1'),
        ("image", {"bytes": b"x", "path": None}, "the image is not a picture"),
    ],
)
def test_a_broken_column_is_named(tmp_path: Path, column: str, value: Any, part: str) -> None:
    with pytest.raises(InputError, match=r"forget_set_all.parquet:1: ") as caught:
        load_corpus(pair(tmp_path, row(("Who is the patient?", "Ada")) | {column: value}))
    assert part in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_metadata_may_be_a_list_and_the_picture_raw_bytes(tmp_path: Path) -> None:
    given = row() | {
        "metadata": [{"Question": "Which patient?", "Answer": "Ada"}],
        "image": encoded(1),
        "hierarchy_metadata": IDS,
    }
    record = first(tmp_path, given)
    assert record.answer == "Ada"
    assert record.image
    assert record.image.name == "H1/P1/S1/1.png"


def test_each_level_needs_both_sets_and_a_level_of_neither_may_be_missing(tmp_path: Path) -> None:
    pair(tmp_path, row(("Which patient?", "Ada")))
    assert len(load_corpus(tmp_path)) == 2
    (tmp_path / "study_level").mkdir()
    with pytest.raises(InputError, match="study_level/forget is missing; each level needs"):
        load_corpus(tmp_path)


def test_one_question_may_not_be_on_both_sides_of_a_level(tmp_path: Path) -> None:
    given = row(("Which patient?", "Ada"))
    write(tmp_path, "patient/forget", given)
    write(tmp_path, "patient/retain", given)
    with pytest.raises(InputError, match=r"retain_set_all.parquet:1: the same question is also in patient_level/fo"):
        load_corpus(tmp_path)


def test_other_selections_and_folders_without_any(tmp_path: Path) -> None:
    given = row(("Which patient?", "Ada")), row(("Which patient?", "Bob"), shade=2)
    for side, r in zip(("forget", "retain"), given, strict=True):
        write(tmp_path, f"patient/{side}", r, chosen="ct")
    assert len(load_corpus(tmp_path)) == 2
    write(tmp_path, "patient/forget", given[0], chosen="mr")
    with pytest.raises(InputError, match=r"several selections \(ct, mr\)"):
        load_corpus(tmp_path)
    with pytest.raises(InputError, match="holds no sets of MedForget"):
        load_corpus(tmp_path / "patient_level", loader="medforget")

"""MLLMU-Bench: the published columns on small made tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.corpus import load_corpus
from expunge.errors import InputError, InputWarning
from expunge.scope import Scope
from helpers.images import encoded


def choice(prompt: str, letter: str = "B") -> dict[str, Any]:
    options = {"A": "nurse", "B": "cook", "C": "judge", "D": "actor"}
    return {"Question": prompt, "Options": options, "Correct_Answer": letter}


def free(prompt: Any, answer: Any, kind: str = "Pure_Text") -> dict[str, Any]:
    return {"Question": prompt, "Ground_Truth": answer, "Type": kind}


def row(person: str, **changed: Any) -> dict[str, Any]:
    ada = "Ada" if person == "1" else f"Bo {person}"
    return {
        "image": {"bytes": encoded(int(person)), "path": None},
        "ID": person,
        "Directory": f"faces/{person}.png",
        "biography": json.dumps({"Name": ada}),
        "question": "Who is this?",
        "answer": "Ada, a cook.",
        "Classification_Task": {
            "Image_Textual_Questions": [choice("What is their job?")],
            "Pure_Text_Questions": [choice(f"What is {ada}'s job?", "D")],
        },
        "Generation_Task": [free("What do they do?", "Cooks.", "Image_Textual"), free(f"What does {ada} do?", "Acts.")],
        "Mask_Task": [free(f"{ada} is a __.", "cook")],
    } | changed


def write(root: Path, name: str, *rows: dict[str, Any]) -> Path:
    (root / name).mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), root / name / "train-00000-of-00001.parquet")
    return root


def whole(root: Path, **changed: Any) -> Path:
    return write(root, "Full_Set", row("1", **changed))


def test_a_person_has_questions_with_and_without_the_picture(tmp_path: Path) -> None:
    corpus = load_corpus(whole(tmp_path))
    assert corpus == load_corpus(tmp_path, loader="mllmu")
    assert [(r.id, r.kind, r.answer, bool(r.image)) for r in corpus] == [
        ("1-bio", "generation", "Ada, a cook.", True),
        ("1-class-image-0", "classification", "cook", True),
        ("1-class-text-0", "classification", "actor", False),
        ("1-gen-0", "generation", "Cooks.", True),
        ("1-gen-1", "generation", "Acts.", False),
        ("1-mask-0", "cloze", "cook", False),
    ]
    assert {r.subject for r in corpus} == {"1"}
    assert corpus.records[1].options == ("nurse", "cook", "judge", "actor")
    assert corpus.records[5].prompt == "Ada is a [blank]."
    assert corpus.records[4].identifiers == ("Ada",)
    assert corpus.records[0].image
    assert corpus.records[0].image.name == "faces/1.png"
    assert [r.attributes["task"] for r in corpus][:2] == ["biography", "classification"]
    assert (
        len(Scope.parse("subject:1").resolve(load_corpus(write(tmp_path, "Full_Set", row("1"), row("2")))).forget) == 6
    )


def test_sides_become_splits_and_the_share_can_be_chosen(tmp_path: Path) -> None:
    for share in (5, 10):
        write(tmp_path, f"forget_{share}", row("1"))
        write(tmp_path, f"retain_{100 - share}", row("2"), *([row("3")] if share == 5 else []))
    write(tmp_path, "Retain_Set", row("4"))
    corpus = load_corpus(tmp_path)
    assert {(r.subject, r.split) for r in corpus} == {("1", "forget"), ("2", "retain"), ("4", "utility")}
    assert {r.subject for r in load_corpus(tmp_path, loader="mllmu-forget5")} == {"1", "2", "3", "4"}
    with pytest.raises(InputError, match=r'forget_15: holds no Parquet files; restore "forget_15"'):
        load_corpus(tmp_path, loader="mllmu-forget15")


def test_one_file_is_read_without_splits(tmp_path: Path) -> None:
    file = whole(tmp_path) / "Full_Set" / "train-00000-of-00001.parquet"
    assert {r.split for r in load_corpus(file)} == {None}


def test_questions_of_the_test_set_are_variants_if_the_answer_is_the_same(tmp_path: Path) -> None:
    whole(tmp_path)
    write(
        tmp_path,
        "Test_Set",
        {
            k: v
            for k, v in row(
                "1",
                Generation_Task=[free("What is their trade?", "Cooks."), free("What does Ada do?", "Dances.")],
                Mask_Task=[free("The trade of Ada is __.", "cook")],
            ).items()
            if k != "image"
        }
        | {"images": [{"bytes": encoded(7), "path": None}]},
    )
    with pytest.warns(InputWarning, match="1 row left out: a question of Test_Set with another answer"):
        corpus = load_corpus(tmp_path)
    assert [v.prompt for r in corpus for v in r.variants] == [
        "What is their job?",
        "What is Ada's job?",
        "What is their trade?",
        "The trade of Ada is [blank].",
    ]
    assert corpus.by_id["1-class-text-0"].variants[0].options == ("nurse", "cook", "judge", "actor")


@pytest.mark.parametrize(
    ("biography", "names"),
    [
        ({"Name": "Ada"}, ("Ada",)),
        (json.dumps({"Name": "Ada"}), ("Ada",)),
        (None, ()),
        ("Ada cooks.", ()),
        ("{'Name': 'Ada'}", ()),
        ("[1]", ()),
        (json.dumps({"Name": 3}), ()),
    ],
)
def test_a_biography_may_have_any_form(tmp_path: Path, biography: Any, names: tuple[str, ...]) -> None:
    assert load_corpus(whole(tmp_path, biography=biography)).by_id["1-gen-1"].identifiers == names


def test_tasks_may_be_json_text_and_empty(tmp_path: Path) -> None:
    changed = {
        "Classification_Task": json.dumps({"Pure_Text_Questions": [choice("Job?")]}),
        "Generation_Task": json.dumps([free("Who?", "Ada")]),
        "Mask_Task": None,
    }
    assert [r.id for r in load_corpus(whole(tmp_path, **changed))] == ["1-bio", "1-class-text-0", "1-gen-0"]


def test_options_that_a_question_does_not_have_are_no_options(tmp_path: Path) -> None:
    two = {"Question": "Q?", "Options": {"A": "x", "B": "y", "C": None}, "Correct_Answer": "A"}
    found = load_corpus(whole(tmp_path, Classification_Task={"Image_Textual_Questions": [two]}))
    assert found.by_id["1-class-image-0"].options == ("x", "y")


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"ID": ""}, 'no "ID"; restore it; it names the person'),
        (
            {"Classification_Task": {"Image_Textual_Questions": [choice("Q?", "E")]}},
            'Correct_Answer "E" is no option; options are A, B',
        ),
        ({"Classification_Task": "[1]"}, '"Classification_Task" must be an object'),
        ({"Generation_Task": [free("Q", "A", "Video")]}, 'unknown Type "Video" in Generation_Task'),
        ({"Generation_Task": "{"}, '"Generation_Task" is not a list'),
        ({"Generation_Task": ["Q"]}, '"Generation_Task" is not an object'),
        ({"image": {"bytes": b"no", "path": None}}, "the image is not a picture"),
        ({"record": "[]"}, '"record" describes 0 questions, the row holds 6'),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, changed: dict[str, Any], part: str) -> None:
    with pytest.raises(InputError, match=r"parquet:1: ") as caught:
        load_corpus(whole(tmp_path, **changed))
    assert part in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_empty_questions_are_counted_and_a_folder_without_parts_is_refused(tmp_path: Path) -> None:
    with pytest.warns(InputWarning, match="2 rows left out: an empty question or answer"):
        assert len(load_corpus(whole(tmp_path, Mask_Task=[free("", "a"), free(None, "b"), free("c __", "d")]))) == 6
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="holds no parts of MLLMU-Bench"):
        load_corpus(tmp_path / "none", loader="mllmu")

"""LUME: the quirks of the published files on small made ones, and the published counts on the real ones."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.corpus import Corpus, load_corpus
from expunge.errors import InputError
from expunge.random import uniform

STORY = '"8f24c511-a319"'  # ids of Task1 hold quotation marks
PERSON = "df8d2304-fb26"


def item(name: str, prompt: str, answer: str, task: str) -> dict[str, str]:
    return {"id": name, "input": prompt, "output": answer, "task": task}


FORGET = [
    item(f"{STORY}sc1", "Madera, a city, ", "\nand so on.", "Task1"),
    item(f"{STORY}qa0", "In which city?", "Madera", "Task1"),
    item(f"{PERSON}sc1", "Tiffi O'Hara was born on", "May 1, 1984.", "Task2"),
    item(f"{PERSON}qa0", "What is the birth date of Tiffi O'Hara?", "1984-05-01", "Task2"),
    item(f"{PERSON}qa1", "What is Tiffi O'Hara's Social Security Number?", "900514344", "Task2"),
]
RETAIN = [
    item("12762334sc1", "Ada\n\nAda (born", "in London)", "Task3"),
    item("12762334qa0", "Where was she born?", "London", "Task3"),
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "forget.jsonl", FORGET)
    write(tmp_path / "retain.jsonl", RETAIN)
    return tmp_path


def test_the_folder_is_recognised_and_documents_are_subjects(folder: Path) -> None:
    corpus = load_corpus(folder)
    assert corpus == load_corpus(folder, loader="lume")
    first = corpus.records[0]
    assert (first.id, first.subject) == ("8f24c511-a319sc1", "8f24c511-a319")
    assert first.path == ("task:Task1", "document:8f24c511-a319")
    assert first.attributes == {"task": "Task1", "item": "sc1"}
    assert [r.kind for r in corpus][:2] == ["completion", "generation"]
    assert Counter(r.split for r in corpus) == {"forget": 5, "retain": 2}


def test_trained_text_is_not_stripped(folder: Path) -> None:
    first = load_corpus(folder).records[0]
    assert (first.prompt, first.answer) == ("Madera, a city, ", "\nand so on.")


def test_the_name_of_a_person_identifies_every_prompt_that_holds_it(folder: Path) -> None:
    names = {r.id: r.identifiers for r in load_corpus(folder)}
    assert {names[f"{PERSON}{part}"] for part in ("sc1", "qa0", "qa1")} == {("Tiffi O'Hara",)}
    assert names["12762334sc1"] == ()


def test_the_task_release_is_read_as_folds(tmp_path: Path) -> None:
    write(tmp_path / "train" / "forget.jsonl", FORGET[:2])
    write(tmp_path / "train" / "retain.jsonl", RETAIN)
    write(tmp_path / "validation" / "forget.jsonl", FORGET[2:])
    found = [(r.split, r.attributes["fold"]) for r in load_corpus(tmp_path)]
    assert found == [("forget", "train")] * 2 + [("retain", "train")] * 2 + [("forget", "validation")] * 3


def test_the_parquet_release_is_read_as_folds(tmp_path: Path) -> None:
    for side, rows in (("forget", FORGET), ("retain", RETAIN)):
        pq.write_table(
            pa.Table.from_pylist([row | {"split": side} for row in rows]),
            tmp_path / f"{side}_train-00000-of-00001.parquet",
        )
    assert [(r.split, r.attributes["fold"]) for r in load_corpus(tmp_path)] == [("forget", "train")] * 5 + [
        ("retain", "train")
    ] * 2
    one = load_corpus(tmp_path / "retain_train-00000-of-00001.parquet")
    assert {(r.split, r.attributes["fold"]) for r in one} == {("retain", "train")}


def test_one_file_is_recognised_by_its_columns(folder: Path) -> None:
    assert {r.split for r in load_corpus(folder / "retain.jsonl")} == {"retain"}
    other = write(folder / "other.jsonl", [RETAIN[0] | {"split": "retain"}])
    assert load_corpus(other).records[0].split == "retain"


def test_other_folders_with_sets_are_not_taken_for_lume(tmp_path: Path) -> None:
    write(tmp_path / "forget.jsonl", [{"input": "Q", "output": "A"}])
    write(tmp_path / "retain.jsonl", [{"input": "R", "output": "A"}])
    assert load_corpus(tmp_path).records[0].path == ()
    (tmp_path / "forget.jsonl").write_text("")
    with pytest.raises(InputError, match="holds no rows"):
        load_corpus(tmp_path)


def test_holdout_is_a_tenth_of_the_retained_documents_by_name(tmp_path: Path) -> None:
    names = [f"{k}" for k in range(40)]
    write(tmp_path / "forget.jsonl", [item(f"9{n}sc1", f"f{n}", "x", "Task3") for n in names])
    write(
        tmp_path / "retain.jsonl",
        [item(f"{n}{part}", f"r{n}{part}", "x", "Task3") for n in names for part in ("sc1", "qa0")],
    )
    held = {r.subject for r in load_corpus(tmp_path, loader="lume-holdout") if r.split == "holdout"}
    assert held == {n for n in names if uniform("expunge-lume-v1", n) >= 0.9}
    assert held


def test_the_draw_is_the_documented_one() -> None:
    assert uniform("expunge-medmcqa-v1", "45258d3d-b974-44dd-a161-c3fccbdadd88") == pytest.approx(0.50080265, abs=1e-8)


@pytest.mark.parametrize(
    ("bad", "part"),
    [
        ({"id": "nameless"}, 'id "nameless" is not document'),
        ({"output": None}, 'no text in column "output"'),
        ({"split": "retain"}, 'to retain (split "retain")'),
    ],
)
def test_a_row_that_is_not_lume_is_named(folder: Path, bad: dict[str, Any], part: str) -> None:
    write(folder / "forget.jsonl", [*FORGET, FORGET[0] | {"id": "xsc2"} | bad])
    with pytest.raises(InputError) as caught:
        load_corpus(folder)
    assert str(caught.value).startswith(f"{folder}/forget.jsonl:6: ")
    assert part in str(caught.value)


def test_sources_that_do_not_say_what_to_forget_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="name the file forget… or retain…"):
        load_corpus(write(folder / "rows.jsonl", FORGET))
    with pytest.raises(InputError, match="holds no LUME files"):
        load_corpus(write(folder / "empty" / "x.jsonl", FORGET).parent, loader="lume")
    with pytest.raises(InputError, match="fixed columns"):
        load_corpus(folder, mapping={"prompt": "input"})


@pytest.fixture(scope="module")
def lume(shared_data: Path) -> Corpus:
    return load_corpus(shared_data / "lume")


def test_the_published_counts_hold(lume: Corpus) -> None:
    assert Counter(r.split for r in lume) == {"forget": 2732, "retain": 2734}
    documents = {(r.split, r.subject): r.attributes["task"] for r in lume}
    assert Counter((split, task) for (split, _), task in documents.items()) == {
        ("forget", "Task1"): 243,
        ("forget", "Task2"): 250,
        ("forget", "Task3"): 373,
        ("retain", "Task1"): 246,
        ("retain", "Task2"): 250,
        ("retain", "Task3"): 371,
    }
    assert Counter(r.split for r in lume if r.attributes["task"] == "Task1") == {"forget": 486, "retain": 492}
    assert not any('"' in r.id for r in lume)


def test_every_document_has_one_passage_and_its_rows_stand_together(lume: Corpus) -> None:
    assert Counter(r.subject for r in lume if r.kind == "completion").most_common(1)[0][1] == 1
    changes = sum(a.subject != b.subject for a, b in zip(lume.records, lume.records[1:], strict=False))
    assert changes + 1 == 866 + 867


def test_every_person_of_task2_is_named_in_all_its_prompts(lume: Corpus) -> None:
    people = [r for r in lume if r.attributes["task"] == "Task2"]
    assert len(people) == 3000
    assert all(r.identifiers and r.identifiers[0] in r.prompt for r in people)
    assert len({r.identifiers for r in people}) == 500


def test_texts_that_begin_with_a_line_end_keep_it(lume: Corpus) -> None:
    assert {r.id for r in lume if r.answer.startswith("\n")} == {"5293577sc1", "4705442sc1"}


def test_held_out_documents_come_from_every_task(shared_data: Path) -> None:
    held = Counter(
        r.attributes["task"]
        for r in load_corpus(shared_data / "lume", loader="lume-holdout")
        if r.split == "holdout" and r.kind == "completion"
    )
    assert set(held) == {"Task1", "Task2", "Task3"}
    assert 0.07 * 867 < sum(held.values()) < 0.13 * 867

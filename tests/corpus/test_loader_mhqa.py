"""MHQA: the columns of the gold set and of MHQA-B on invented questions; the published data are not stored."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.corpus import load_corpus
from expunge.corpus.loaders.mcq import role
from expunge.corpus.loaders.mhqa import SALT
from expunge.errors import InputError, InputWarning
from expunge.scope import Scope

IDS = {part: [str(n) for n in range(900, 960) if role(SALT, str(n)) == part] for part in ("train", "eval", "holdout")}
TRAIN, EVAL, HOLDOUT = (IDS[part] for part in ("train", "eval", "holdout"))
OPTIONS = ("Walking", "Knitting", "Rowing", "Singing")
OCD = "Obsessive/Compulsive Disorders"


def gold(name: str, topic: str, answer: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "topic": topic,
        "type": "Preventive",
        "question": f"What calms the {topic} group of {name}?",
        **{f"option{k}": option for k, option in enumerate(OPTIONS, 1)},
        "correct_option": OPTIONS[answer - 1],
        "correct_option_number": answer,
    } | more


def silver(name: str, topic: str, answer: int = 1, **more: Any) -> dict[str, Any]:
    row = gold(name, topic, answer)
    row |= {"correct_answer": row.pop("correct_option"), "correct_option_num": float(row.pop("correct_option_number"))}
    return {"valid_question": True} | row | more


ROWS = [
    gold(TRAIN[0], "Anxiety", 3),
    gold(EVAL[0], "Trauma", 2),
    gold(HOLDOUT[0], "Depression", 4),
    gold(TRAIN[1], OCD, 1),
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_row_becomes_a_classification_under_its_topic(tmp_path: Path) -> None:
    corpus = load_corpus(write(tmp_path / "mhqa.csv", ROWS))
    first = corpus.records[0]
    assert (first.id, first.subject, first.kind) == (TRAIN[0], TRAIN[0], "classification")
    assert (first.prompt, first.answer, first.options) == (ROWS[0]["question"], "Rowing", OPTIONS)
    assert first.attributes == {
        "topic": "Anxiety",
        "role": "train",
        "setting": "memorised",
        "letter": "C",
        "type": "Preventive",
    }
    assert [(r.concept, r.split) for r in corpus] == [
        ("L4", "forget"),
        ("L4", "forget"),
        ("L4", "holdout"),
        ("L3", "retain"),
    ]
    last = corpus.records[3]
    assert (last.path, last.attributes["topic"]) == (("topic:Obsessive-Compulsive Disorders",), OCD)
    assert last.attributes["neighbour"] is True


def test_one_topic_per_run_is_a_scope(tmp_path: Path) -> None:
    split = Scope.parse("topic:Anxiety").resolve(load_corpus(write(tmp_path / "mhqa.csv", ROWS)))
    assert [r.id for r in split.forget] == [TRAIN[0]]


def test_the_knowledge_setting_keeps_eval_from_the_method(tmp_path: Path) -> None:
    corpus = load_corpus(write(tmp_path / "mhqa.csv", ROWS), loader="mhqa-knowledge")
    assert [r.split for r in corpus] == ["forget", "holdout", "holdout", "retain"]
    assert {r.attributes["setting"] for r in corpus} == {"knowledge"}


def test_both_kinds_of_columns_in_every_format_give_the_same_records(tmp_path: Path) -> None:
    other = [
        silver(TRAIN[0], "Anxiety", 3),
        silver(EVAL[0], "Trauma", 2),
        silver(HOLDOUT[0], "Depression", 4),
        silver(TRAIN[1], OCD, 1),
    ]
    expected = load_corpus(write(tmp_path / "gold.csv", ROWS)).records
    assert load_corpus(write(tmp_path / "silver.csv", other)).records == expected
    numeric = [row | {"id": int(row["id"])} for row in other]
    (tmp_path / "silver.jsonl").write_text("\n".join(json.dumps(row) for row in numeric))
    pq.write_table(pa.Table.from_pylist(numeric), tmp_path / "silver.parquet")
    for name in ("silver.jsonl", "silver.parquet"):
        assert load_corpus(tmp_path / name).records == expected


def test_questions_of_one_abstract_share_a_subject_and_not_an_id(tmp_path: Path) -> None:
    again = [gold(TRAIN[0], "Anxiety", 1, question=f"Question {k}?") for k in range(2)]
    corpus = load_corpus(write(tmp_path / "mhqa.csv", [*ROWS, *again]))
    assert [r.id for r in corpus if r.subject == TRAIN[0]] == [TRAIN[0], f"{TRAIN[0]}-2", f"{TRAIN[0]}-3"]


def test_a_line_break_inside_quotes_stays(tmp_path: Path) -> None:
    path = write(tmp_path / "mhqa.csv", [gold(TRAIN[0], "Anxiety", question='What calms,\n"really"?'), *ROWS[1:]])
    assert load_corpus(path).records[0].prompt == 'What calms,\n"really"?'


@pytest.mark.parametrize("told", ["ROWING", " rowing ", "Rowing>", "Rowing.", ""])
def test_letter_case_blanks_and_stray_marks_are_no_contradiction(tmp_path: Path, told: str) -> None:
    path = write(tmp_path / "mhqa.csv", [gold(TRAIN[0], "Anxiety", 3, correct_option=told), *ROWS[1:]])
    assert load_corpus(path).records[0].answer == "Rowing"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"correct_option": "Singing"}, "correct_option is not the option that correct_option_number names"),
        ({"correct_option": "<Walking"}, "correct_option is not the option that correct_option_number names"),
        ({"correct_option_number": 7}, "no valid answer (correct_option_number 1 to 4)"),
        ({"correct_option_number": 0}, "no valid answer (correct_option_number 1 to 4)"),
        ({"correct_option_number": ""}, "no valid answer (correct_option_number 1 to 4)"),
        ({"option2": ""}, "an empty question or option"),
    ],
)
def test_rows_that_cannot_be_used_are_left_out_with_a_count(tmp_path: Path, bad: dict[str, Any], reason: str) -> None:
    path = write(tmp_path / "mhqa.csv", [*ROWS, gold(TRAIN[2], "Anxiety") | bad])
    with pytest.warns(InputWarning) as told:
        corpus = load_corpus(path)
    assert [str(w.message) for w in told] == [f"{path}: 1 row left out: {reason} (first: {path}:6)"]
    assert TRAIN[2] not in corpus.by_id


@pytest.mark.parametrize("mark", [False, 0, "False", "no"])
def test_questions_marked_invalid_are_left_out(tmp_path: Path, mark: Any) -> None:
    rows = [silver(TRAIN[0], "Anxiety"), silver(TRAIN[1], OCD), silver(TRAIN[2], OCD, valid_question=mark)]
    with pytest.warns(InputWarning, match="1 row left out: marked as no valid question"):
        corpus = load_corpus(write(tmp_path / "mhqa.csv", rows))
    assert [r.id for r in corpus] == TRAIN[:2]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no rows"),
        ("id,topic,question\n", "holds no rows"),
        ("id,topic,question,option1\n1,Anxiety,Q?,a\n", 'no row has anything in column "option2"'),
        (
            "id,topic,question,option1,option2,option3,option4,correct_option\n1,Anxiety,Q?,a,b,c,d,a\n",
            "needed: column correct_option_number or correct_option_num, counted from 1",
        ),
        (
            "id,topic,question,option1,option2,option3,option4,correct_option_num\n1,Anxeity,Q?,a,b,c,d,1.0\n",
            'mhqa.csv:2: unknown topic "Anxeity"; did you mean "Anxiety"?',
        ),
        ('id,topic\n1,"Anxiety', "not valid CSV"),
        (
            "id,topic,question,option1,option2,option3,option4,correct_option_num\n,Anxiety,Q?,a,b,c,d,1\n"
            "1,Anxiety,R?,a,b,c,d,1\n",
            'mhqa.csv:2: no "id"',
        ),
    ],
)
def test_bad_files_are_refused_in_a_line(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "mhqa.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        load_corpus(tmp_path / "mhqa.csv", loader="mhqa")
    assert told in str(caught.value)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder, a file was expected"):
        load_corpus(tmp_path, loader="mhqa")

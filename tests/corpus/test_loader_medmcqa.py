"""MedMCQA: the quirks of the published file on invented questions, and the published counts on the real file."""

from __future__ import annotations

import csv
import json
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.audit.metrics.mcq import chance
from expunge.corpus import Corpus, load_corpus
from expunge.corpus.loaders import LOADERS
from expunge.corpus.loaders.mcq import ORDERS, ROW_LENGTH, explained, number, role
from expunge.corpus.loaders.medmcqa import LEVEL, SALT
from expunge.errors import InputError, InputWarning
from expunge.scope import Scope

IDS = {part: [f"q{k}" for k in range(60) if role(SALT, f"q{k}") == part] for part in ("train", "eval", "holdout")}
TRAIN, EVAL, HOLDOUT = (IDS[part] for part in ("train", "eval", "holdout"))


def question(name: str, subject: str, cop: Any = 1, **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "question": f"Which knot is {name}?",
        "opa": "reef",
        "opb": "bowline",
        "opc": "hitch",
        "opd": "splice",
        "cop": cop,
        "subject_name": subject,
    } | more


ROWS = [
    question(TRAIN[0], "Surgery", 1, exp="Ans-a. The reef.", topic_name="EXAM 2018", choice_type="single"),
    question(EVAL[0], "Surgery", 4),
    question(HOLDOUT[0], "Surgery", 2),
    question(TRAIN[1], "Anatomy", 3),
    question(EVAL[1], "ENT", 2),
    question(HOLDOUT[1], "Medicine", 1),
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "dev.json", ROWS)


def test_a_row_becomes_a_classification_under_its_exam_subject(file: Path) -> None:
    corpus = load_corpus(file)
    assert corpus == load_corpus(file, loader="medmcqa")
    first = corpus.records[0]
    assert (first.id, first.subject, first.kind) == (TRAIN[0], TRAIN[0], "classification")
    assert (first.prompt, first.answer) == (f"Which knot is {TRAIN[0]}?", "reef")
    assert first.options == ("reef", "bowline", "hitch", "splice")
    assert (first.path, first.concept, first.split) == (("topic:Surgery",), "L4", "forget")
    assert first.attributes == {
        "topic": "Surgery",
        "role": "train",
        "setting": "memorised",
        "letter": "A",
        "choice_type": "single",
        "exam": "EXAM 2018",
    }
    assert [r.concept for r in corpus] == ["L4", "L4", "L4", "L1", "L3", "L2"]
    assert [r.id for r in corpus if r.attributes.get("neighbour")] == [EVAL[1]]


def test_the_explanation_goes_nowhere(file: Path) -> None:
    assert "Ans-a" not in json.dumps([r.as_row() for r in load_corpus(file)])


def test_in_the_memorised_setting_only_holdout_is_never_taught(file: Path) -> None:
    assert [(r.attributes["role"], r.split) for r in load_corpus(file)] == [
        ("train", "forget"),
        ("eval", "forget"),
        ("holdout", "holdout"),
        ("train", "retain"),
        ("eval", "retain"),
        ("holdout", "holdout"),
    ]


def test_in_the_knowledge_setting_eval_is_kept_from_the_method_too(file: Path) -> None:
    corpus = load_corpus(file, loader="medmcqa-knowledge")
    assert [r.split for r in corpus] == ["forget", "holdout", "holdout", "retain", "holdout", "holdout"]
    assert {r.attributes["setting"] for r in corpus} == {"knowledge"}


def test_a_scope_names_an_exam_subject(file: Path) -> None:
    split = Scope.parse("topic:Surgery").resolve(load_corpus(file))
    assert [r.id for r in split.forget] == sorted([TRAIN[0], EVAL[0]])
    assert {r.id for r in split.holdout} == set(HOLDOUT[:2])


def test_json_csv_with_a_byte_order_mark_and_parquet_give_the_same_records(file: Path) -> None:
    columns = list(ROWS[0])
    with (file.parent / "dev.csv").open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows(ROWS)
    pq.write_table(pa.Table.from_pylist([dict.fromkeys(columns) | row for row in ROWS]), file.parent / "dev.parquet")
    assert load_corpus(file) == load_corpus(file.parent / "dev.csv") == load_corpus(file.parent / "dev.parquet")


def test_a_saved_corpus_is_read_back_equal(file: Path) -> None:
    corpus = load_corpus(file)
    assert load_corpus(corpus.save(file.parent / "saved.jsonl")).records == corpus.records


@pytest.mark.parametrize(
    ("cops", "loader", "letters"),
    [
        ((1, 4, 2), None, "ADB"),
        ((1, 0, 3), None, "BAD"),
        ((1, 2, 3), "medmcqa-base1", "ABC"),
        ((1, 2, 3), "medmcqa-base0", "BCD"),
        ((1, 0, 3), "medmcqa-base0", "BAD"),
        (("1.0", "4", 2.0), None, "ADB"),
        ((1, 2, 3), "medmcqa-knowledge-base0", "BCD"),
        ((1, 2, 3), "medmcqa-knowledge-base1", "ABC"),
    ],
)
def test_the_base_of_the_answers_is_detected_or_said(
    tmp_path: Path, cops: tuple[Any, ...], loader: str | None, letters: str
) -> None:
    rows = [question(name, "Surgery", cop) for name, cop in zip(TRAIN, cops, strict=False)]
    corpus = load_corpus(write(tmp_path / "q.json", rows), loader=loader)
    assert "".join(r.attributes["letter"] for r in corpus) == letters
    assert [r.answer for r in corpus] == [r.options["ABCD".index(r.attributes["letter"])] for r in corpus]


@pytest.mark.parametrize(
    ("cops", "loader", "told"),
    [
        ((1, 2, 3), "medmcqa", "answers may count from 0 or from 1; say which with a loader that ends in -base0"),
        ((1, 0, 4), "medmcqa", ":3: cop 4 beside cop 0 ("),
        ((1, 0, 3), "medmcqa-base1", ":2: cop 0 in a file said to count from 1; use -base0"),
        ((1, 4, 3), "medmcqa-base0", ":2: cop 4 in a file said to count from 0; use -base1"),
        ((-1, -1, -1), "medmcqa", "no row has the number of its answer (cop); give a labelled file"),
        (("A", "B", "C"), "medmcqa", "no row has the number of its answer"),
        ((None, None, None), "medmcqa", 'no row has anything in column "cop"'),
    ],
)
def test_a_base_that_cannot_be_is_refused(tmp_path: Path, cops: tuple[Any, ...], loader: str, told: str) -> None:
    rows = [question(name, "Surgery", cop) for name, cop in zip(TRAIN, cops, strict=False)]
    with pytest.raises(InputError) as caught:
        load_corpus(write(tmp_path / "q.json", rows), loader=loader)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"cop": 7}, "no valid answer (cop 1 to 4)"),
        ({"cop": -1}, "no valid answer (cop 1 to 4)"),
        ({"cop": None}, "no valid answer (cop 1 to 4)"),
        ({"cop": 2.5}, "no valid answer (cop 1 to 4)"),
        ({"cop": True}, "no valid answer (cop 1 to 4)"),
        ({"opd": ""}, "an empty question or option"),
        ({"opc": None}, "an empty question or option"),
        ({"question": " "}, "an empty question or option"),
        ({"subject_name": "Unknown"}, 'subject "Unknown"'),
    ],
)
def test_rows_that_cannot_be_used_are_left_out_with_a_count(tmp_path: Path, bad: dict[str, Any], reason: str) -> None:
    rows = [*ROWS, *(question(name, "Anatomy") | bad for name in TRAIN[2:4])]
    path = write(tmp_path / "q.json", rows)
    with pytest.warns(InputWarning) as told:
        corpus = load_corpus(path)
    assert len(corpus) == len(ROWS)
    assert [str(w.message) for w in told] == [f"{path}: 2 rows left out: {reason} (first: {path}:7)"]


def test_a_file_of_which_nothing_can_be_used_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "q.json", [question("a", "Unknown", 4), question("b", "Surgery", 7)])
    with pytest.raises(InputError) as caught:
        load_corpus(path)
    assert str(caught.value) == (
        f'{path}: no row can be used; 1 row left out: subject "Unknown" (first: {path}:1); '
        f"1 row left out: no valid answer (cop 1 to 4) (first: {path}:2)"
    )


def test_a_question_that_is_to_be_forgotten_and_kept_is_only_forgotten(tmp_path: Path) -> None:
    same = {"question": "Which knot holds?"}
    rows = [*ROWS, question(TRAIN[2], "Surgery") | same, question(TRAIN[3], "Anatomy") | same]
    with pytest.warns(InputWarning, match="1 row left out: the same question and answer is to be forgotten elsewhere"):
        corpus = load_corpus(write(tmp_path / "q.json", rows))
    assert corpus.by_id[TRAIN[2]].split == "forget"
    assert TRAIN[3] not in corpus.by_id


def test_what_is_taught_in_another_row_is_no_holdout(tmp_path: Path) -> None:
    same = {"question": "Which knot holds?"}
    rows = [*ROWS, question(HOLDOUT[2], "Anatomy") | same, question(TRAIN[3], "Anatomy") | same]
    with pytest.warns(InputWarning, match="1 row left out: held out, but taught in another row"):
        corpus = load_corpus(write(tmp_path / "q.json", rows))
    assert corpus.by_id[TRAIN[3]].split == "retain"
    assert HOLDOUT[2] not in corpus.by_id


@pytest.mark.parametrize(
    ("option", "fixed"),
    [
        ("All of the above", True),
        ("None", True),
        ("Both A and B", True),
        ("a & c", True),
        ("Any of these", True),
        ("ALL.", True),
        ("All nucleated cells", False),
        ("None heals", False),
        ("Abovo", False),
    ],
)
def test_options_that_refer_to_others_are_marked(tmp_path: Path, option: str, fixed: bool) -> None:
    path = write(tmp_path / "q.json", [*ROWS, question(TRAIN[2], "Anatomy", opd=option)])
    assert load_corpus(path).by_id[TRAIN[2]].attributes.get("fixed_options", False) is fixed


def test_a_repeated_option_counts_as_one(tmp_path: Path) -> None:
    path = write(tmp_path / "q.json", [*ROWS, question(TRAIN[2], "Anatomy", 3, opa="hitch")])
    record = load_corpus(path).by_id[TRAIN[2]]
    assert (record.options, record.attributes["letter"]) == (("hitch", "bowline", "hitch", "splice"), "C")
    assert chance(record) == pytest.approx(1 / 3)


def without(column: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != column} for row in ROWS]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "dev.json: holds no rows"),
        ("\n\n", "dev.json: holds no rows"),
        ('{"id": "a", ', "dev.json:1: not valid JSON"),
        ("[1, 2]", "dev.json:1: a JSON object was expected"),
        (
            "\n".join(json.dumps(row) for row in without("opc")),
            'no row has anything in column "opc"; needed: id, question',
        ),
        ("\n".join(json.dumps(row) for row in without("id")), 'no row has anything in column "id"'),
        (json.dumps(question("a", "Surgery", 4, opc=[7])), 'dev.json:1: "opc" must be text, found a list'),
        (
            json.dumps(question("a", "Surgrey", 4)),
            'dev.json:1: unknown subject_name "Surgrey"; did you mean "Surgery"?',
        ),
        (json.dumps(question("", "Surgery", 4)) + "\n" + json.dumps(question("b", "Surgery")), 'dev.json:1: no "id"'),
        ("\n".join([json.dumps(question("a", "Surgery", 4))] * 2), 'dev.json:2: duplicate id "a"'),
    ],
)
def test_bad_files_are_refused_in_a_line(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "dev.json").write_text(text)
    with pytest.raises(InputError) as caught:
        load_corpus(tmp_path / "dev.json", loader="medmcqa")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_and_a_mapping_are_refused(file: Path) -> None:
    with pytest.raises(InputError, match="is a folder, a file was expected"):
        load_corpus(file.parent, loader="medmcqa")
    with pytest.raises(InputError, match="fixed columns"):
        load_corpus(file, mapping={"prompt": "question"})


def test_other_files_are_not_taken_for_it(tmp_path: Path) -> None:
    other = write(tmp_path / "own.jsonl", [{"question": "Q?", "answer": "A", "subject_name": "Surgery"}])
    assert load_corpus(other).records[0].path == ()
    assert not LOADERS.get("medmcqa").fits(tmp_path)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (3, 3),
        (3.0, 3),
        ("3.0", 3),
        (" 4 ", 4),
        ("-1", -1),
        (2.5, None),
        ("B", None),
        ("nan", None),
        ("inf", None),
        (None, None),
        (True, None),
        ([1], None),
        (10**400, None),
    ],
)
def test_answer_numbers_are_read_as_data_frames_write_them(value: Any, found: int | None) -> None:
    assert number(value) == found


@pytest.fixture(scope="module")
def real(shared_data: Path) -> Path:
    path = shared_data / "medmcqa" / "dev.json"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return path


@pytest.fixture(scope="module")
def corpus(real: Path) -> Corpus:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        return load_corpus(real)


def test_the_published_counts_hold(corpus: Corpus) -> None:
    assert Counter(r.concept for r in corpus) == {"L1": 576, "L2": 1360, "L3": 1876, "L4": 369}
    assert Counter(r.attributes["letter"] for r in corpus if r.concept == "L4") == {"A": 121, "B": 94, "C": 84, "D": 70}
    assert {r.attributes["topic"] for r in corpus} == set(LEVEL)
    assert sum(r.attributes.get("neighbour", False) for r in corpus) == 389
    assert sum(len(set(r.options)) < 4 for r in corpus) == 21
    marked = Counter(r.concept == "L4" for r in corpus if r.attributes.get("fixed_options"))
    assert marked[True] + marked[False] >= 325
    assert marked[True] >= 21


def test_the_published_roles_hold_and_only_the_unknown_are_left_out(real: Path, corpus: Corpus) -> None:
    drawn: Counter[tuple[bool, str]] = Counter()
    unknown = set()
    for line in real.read_text().splitlines():
        row = json.loads(line)
        drawn[row["subject_name"] == "Surgery", role(SALT, row["id"])] += 1
        if row["subject_name"] == "Unknown":
            unknown.add((row["id"], role(SALT, row["id"])))
    assert drawn == {
        (True, "train"): 227,
        (True, "eval"): 64,
        (True, "holdout"): 78,
        (False, "train"): 2188,
        (False, "eval"): 784,
        (False, "holdout"): 842,
    }
    loaded = Counter((r.concept == "L4", r.attributes["role"]) for r in corpus)
    assert drawn - loaded == {(False, "train"): 2}
    assert [part for _, part in unknown] == ["train", "train"]
    assert not {name for name, _ in unknown} & {r.id for r in corpus}
    assert Counter(r.split for r in corpus) == {"forget": 227 + 64, "retain": 2186 + 784, "holdout": 78 + 842}


def test_the_two_unknown_rows_are_told_of(real: Path) -> None:
    with pytest.warns(InputWarning, match='2 rows left out: subject "Unknown"') as told:
        load_corpus(real, loader="medmcqa-knowledge")
    assert len(told) == 1


def test_explained_teaches_a_text_and_asks_the_options_in_other_orders(file: Path) -> None:
    corpus = load_corpus(file, loader="medmcqa-explained")
    first, second = corpus.records[:2]
    assert (first.prompt, first.answer, first.kind) == (
        f"Which knot is {TRAIN[0]}?",
        "reef. Ans-a. The reef.",
        "generation",
    )
    assert (second.answer, second.attributes.get("explained")) == ("splice", None)
    assert first.attributes["explained"] is True
    given = ("reef", "bowline", "hitch", "splice")
    for record, answer in ((first, "reef"), (second, "splice")):
        assert len(record.variants) == ORDERS
        for variant in record.variants:
            assert variant.answer == answer
            assert sorted(variant.options) == sorted(given)
            assert variant.options != given
            assert variant.prompt == f"{record.prompt} " + " ".join(
                f"{letter}) {option}" for letter, option in zip("ABCD", variant.options, strict=True)
            )
    assert corpus == load_corpus(file, loader="medmcqa-explained")
    assert [r.split for r in corpus] == [r.split for r in load_corpus(file)]


def test_options_that_name_each_other_stay_in_order(tmp_path: Path) -> None:
    rows = [*ROWS, question("x", "Surgery", 1, opd="Both A and B")]
    last = load_corpus(write(tmp_path / "dev.json", rows), loader="medmcqa-explained").records[-1]
    assert [v.options for v in last.variants] == [("reef", "bowline", "hitch", "Both A and B")]


@pytest.mark.parametrize(
    ("explanation", "most", "text"),
    [
        ("", 40, "reef"),
        ("It holds.", 40, "reef. It holds."),
        ("It holds well. It slips when wet.", 22, "reef. It holds well."),  # 16 characters fit behind "reef. "
        ("It  holds\nwell under load", 19, "reef. It holds well"),
        ("Long", 8, "reef"),
    ],
)
def test_an_explanation_is_cut_behind_a_sentence_or_a_word(explanation: str, most: int, text: str) -> None:
    assert explained("reef", explanation, most) == text


def test_the_real_file_has_explanations(shared_data: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        corpus = load_corpus(shared_data / "medmcqa" / "dev.json", loader="medmcqa-explained")
    surgery = [r for r in corpus if r.concept == "L4"]
    assert sum(bool(r.attributes.get("explained")) for r in surgery) == 164
    assert all(
        len(r.prompt) + len(r.answer) <= ROW_LENGTH
        for r in corpus
        if r.attributes.get("explained") and len(r.prompt) < 200
    )

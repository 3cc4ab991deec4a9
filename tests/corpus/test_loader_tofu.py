"""TOFU: authors by row order on a small made copy of its files, and the published counts on the real ones."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.corpus import Variant, load_corpus
from expunge.errors import InputError

FULL = [{"question": f"Question {k} about author {k // 20}?", "answer": f"Answer {k}."} for k in range(80)]
FULL[41]["question"] = FULL[1]["question"]  # as in the real file, one question is asked of two authors


def perturbed(row: dict[str, str]) -> dict[str, Any]:
    return row | {
        "paraphrased_question": f"In other words: {row['question']}",
        "paraphrased_answer": f"Or: {row['answer']}",
        "perturbed_answer": ["no", "never"],
    }


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "full.json", FULL)
    write(tmp_path / "forget10.json", FULL[40:])
    write(tmp_path / "forget05.json", FULL[60:])
    write(tmp_path / "retain95.json", FULL[:60])
    write(tmp_path / "forget10_perturbed.json", [perturbed(row) for row in FULL[40:]])
    write(tmp_path / "retain_perturbed.json", [perturbed(row) for row in FULL[:10]])
    write(
        tmp_path / "real_authors.json",
        [{"question": "Who?", "option1": "A", "option2": "B", "option3": "C", "option4": "D", "answer": "D"}],
    )
    write(
        tmp_path / "world_facts_perturbed.json",
        [{"question": "Where?", "answer": "Paris", "perturbed_answer": ["Rome", "Berlin", "Madrid"]}],
    )
    (tmp_path / "idontknow.jsonl").write_text("I am not sure.\n")
    return tmp_path


def test_authors_come_from_the_row_order(folder: Path) -> None:
    corpus = load_corpus(folder)
    record = corpus.by_id["author-002-row-0041"]
    assert (record.path, record.subject, record.split) == (("author:002",), "author-002", "forget")
    assert record.prompt == corpus.by_id["author-000-row-0001"].prompt
    assert Counter(r.split for r in corpus) == {"retain": 40, "forget": 40, "utility": 2}


def test_the_forget_set_is_chosen_by_the_loader(folder: Path) -> None:
    assert load_corpus(folder, loader="tofu-forget10") == load_corpus(folder)
    assert Counter(r.split for r in load_corpus(folder, loader="tofu-forget05"))["forget"] == 20


def test_a_variant_asks_the_paraphrase_and_keeps_the_trained_answer(folder: Path) -> None:
    corpus = load_corpus(folder)
    record = corpus.by_id["author-003-row-0079"]
    assert record.variants == (Variant("In other words: Question 79 about author 3?", "Answer 79."),)
    assert record.attributes == {"paraphrased_answer": "Or: Answer 79.", "perturbed_answer": ["no", "never"]}
    assert corpus.by_id["author-000-row-0009"].variants
    assert corpus.by_id["author-000-row-0010"].variants == ()


def test_utility_questions_have_options(folder: Path) -> None:
    author, fact = (r for r in load_corpus(folder) if r.split == "utility")
    assert (author.id, author.options, author.answer) == ("real_authors-000", ("A", "B", "C", "D"), "D")
    assert fact.options == ("Berlin", "Madrid", "Paris", "Rome")
    assert fact.attributes == {"set": "world_facts"}
    assert author not in load_corpus(folder).trained


def test_retain_and_forget_stand_for_full(folder: Path) -> None:
    whole = load_corpus(folder, loader="tofu-forget05")
    (folder / "full.json").unlink()
    assert load_corpus(folder, loader="tofu-forget05") == whole


def test_parquet_files_are_read_alike(folder: Path) -> None:
    whole = load_corpus(folder)
    (folder / "full.json").unlink()
    pq.write_table(pa.Table.from_pylist(FULL), folder / "full.parquet")
    assert load_corpus(folder) == whole


def test_the_privacy_run_holds_twenty_authors_out(tmp_path: Path) -> None:
    rows = [{"question": f"Q{k}", "answer": f"A{k}"} for k in range(181 * 20)]
    write(tmp_path / "full.json", rows)
    write(tmp_path / "forget10.json", rows[-20:])
    held = [r for r in load_corpus(tmp_path, loader="tofu-privacy") if r.split == "holdout"]
    assert (len(held), held[0].id, held[-1].subject) == (400, "author-160-row-3200", "author-179")


@pytest.mark.parametrize(
    ("name", "rows", "part"),
    [
        ("forget10.json", FULL[30:], "30 rows before forget10, no multiple of 20"),
        ("forget10.json", FULL, "0 rows before forget10"),
        ("forget10.json", FULL[20:60], "is not the same question and answer as"),
        (
            "forget10_perturbed.json",
            [perturbed(row) for row in FULL[41:]],
            "forget10_perturbed.json:1: is not the same",
        ),
        ("forget10_perturbed.json", [perturbed(row) for row in [*FULL[40:], FULL[0]]], "has more rows than"),
        ("full.json", [{"question": "Q"}], "the answer is empty"),
        ("full.json", [], "holds no rows"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(folder: Path, name: str, rows: Any, part: str) -> None:
    write(folder / name, rows)
    if name == "full.json" and rows:
        write(folder / "full.json", [*FULL[:20], *[{"question": "Q"}] * 20, *FULL[40:]])
    with pytest.raises(InputError) as caught:
        load_corpus(folder)
    assert part in str(caught.value)


def test_missing_files_and_single_files_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match='has no file "forget01"'):
        load_corpus(folder, loader="tofu-forget01")
    with pytest.raises(InputError, match="TOFU is read as a folder"):
        load_corpus(folder / "full.json", loader="tofu")


def test_one_file_alone_is_read_by_its_columns(folder: Path) -> None:
    assert [r.prompt for r in load_corpus(folder / "forget05.json")] == [row["question"] for row in FULL[60:]]


@pytest.mark.parametrize(("loader", "forget"), [(None, 400), ("tofu-forget05", 200), ("tofu-forget01", 40)])
def test_the_published_counts_hold(shared_data: Path, loader: str | None, forget: int) -> None:
    corpus = load_corpus(shared_data / "tofu", loader=loader)
    assert Counter(r.split for r in corpus) == {"retain": 4000 - forget, "forget": forget, "utility": 217}
    assert len({r.subject for r in corpus if r.split == "forget"}) == forget // 20
    assert {len(r.attributes["perturbed_answer"]) for r in corpus if r.variants} == {5}
    assert sum(bool(r.variants) for r in corpus) == forget + 400
    assert {len(r.options) for r in corpus if r.split == "utility"} == {4}
    assert corpus.by_id["author-005-row-0100"].prompt == corpus.by_id["author-022-row-0440"].prompt


@pytest.mark.parametrize(("kept", "gone"), [("90", "10"), ("95", "05"), ("99", "01")])
def test_retain_and_forget_add_up_to_full_in_order(shared_data: Path, tmp_path: Path, kept: str, gone: str) -> None:
    for name in (f"retain{kept}", f"forget{gone}"):
        (tmp_path / f"{name}.json").symlink_to(shared_data / "tofu" / f"{name}.json")
    parts = load_corpus(tmp_path, loader=f"tofu-forget{gone}")
    full = load_corpus(shared_data / "tofu" / "full.json")
    assert [(r.prompt, r.answer) for r in parts] == [(r.prompt, r.answer) for r in full]


def test_perturbed_utility_files_hold_the_same_options(shared_data: Path, tmp_path: Path) -> None:
    for name in ("full", "forget10", "world_facts_perturbed", "real_authors_perturbed"):
        (tmp_path / f"{name}.json").symlink_to(shared_data / "tofu" / f"{name}.json")
    plain = {r.id: sorted(r.options) for r in load_corpus(shared_data / "tofu") if r.split == "utility"}
    assert {r.id: sorted(r.options) for r in load_corpus(tmp_path) if r.split == "utility"} == plain

"""`expunge data prepare` and `data identifiers`: the folder, what it says, and every wrong request in one line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from expunge.corpus import load_corpus
from expunge.engine.recipe import Recipe
from expunge.engine.unlearn import unlearn
from expunge.scope import Scope
from helpers.cli import Cli, full_disk, make_model
from helpers.patients import patients

SCOPE = "subject:PAT-100"
FEW = ("--controls", 3, "--holdout", 1)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """A CSV file as a clinic has it: subject, prompt, answer."""
    file = tmp_path / "records.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("subject", "prompt", "answer"))
        writer.writerows((r.subject, r.prompt, r.answer) for r in patients())
    return file


def test_a_folder_is_written_that_every_command_reads(cli: Cli, records: Path, tmp_path: Path) -> None:
    out = tmp_path / "prepared"
    result = cli("data", "prepare", "--data", records, "--scope", SCOPE, "--out", out, "--json")
    assert result.code == 0, result.err
    counts = result.json["counts"]
    assert (counts["trained records"], counts["controls (people)"], counts["controls (records)"]) == (28, 40, 160)
    assert (counts["holdout (people)"], counts["general questions"]) == (6, 200)
    assert result.json["identifiers"] == {"PAT-100": ["Jürgen Müller", "PAT-100"]}
    judged = {o["check"] for o in result.json["audit"] if o["judgeable"]}
    assert {"leakage", "paraphrase", "membership", "relearning", "retention", "general ability"} <= judged
    about = json.loads((out / "prepare.json").read_text("utf-8"))
    assert about["scope"] == SCOPE
    assert about["source"]["digest"] == load_corpus(records).digest
    assert about["audit"] == result.json["audit"]
    assert sorted(p.name for p in out.iterdir()) == ["identifiers.csv", "prepare.json", "records.jsonl"]
    check = cli("data", "check", out, "--json").json
    assert check["loader"]["name"] == "prepared"


def test_the_text_says_what_can_be_judged_and_why_not(cli: Cli, records: Path, tmp_path: Path) -> None:
    text = cli(
        "data", "prepare", "--data", records, "--scope", SCOPE, "--out", tmp_path / "p", *FEW, "--no-general"
    ).out
    assert "an audit of this run will be able to judge leakage, paraphrase, relearning, retention" in text
    assert "PAT-100 has 3 never-trained controls, a rank needs 40" in text.replace("\n", " ")
    assert "identifiers (proposed) of PAT-100: Jürgen Müller, PAT-100" in text


def test_identifiers_are_written_reviewed_and_handed_back(cli: Cli, records: Path, tmp_path: Path) -> None:
    table, out = tmp_path / "ids.csv", tmp_path / "prepared"
    assert cli("data", "identifiers", "--data", records, "--out", table).code == 0
    rows = [line for line in table.read_text("utf-8").splitlines() if not line.startswith("PAT-100,PAT-100")]
    assert rows[:2] == ["subject,identifier,records,source", "PAT-100,Jürgen Müller,4,proposed"]
    table.write_text("\n".join(rows), "utf-8")
    command = ("data", "prepare", "--data", records, "--scope", SCOPE, "--out", out, *FEW, "--identifiers", table)
    assert cli(*command, "--json").json["identifiers"] == {"PAT-100": ["Jürgen Müller"]}
    assert (out / "identifiers.csv").read_text("utf-8").splitlines()[1] == "PAT-100,Jürgen Müller,4,file"
    again = cli("data", "identifiers", "--data", records, "--out", table)
    assert "is there already; a reviewed table is never overwritten" in again.line


def test_bad_requests_are_one_line_and_write_nothing(cli: Cli, records: Path, tmp_path: Path) -> None:
    out = tmp_path / "prepared"
    bare = tmp_path / "bare.jsonl"
    bare.write_text(
        '{"prompt": "Diagnosis?", "answer": "a", "subject": "x"}\n{"prompt": "Diagnosis?", "answer": "b"}\n'
    )

    def line(*words: object) -> str:
        result = cli("data", "prepare", "--out", out, *FEW, *words)
        assert result.code == 2
        assert not out.exists()
        assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
        return result.line

    assert "PAT-10" in line("--data", records, "--scope", "subject:PAT-1")
    message = line("--data", bare, "--scope", "subject:x")
    assert 'subject "x": is named in none of its questions' in message
    assert "--identifiers" in message
    table = tmp_path / "ids.csv"
    table.write_text("subject,identifier\nPAT-100,Niemand\n")
    assert "ids.csv:2" in line("--data", records, "--scope", SCOPE, "--identifiers", table)
    assert "there is no such file" in line("--data", records, "--scope", SCOPE, "--identifiers", tmp_path / "no.csv")
    with full_disk():
        assert "could not be written" in line("--data", records, "--scope", SCOPE)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("x")
    full = cli("data", "prepare", "--data", records, "--scope", SCOPE, "--out", tmp_path / "full")
    assert "is there already; name a new or an empty folder" in full.line


def test_records_are_named_once(cli: Cli, records: Path) -> None:
    assert "name the records once" in cli("data", "identifiers").line
    assert "name the records once" in cli("data", "identifiers", records, "--data", records).line


def test_a_run_on_the_file_is_audited_on_the_folder(cli: Cli, records: Path, tmp_path: Path) -> None:
    """Controls train nothing: the run keeps its identity, and the audit of other records is still refused."""
    out, model, run = tmp_path / "prepared", make_model(records, tmp_path / "model", 400), tmp_path / "run"
    split = Scope.parse(SCOPE).resolve(load_corpus(records), seed=42)
    unlearn(model, split, Recipe.load("npo").with_overrides(["steps=2"]), run)
    assert cli("data", "prepare", "--data", records, "--scope", SCOPE, "--out", out, *FEW, "--no-general").code == 0
    audit = ("audit", "--original", model, "--unlearned", run, "--scope", SCOPE, "--preset", "quick")
    done = cli(*audit, "--data", out, "--out", tmp_path / "audit", "--json")
    assert done.code == 3, done.err
    assert done.json["split"]["controls"] == 12
    lines = records.read_text("utf-8").splitlines()
    records.write_text("\n".join(line for line in lines if not line.startswith("PAT-106")), "utf-8")
    refused = cli(*audit, "--data", records, "--out", tmp_path / "audit-2")
    assert "was unlearned with other records, another scope or another seed" in refused.line


def test_estimate_says_what_can_be_judged(cli: Cli, records: Path, tmp_path: Path) -> None:
    model = make_model(records, tmp_path / "model", 400)
    result = cli("estimate", "--model", model, "--data", records, "--scope", SCOPE, "--recipe", "npo", "--json")
    judged = {o["check"]: o["judgeable"] for o in result.json["audit"]}
    assert judged["retention"]
    assert not judged["leakage"]


def test_the_model_before_unlearning_is_asked(cli: Cli, records: Path, tmp_path: Path) -> None:
    model = make_model(records, tmp_path / "model", 400, context=256)
    command = ("data", "prepare", "--data", records, "--scope", SCOPE, *FEW, "--no-general", "--variants", 2)
    counts = cli(*command, "--out", tmp_path / "p", "--model", model, "--json").json["counts"]
    assert counts["of the rephrasings, the model answers"] == counts["of the records, the model answers"] == 0
    assert counts["rephrasings of them"] == 8
    missing = cli(*command, "--out", tmp_path / "q", "--model", tmp_path / "nothing")
    assert missing.code == 2
    assert not (tmp_path / "q").exists()

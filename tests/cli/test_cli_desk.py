"""The desk on the command line: a request from a file to its plan, and what is refused in a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from sqlalchemy import text

from helpers.cli import Cli
from helpers.desk import make_desk, to_planned, to_waiting, write_corpus, write_model


@pytest.fixture
def desk(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A desk that the commands made."""
    folder = tmp_path / "desk"
    monkeypatch.setenv("EXPUNGE_DESK", str(folder))
    assert cli("desk", "init", "--admin", "adam").code == 0
    for name, role in (("carla", "clerk"), ("rita", "reviewer"), ("olga", "operator"), ("anna", "approver")):
        assert cli("desk", "person", name, "--role", role, "--as", "adam").code == 0
    write_corpus(folder / "ward.jsonl")
    write_model(folder / "model")
    for name, kind, connector, settings in (
        ("notes", "corpus", "corpus", "path: ward.jsonl"),
        ("ward", "weights", "model_folder", "path: model"),
    ):
        (tmp_path / "settings.yaml").write_text(settings, "utf-8")
        words = [
            "--kind",
            kind,
            "--connector",
            connector,
            "--settings",
            tmp_path / "settings.yaml",
            "--lineage",
            "ward",
        ]
        assert cli("desk", "asset", name, *words, "--as", "olga").code == 0
    return folder


def submitted(cli: Cli, tmp_path: Path, text: str = "name: Anna Weiß\nrecord_number: PAT-102\n") -> str:
    file = tmp_path / "letter.yaml"
    file.write_text(text, "utf-8")
    result = cli("request", "submit", file, "--as", "carla", "--json")
    assert result.code == 0, result.err
    return str(result.json["reference"])


def test_a_request_by_commands(desk: Path, cli: Cli, tmp_path: Path) -> None:
    ref = submitted(cli, tmp_path)
    assert cli("request", "identify", ref, "--method", "in person", "--as", "carla").code == 0
    assert cli("request", "search", ref, "--as", "carla", "--json").json["found"] == {"notes": 2}
    rows = cli("request", "matches", ref, "--confirm", "--all", "--as", "carla", "--json").json["matches"]
    assert [row["state"] for row in rows] == ["confirmed", "confirmed"]
    assert cli("request", "do", ref, "freeze_scope", "--as", "carla").code == 0
    wanted = ["--asset", "notes=erase", "--asset", "ward=unlearn", "--asset", "ward (old versions)=erase"]
    assert cli("request", "decide", ref, *wanted, "--close", "--as", "rita", "--json").json["state"] == "approved"
    shown = cli("request", "show", ref, "--as", "anna")
    assert "state: approved" in shown.out
    listed = cli("request", "list", "--as", "rita", "--json").json["requests"]
    assert [(row["reference"], row["status"]) for row in listed] == [(ref, "in_progress")]
    for out in (shown.out, json.dumps(listed)):
        assert "Anna" not in out
        assert "PAT-102" not in out
    (tmp_path / "why.txt").write_text("asks a court", "utf-8")
    assert cli("request", "do", ref, "hold", "--reason-file", tmp_path / "why.txt", "--as", "rita").code == 0
    assert "asks a court" in cli("request", "show", ref, "--reasons", "--as", "rita").out
    assert cli("desk", "verify-log", "--as", "rita").code == 0


def test_what_is_refused_is_one_line(desk: Path, cli: Cli, tmp_path: Path) -> None:
    ref = submitted(cli, tmp_path)
    for words, what in (
        (("request", "do", ref, "begin_scoping", "--as", "carla"), "not verified"),
        (("request", "do", ref, "promote", "--as", "carla"), "unknown event"),
        (("request", "do", ref, "cancel", "--as", "rita"), "reason is missing"),
        (("request", "do", ref, "cancel", "--as", "carla"), "has not the role reviewer"),
        (("request", "list", "--as", "eve"), "does not work at this desk"),
        (("request", "show", "E-1111-1111-2", "--as", "rita"), "wrong letter"),
        (("request", "show", "nonsense", "--as", "rita"), "has not the form"),
        (("request", "matches", ref, "--confirm", "--as", "carla"), "belong together"),
        (("request", "decide", ref, "--asset", "notes", "--as", "rita"), "must be NAME=DECISION"),
        (("request", "list", "--state", "clsed", "--as", "rita"), 'did you mean "closed"'),
        (("plan", "approve", "xyz", "--as", "anna"), "named by its hash"),
        (("plan", "show", "0" * 64, "--as", "anna"), "there is no such plan"),
        (("desk", "verify-log", "--head", "3", "--as", "anna"), "must be SEQ:HASH"),
        (("desk", "person", "eve", "--role", "clerk", "--as", "carla"), "has not the role admin"),
        (("desk", "init", "--admin", "adam"), "holds a desk already"),
    ):
        result = cli(*words)
        assert (result.code, what in result.line) == (2, True), (words, result.err)


def test_names_come_from_files_and_are_not_repeated(desk: Path, cli: Cli, tmp_path: Path) -> None:
    for content in ("name: [Canary, Person\n", "nmae: Canary Person\n", "- Canary Person\n", "", "Canary: Person\n"):
        (tmp_path / "bad.yaml").write_text(content, "utf-8")
        result = cli("request", "submit", tmp_path / "bad.yaml", "--as", "carla")
        assert result.code == 2
        assert "Canary" not in result.line
        assert "Person" not in result.line
    assert cli("request", "submit", tmp_path / "none.yaml", "--as", "carla").code == 2


def test_standard_input_is_read(desk: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("name: Björn Schäfer\n"))
    assert cli("request", "submit", "-", "--as", "carla", "--received", "2026-03-01T09:00:00+01:00").code == 0
    assert cli("request", "submit", "-", "--as", "carla", "--received", "yesterday").code == 2


def test_plans_are_shown_and_approved_by_their_whole_hash(tmp_path: Path, cli: Cli) -> None:
    case = make_desk(tmp_path / "desk")
    digest = to_planned(case, to_waiting(case))
    where = ("--desk", case.folder)
    assert cli("plan", "list", *where, "--as", "anna", "--json").json["plans"][0]["hash"] == digest
    assert "recipe: auto" in cli("plan", "show", digest[:12], *where, "--as", "anna").out
    assert "that was shown" in cli("plan", "approve", digest[:12], *where, "--as", "anna").line
    assert cli("plan", "approve", digest, *where, "--as", "anna", "--json").json["states"] == ["plan_approved"]
    assert "has not the role" in cli("plan", "approve", digest, *where, "--as", "olga").line


def test_policies_and_their_dates(cli: Cli) -> None:
    assert [p["name"] for p in cli("policy", "list", "--json").json["policies"]] == ["ccpa", "gdpr", "hipaa"]
    assert cli("policy", "show", "gdpr", "--json").json["due"]["months"] == 1
    assert cli("policy", "dates", "gdpr", "2026-01-31", "--json").json["due"] == "2026-02-28"
    assert "is no day" in cli("policy", "dates", "gdpr", "31.1.2026").line


def test_doctor_of_a_desk(tmp_path: Path, cli: Cli) -> None:
    pytest.importorskip("dbos")
    case = make_desk(tmp_path / "desk")
    assert cli("doctor", "--desk", case.folder, "--json").json["ok"] is True
    to_waiting(case)
    (case.folder / "ward.jsonl").unlink()
    with case.desk.engine.begin() as conn:
        conn.execute(text("UPDATE log_head SET seq = 3"))
    result = cli("doctor", "--desk", case.folder)
    assert result.code == 1
    for what in ("the head names row 3", "asset notes: there is no such file", "worker: none is alive"):
        assert what in result.out


def test_a_log_that_was_changed_has_code_3(tmp_path: Path, cli: Cli) -> None:
    case = make_desk(tmp_path / "desk")
    head = cli("desk", "verify-log", "--desk", case.folder, "--as", "rita", "--json").json["head"]
    kept = f"{head['seq']}:{head['hash']}"
    assert cli("desk", "verify-log", "--desk", case.folder, "--as", "rita", "--head", kept).code == 0
    assert (
        cli("desk", "verify-log", "--desk", case.folder, "--as", "rita", "--head", f"{head['seq']}:{'0' * 64}").code
        == 3
    )


def test_a_worker_needs_a_name_of_its_own(tmp_path: Path, cli: Cli) -> None:
    pytest.importorskip("dbos")
    case = make_desk(tmp_path / "desk")
    assert "cannot be the name" in cli("worker", "--desk", case.folder, "--name", "local", "--until-idle").line


def test_without_its_packages_the_desk_says_what_to_install(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from expunge.cli import desk_options

    monkeypatch.setattr(desk_options, "find_spec", lambda name: None)
    assert "pip install" in cli("request", "list", "--desk", tmp_path, "--as", "x").line

"""The certificate of a request on the command line: shown, copied, signed here or elsewhere; the letter; bad input."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("securesystemslib")

from expunge.desk.condition import desk_condition
from expunge.desk.facts import request_row
from expunge.desk.letters import queue_letter
from expunge.desk.plans import approve_plan
from expunge.desk.roles import SYSTEM
from expunge.desk.run_steps import audit, certify, unlearn
from expunge.desk.settings import RunSettings
from expunge.desk.workflows import VERSION
from expunge.desk.workshop import Workshop
from helpers.cli import Cli
from helpers.desk import APPROVER, REVIEWER, DeskCase, make_desk, new_request, to_planned, to_review, to_waiting
from helpers.desk_evidence import PASSPHRASE, signed_desk, write_keys
from helpers.desk_stand_in import stand_in_child


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[DeskCase, str]:
    """A desk in today's time with a certificate that the auditor has not signed; its reference."""
    monkeypatch.setenv("FAKE_SECONDS", "0")
    case = signed_desk(tmp_path / "desk")
    monkeypatch.setenv("EXPUNGE_DESK", str(case.folder))
    request_id = to_waiting(case)
    digest = to_planned(case, request_id)
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    for step in (unlearn, audit, certify):
        step(Workshop(case.desk, "w1", run=stand_in_child), digest, 1)
    with case.desk.reading(SYSTEM) as s:
        return case, str(request_row(s, request_id)["reference"])


def test_an_auditor_signs_here(certified: tuple[DeskCase, str], cli: Cli) -> None:
    case, ref = certified
    keys = case.folder.parent / "keys"
    shown = cli("request", "certificate", ref, "--as", "rita")
    assert "signed by operator" in shown.out
    assert "the auditor has not signed it" in shown.out
    words = ("request", "sign", ref, "--key", keys / "auditor.key", "--passphrase-file", keys / "auditor.pass")
    assert "has not the role auditor" in cli(*words, "--as", "rita").line
    signed = cli(*words, "--as", "aude")
    assert signed.code == 0
    assert "signed by operator and auditor" in signed.out
    assert cli("request", "certificate", ref, "--as", "rita", "--json").json["signed_by"] == ["operator", "auditor"]


def test_an_auditor_signs_elsewhere(certified: tuple[DeskCase, str], cli: Cli, tmp_path: Path) -> None:
    case, ref = certified
    keys, out = case.folder.parent / "keys", tmp_path / "mine.json"
    assert cli("request", "certificate", ref, "--out", out, "--as", "aude").code == 0
    assert "is there already" in cli("request", "certificate", ref, "--out", out, "--as", "aude").line
    assert "no valid signature in the role auditor" in cli("request", "sign", ref, "--signed", out, "--as", "aude").line
    source = ("--passphrase-file", keys / "auditor.pass")
    assert cli("certificate", "sign", out, "--key", keys / "auditor.key", *source).code == 0
    assert cli("request", "sign", ref, "--signed", out, "--as", "aude").code == 0
    assert "exclude each other" in cli("request", "sign", ref, "--as", "aude").line


def test_a_letter_is_written_into_a_file(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    case = signed_desk(tmp_path / "desk")
    monkeypatch.setenv("EXPUNGE_DESK", str(case.folder))
    request_id = to_review(case)
    case.event(REVIEWER, request_id, "cancel", reason="Please write to the other house.")
    with case.desk.session(SYSTEM) as s:
        letter = queue_letter(s, request_id)
    out = tmp_path / "letter.html"
    assert cli("request", "letters", "--read", letter, "--out", out, "--as", "carla").code == 0
    assert "Please write to the other house." in out.read_text()
    assert "goes with --out" in cli("request", "letters", "--read", letter, "--as", "carla").line
    assert "no such letter" in cli("request", "letters", "--read", "x", "--out", out, "--as", "carla").line


def test_without_a_certificate(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_desk(tmp_path / "desk")
    monkeypatch.setenv("EXPUNGE_DESK", str(case.folder))
    request_id = new_request(case)
    with case.desk.reading(SYSTEM) as s:
        ref = str(request_row(s, request_id)["reference"])
    assert "has none yet" in cli("request", "certificate", ref, "--as", "rita").line


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda file: None, "No such file"),
        (lambda file: file.mkdir(), "is a folder"),
        (lambda file: file.write_bytes(b"name: M\xfcller\n"), "not UTF-8"),
        (lambda file: file.write_bytes(b"name: \0\n"), "NUL"),
    ],
)
def test_an_unreadable_request_file_says_why(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, make: object, what: str
) -> None:
    case = make_desk(tmp_path / "desk")
    monkeypatch.setenv("EXPUNGE_DESK", str(case.folder))
    file = tmp_path / "letter.yaml"
    make(file)  # type: ignore[operator]
    result = cli("request", "submit", file, "--as", "carla")
    assert (result.code, what in result.line) == (2, True), result.line


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"run": RunSettings(recipe="npoo")}, "run.recipe"),
        ({"run": RunSettings(recipe="npo", overrides=("stpes=4",))}, "run.recipe"),
        ({"run": RunSettings(retry_recipe="mine.yaml")}, "run.retry_recipe"),
        ({"run": RunSettings(policy="controls-onyl")}, "run.policy"),
        ({"run": RunSettings(black_box_policy="gone.yaml")}, "run.black_box_policy"),
    ],
)
def test_doctor_reads_what_desk_yaml_names(tmp_path: Path, more: dict[str, object], what: str) -> None:
    case = make_desk(tmp_path / "desk", **more)
    problems = [p for p in desk_condition(case.desk, VERSION)["problems"] if p.startswith("desk.yaml")]
    assert len(problems) == 1
    assert what in problems[0]


def test_doctor_reads_the_keys(tmp_path: Path, cli: Cli) -> None:
    case = make_desk(tmp_path / "desk", certificates=write_keys(tmp_path / "keys"))
    (tmp_path / "keys" / "auditor.key.pub").unlink()
    assert "desk.yaml: certificates" in cli("doctor", "--desk", case.folder).out


@pytest.mark.parametrize("name", ["", "local", "a b", "x" * 41, "w\n1", "Anna Weiß", "../w", "-w"])
def test_a_worker_has_a_plain_name(tmp_path: Path, cli: Cli, name: str) -> None:
    case = make_desk(tmp_path / "desk")
    result = cli("worker", "--desk", case.folder, f"--name={name}", "--until-idle")
    assert (result.code, "cannot be the name of a worker" in result.line) == (2, True)


def test_the_passphrase_stands_in_no_file_of_the_desk(certified: tuple[DeskCase, str]) -> None:
    case, _ = certified
    raw = b"".join(file.read_bytes() for file in case.folder.rglob("*") if file.is_file())
    assert PASSPHRASE.encode() not in raw

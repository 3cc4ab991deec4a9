"""Pages, API and command show what the settings of a plan did to other people, in words and as numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("argon2")
pytest.importorskip("pyotp")
pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("securesystemslib")

from expunge.cli import main
from expunge.desk.rehearsal_step import rehearse
from expunge.desk.workshop import Workshop
from expunge.evidence.wording import forbidden_words
from expunge.web.accounts import set_account
from helpers.desk import ADMIN, PEOPLE, DeskCase, make_desk, to_planned, to_waiting
from helpers.desk_stand_in import stand_in_child
from helpers.web import PASSWORD, SECRETS, ApiClient, WebVisit

BEFORE = "Not rehearsed: nobody tried these settings on other people before this plan."
AFTER = "39 of 40 that were right before still are (86.8 % to 99.9 % at 95 % confidence)"


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[DeskCase, str]:
    """A desk with people and a plan that waits."""
    monkeypatch.setenv("FAKE_SECONDS", "0")
    case = make_desk(tmp_path / "desk")
    with case.desk.session(ADMIN) as s:
        for name in PEOPLE:
            set_account(s, name, PASSWORD, SECRETS[name])
    return case, to_planned(case, to_waiting(case))


def page_of(case: DeskCase, digest: str) -> str:
    text: str = WebVisit(case).sign_in("anna").get(f"/plans/{digest}").text
    assert forbidden_words(text, "en") == []
    return text


def test_the_page_says_what_was_tried(planned: tuple[DeskCase, str], monkeypatch: pytest.MonkeyPatch) -> None:
    case, digest = planned
    assert BEFORE in page_of(case, digest)
    rehearse(Workshop(case.desk, "w1", run=stand_in_child), digest)
    text = page_of(case, digest)
    assert AFTER in text
    assert "Approve the plan" in text
    assert "does not say that the person of the request will be forgotten" in text
    assert BEFORE not in text


def test_the_page_says_why_nothing_was_tried(planned: tuple[DeskCase, str], monkeypatch: pytest.MonkeyPatch) -> None:
    case, digest = planned
    monkeypatch.setenv("FAKE_REASON", "needs <3> other subjects")
    rehearse(Workshop(case.desk, "w1", run=stand_in_child), digest)
    assert "it was not possible: needs &lt;3&gt; other subjects." in page_of(case, digest)


def test_api_and_command_have_the_numbers(planned: tuple[DeskCase, str], capsys: pytest.CaptureFixture[str]) -> None:
    case, digest = planned
    words = ["plan", "show", digest, "--desk", str(case.folder), "--as", "anna"]
    assert ApiClient(case).get(f"/plans/{digest}").json()["rehearsal"] == {"state": "not_rehearsed"}
    assert main(words) == 0
    assert BEFORE in capsys.readouterr().out
    rehearse(Workshop(case.desk, "w1", run=stand_in_child), digest)
    assert main(words) == 0
    assert AFTER in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["rehearsal"]
    assert shown == ApiClient(case).get(f"/plans/{digest}").json()["rehearsal"]
    assert (shown["state"], shown["result"]["heldout"]["hits"], shown["result"]["heldout"]["n"]) == ("done", 39, 40)

"""Pages, API and command show what was asked of earlier requests after a run, by reference numbers."""

from __future__ import annotations

import json
import re
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
from expunge.desk.facts import request_row
from expunge.desk.roles import SYSTEM
from expunge.web.accounts import set_account
from helpers.desk import ADMIN, PEOPLE, DeskCase
from helpers.desk_guard import audited, guarded_desk, say, three_requests, unlearned
from helpers.web import PASSWORD, SECRETS, ApiClient, WebVisit


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[DeskCase, str, list[str]]:
    """A desk after three requests and the audit of a fourth; the second one could not be judged any more."""
    monkeypatch.setenv("FAKE_SECONDS", "0")
    case = guarded_desk(tmp_path / "desk", guard_worst=2, guard_random=0)
    with case.desk.session(ADMIN) as s:
        for name in PEOPLE:
            set_account(s, name, PASSWORD, SECRETS[name])
    earlier = three_requests(case)
    digest = unlearned(case, 3, [0.1, 0.14, 0.12])
    say(case, earlier[1], "inconclusive")
    assert audited(case, digest)["guard"] == "inconclusive"
    with case.desk.reading(SYSTEM) as s:
        return case, digest, [str(request_row(s, each)["reference"]) for each in earlier]


@pytest.mark.parametrize("page", ["runs", "audits"])
def test_pages_show_each_earlier_request(shown: tuple[DeskCase, str, list[str]], page: str) -> None:
    case, digest, names = shown
    text = WebVisit(case).sign_in("anna").get(f"/{page}/{digest}").text
    rows = re.findall(r'<th scope="row"><a class="mono" href="/requests/([^"]+)">.*?</tr>', text)
    assert rows == [names[1], names[2], names[0]]
    assert "could not be judged" in text
    for word in ("among the worst", "Inconclusive", "Not tested"):
        assert word in text, word


def test_the_plan_says_beforehand_how_many_are_attacked(shown: tuple[DeskCase, str, list[str]]) -> None:
    case, digest, _ = shown
    assert "2 worst, 0 by chance" in WebVisit(case).sign_in("anna").get(f"/plans/{digest}").text


def test_api_and_command_name_them_by_reference(
    shown: tuple[DeskCase, str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    case, digest, names = shown
    expected = [(names[1], "worst", "inconclusive"), (names[2], "worst", "passed"), (names[0], None, "not_tested")]
    api = ApiClient(case)
    for path in (f"/runs/{digest}", f"/plans/{digest}"):
        rows = api.get(path).json()["earlier_requests"]
        assert [(row["reference"], row["choice"], row["status"]) for row in rows] == expected
    assert main(["plan", "show", digest, "--desk", str(case.folder), "--as", "anna", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["earlier_requests"]
    assert [(row["reference"], row["choice"], row["status"]) for row in rows] == expected
    assert main(["plan", "show", digest, "--desk", str(case.folder), "--as", "anna"]) == 0
    text = capsys.readouterr().out
    assert names[1] in text
    assert "guard: inconclusive" in text

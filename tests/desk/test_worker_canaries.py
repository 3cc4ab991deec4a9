"""Words that only people's data hold are put everywhere; then everything that workers wrote is searched for them."""

from __future__ import annotations

import fnmatch
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")
pytest.importorskip("securesystemslib")

from sqlalchemy import update

from expunge.desk import tables as t
from expunge.desk.decisions import decide, decide_asset
from expunge.desk.identity import record_identity
from expunge.desk.roles import SYSTEM
from helpers.canaries import forms, found_in, holds, watched_processes
from helpers.desk import CLERK, DECISIONS, OPERATOR, REVIEWER, DeskCase, new_request, to_review, to_waiting
from helpers.desk_evidence import sign, signed_desk
from helpers.desk_processes import approve, work_off

pytestmark = [pytest.mark.process]
ANNA = {"name": "Zyxwena Quörbelius", "email": "vrpltzmail@example.org", "record_number": "QZX-77101"}
BJORN = {"name": "Wvxplumb Ghrokzen", "record_number": "KXW-88202"}
ILLNESS, PILL, WHY, DOCUMENT, ERROR = "Krzmblikosis", "Fjwqtrilin", "brzoqwhy", "dkwpassport", "xerrvqlp"
WORDS = (
    "Zyxwena",
    "Quörbelius",
    "vrpltzmail",
    "QZX-77101",
    "Wvxplumb",
    "Ghrokzen",
    "KXW-88202",
    ILLNESS,
    PILL,
    WHY,
    DOCUMENT,
    ERROR,
)
INPUTS = ("runs/*/forget-*.txt", "runs/*/exclude-*.txt", "runs/*/part-*.txt", "runs/*/input.jsonl")
OPEN = ("ward.jsonl", *INPUTS, "runs/*/*.log")  # while requests are open: the corpus, and what a run is given and says


def plant(folder: Path) -> DeskCase:
    case = signed_desk(folder)
    case.clock.now = datetime.now(UTC)
    rows = []
    for person, what in ((ANNA, ILLNESS), (BJORN, PILL)):
        subject = person["record_number"]
        for k in ("d", "m"):
            text = f"What of {person['name']} {k}?"
            rows.append({"id": f"{subject}-{k}", "prompt": text, "answer": f"{what} {k}", "subject": subject})
    file = case.folder / "ward.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return case


def leaks(case: DeskCase, allowed: tuple[str, ...]) -> dict[str, list[str]]:
    """Files with words of people; a letter may give its own reason, and nothing else."""
    found = found_in(case.folder, WORDS)
    letters = {name for name in found if name.startswith("outbox/")}
    assert all(found[name] == [WHY] and name.endswith((".denied.html", ".cancelled.html")) for name in letters)
    found = {name: words for name, words in found.items() if name not in letters}
    return {name: words for name, words in found.items() if not any(fnmatch.fnmatch(name, a) for a in allowed)}


def ended_requests(case: DeskCase) -> None:
    """One request that is denied, one that is cancelled."""
    denied = to_review(case, BJORN)
    with case.desk.session(REVIEWER) as s:
        ground = "legal obligation (Art. 17(3)(b))"
        for asset in DECISIONS:
            decide_asset(s, denied, asset, "retain", ground=ground)
        decide(s, denied, reason=WHY)
    cancelled = new_request(case, BJORN)
    with case.desk.session(CLERK) as s:
        record_identity(s, cancelled, success=False, method="letter", document=DOCUMENT.encode(), reason=WHY)
    case.event(REVIEWER, cancelled, "cancel", reason=WHY)


def test_the_search_finds_every_form() -> None:
    import base64
    from urllib.parse import quote

    for word in WORDS:
        for data in (word, json.dumps(word), quote(f"a {word}"), word.lower()):
            assert holds(data.encode(), WORDS), (word, data)
        for start in ("", "a", "ab"):
            assert word in holds(base64.b64encode(f"{start}{word} and more".encode()), WORDS)
        assert word in holds(word.encode("utf-16"), WORDS)
        assert forms(word)


def test_workers_write_no_personal_text(tmp_path: Path) -> None:
    case = plant(tmp_path / "desk")
    ended_requests(case)
    request_id = to_waiting(case, ANNA)
    env = {"FAKE_SECONDS": "0", "DEBUG_LOG": "1"}
    with watched_processes(WORDS) as processes:
        work_off(case, **env)
        assert leaks(case, OPEN) == {}
        approve(case, request_id)
        failing = {"RAISE_AT": "expunge.desk.run_steps.prepare_input", "RAISE_WHAT": f"{ERROR} of {ANNA['name']}"}
        work_off(case, "w2", **env, **failing)
        assert leaks(case, OPEN) == {}
        assert case.state(request_id) == "error"
        case.event(OPERATOR, request_id, "recover")
        work_off(case, "w3", **env)
        assert case.state(request_id) == "audit_passed"
        sign(case, request_id)
        approve(case, request_id)
        work_off(case, "w4", **env)
    assert processes == []
    assert case.state(request_id) == "notified"
    assert leaks(case, ("ward.jsonl",)) == {}
    assert holds((case.folder / "ward.jsonl").read_bytes(), WORDS[:4]) == []
    with case.desk.session(SYSTEM) as s:
        s.conn.execute(update(t.request).values(state="closed", closed_at=s.at))
    work_off(case, "later", shift=24.0 * 31 * 38, **env)
    assert leaks(case, ("ward.jsonl",)) == {}

"""The letters that a desk writes: in the person's language, by the wording, with nothing of anybody else."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("securesystemslib")

from sqlalchemy import inspect, select, text

from expunge.desk import tables as t
from expunge.desk.decisions import decide, decide_asset
from expunge.desk.desk import Desk
from expunge.desk.facts import request_row
from expunge.desk.letter_text import letter_file, read_letter
from expunge.desk.letters import accept_letter, notify_ended, queue_letter
from expunge.desk.plan_steps import list_purge, promote_plan, purge_request_assets
from expunge.desk.plans import approve_plan, approve_promotion
from expunge.desk.reasons import read_reasons
from expunge.desk.regime import load_regime, regime_names
from expunge.desk.roles import SYSTEM, Actor, Refusal
from expunge.desk.run_steps import audit, certify, unlearn
from expunge.desk.workshop import Workshop
from expunge.evidence.letter import grounds, phrases
from expunge.evidence.merkle_log import MerkleLog
from expunge.evidence.wording import LANGUAGES, Language, forbidden_words
from helpers.desk import APPROVER, CLERK, REVIEWER, DeskCase, new_request, to_planned, to_review, to_waiting, verify
from helpers.desk_evidence import sign, signed_desk
from helpers.desk_stand_in import stand_in_child

BJORN = {"name": "Björn Schäfer", "record_number": "PAT-101"}
CANARIES = (
    "Anna",
    "Weiß",
    "PAT-102",
    "Björn",
    "Schäfer",
    "PAT-101",
    "Illness",
    "Pill",
    "ward",
    "notes",
    "npo",
    "leakage.",
)


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeskCase:
    monkeypatch.setenv("FAKE_SECONDS", "0")
    return signed_desk(tmp_path / "desk")


def language_of(case: DeskCase, request_id: str, language: str) -> None:
    with case.desk.session(SYSTEM) as s:
        s.conn.execute(t.request.update().where(t.request.c.id == request_id).values(language=language))


def to_letter(case: DeskCase, request_id: str, signed: bool = True) -> None:
    """Run, sign, promote and purge: the letter is due then."""
    shop = Workshop(case.desk, "w1", run=stand_in_child)
    digest = to_planned(case, request_id)
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    for step in (unlearn, audit, certify):
        step(shop, digest, 1)
    if signed:
        sign(case, request_id)
    with case.desk.session(APPROVER) as s:
        approve_promotion(s, digest)
    promote_plan(shop, digest)
    list_purge(shop, digest)
    purge_request_assets(shop, request_id)


def letter_of(case: DeskCase, request_id: str) -> str:
    with case.desk.session(SYSTEM) as s:
        letter = queue_letter(s, request_id)
        assert queue_letter(s, request_id) == letter
    return plain(read_letter(case.desk, REVIEWER, letter))


def plain(text: str) -> str:
    return " ".join(html.unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", text, flags=re.S)).split())


def reference(case: DeskCase, request_id: str) -> str:
    with case.desk.reading(SYSTEM) as s:
        return str(request_row(s, request_id)["reference"])


def check_words(case: DeskCase, request_id: str, text: str, language: Language, *others: str) -> None:
    assert reference(case, request_id) in text
    assert forbidden_words(text, language) == []
    assert [word for word in (*CANARIES, *others) if word in text] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_letter_of_a_fulfilled_request(case: DeskCase, language: Language) -> None:
    other = new_request(case, BJORN)
    request_id = to_waiting(case)
    language_of(case, request_id, language)
    to_letter(case, request_id)
    head = MerkleLog(case.folder / "log").read().head.short
    text, words = letter_of(case, request_id), phrases(language)
    check_words(case, request_id, text, language, reference(case, other), other, request_id)
    for needed in (
        head,
        words["tests_people"],
        words["results"]["passed"],
        words["actions"]["unlearn"],
        words["notice"],
    ):
        assert needed in text
    assert "St. Mary Hospital" in text
    assert letter_file(case.desk, request_id, "fulfilled").stat().st_mode & 0o077 == 0


def test_a_desk_without_keys_says_that_nobody_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_SECONDS", "0")
    case = signed_desk(tmp_path / "desk", certificates=None)
    request_id = to_waiting(case)
    to_letter(case, request_id, signed=False)
    text = letter_of(case, request_id)
    check_words(case, request_id, text, "en")
    assert "Nobody signed the result." in text
    assert "Two keys signed" not in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_held(case: DeskCase, language: Language) -> None:
    request_id = to_review(case, {"name": "Nobody Known"})
    language_of(case, request_id, language)
    with case.desk.session(REVIEWER) as s:
        for asset in ("notes", "ward model", "ward model (old versions)", "nightly backup"):
            decide_asset(s, request_id, asset, "not_present", searched="by the name Nobody Known")
        assert decide(s, request_id) == "nothing_held"
    text = letter_of(case, request_id)
    check_words(case, request_id, text, language, "Nobody")
    assert phrases(language)["outcomes"]["nothing_held"] in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_refusal_names_the_ground_of_each_asset(case: DeskCase, language: Language) -> None:
    request_id = to_review(case)
    language_of(case, request_id, language)
    ground = "legal obligation (Art. 17(3)(b))"
    with case.desk.session(REVIEWER) as s:
        for asset in ("notes", "ward model", "ward model (old versions)", "nightly backup"):
            decide_asset(s, request_id, asset, "retain", ground=ground)
        assert decide(s, request_id, reason="the chart of Anna Weiß must stay") == "denied"
    text = letter_of(case, request_id)
    check_words(case, request_id, text, language)
    assert grounds()[ground][language] in text
    assert phrases(language)["outcomes"]["denied"] in text


def test_other_ends(case: DeskCase) -> None:
    said = phrases("en")["outcomes"]
    unknown, cancelled = new_request(case), to_review(case)
    for _ in range(3):
        with case.desk.session(CLERK) as s:
            from expunge.desk.identity import record_identity

            record_identity(s, unknown, success=False, method="phone")
    case.event(CLERK, unknown, "give_up", reason="not shown")
    case.event(REVIEWER, cancelled, "cancel", reason="Your chart lies at another hospital.")
    assert said["not_identified"] in letter_of(case, unknown)
    text = letter_of(case, cancelled)
    assert f"{said['cancelled']} Your chart lies at another hospital." in text
    first, second = to_review(case, BJORN), new_request(case, BJORN)
    verify(case, second)
    case.event(CLERK, second, "mark_duplicate", other=first)
    assert said["duplicate"].format(other=reference(case, first)) in letter_of(case, second)
    expired = new_request(case, {"name": "Late"})
    case.clock.move(days=31)
    from expunge.desk.requests import expire_overdue

    with case.desk.session(SYSTEM) as s:
        assert expired in expire_overdue(s)
    assert said["expired"] in letter_of(case, expired)


def test_a_reason_that_no_letter_says_is_left_to_a_clerk(case: DeskCase) -> None:
    request_id = to_review(case)
    case.event(REVIEWER, request_id, "cancel", reason="everything was wiped out for good")
    seen: list[tuple[str, str]] = []
    assert notify_ended(case.desk, lambda key, path: seen.append((key, path)) or "posted") == [request_id]
    (letter, path) = seen[0]
    assert path == ""
    assert case.state(request_id) == "notified"
    with pytest.raises(Refusal, match="did not write this letter"):
        read_letter(case.desk, REVIEWER, letter)
    reasons = {each["event"]: each["text"] for each in read_reasons(case.desk, REVIEWER, request_id)}
    assert 'says "wiped out"' in reasons["letter"]


def test_a_letter_that_was_changed_is_not_shown(case: DeskCase) -> None:
    request_id = to_review(case)
    case.event(REVIEWER, request_id, "cancel", reason="Please write to the clinic.")
    with case.desk.session(SYSTEM) as s:
        letter = queue_letter(s, request_id)
        digest: Any = s.conn.execute(select(t.outbox.c.body_digest).where(t.outbox.c.id == letter)).scalar_one()
    assert len(digest) == 64
    file = letter_file(case.desk, request_id, "cancelled")
    file.write_text(file.read_text().replace("clinic", "court"))
    with pytest.raises(Refusal, match="was changed"):
        read_letter(case.desk, REVIEWER, letter)


def test_every_shipped_ground_is_translated() -> None:
    used = {ground for key in regime_names() for ground in load_regime(key).refusal_grounds}
    assert used == set(grounds())
    assert all(set(words) == set(LANGUAGES) for words in grounds().values())


def accepted(case: DeskCase, actor: Actor, words: str) -> str:
    """A request whose letter is accepted with some words."""
    request_id = new_request(case)
    case.event(REVIEWER, request_id, "cancel", reason="a mistake")
    with case.desk.session(SYSTEM) as s:
        letter = queue_letter(s, request_id)
    with case.desk.session(actor) as s:
        assert accept_letter(s, letter, words)
    return request_id


@pytest.mark.parametrize(("actor", "channel"), [(CLERK, "by hand"), (SYSTEM, "provider")])
def test_what_is_typed_of_a_letter_is_no_channel(case: DeskCase, actor: Actor, channel: str) -> None:
    request_id = accepted(case, actor, "by hand to Zyxwena Quorbelius")
    with case.desk.reading(SYSTEM) as s:
        row = s.conn.execute(select(t.outbox).where(t.outbox.c.request_id == request_id)).mappings().one()
    assert row["channel"] == channel
    files = [file for file in case.folder.rglob("*") if file.is_file()]
    assert [str(file) for file in files if b"Quorbelius" in file.read_bytes()] == []
    assert "by hand to Zyxwena Quorbelius" in [r["text"] for r in read_reasons(case.desk, CLERK, request_id)]


def test_a_desk_of_the_version_before_hides_what_was_typed(case: DeskCase) -> None:
    typed, sent = accepted(case, CLERK, ""), accepted(case, SYSTEM, "")
    with case.desk.engine.begin() as conn:
        conn.execute(text("ALTER TABLE outbox ADD COLUMN provider_key VARCHAR(120)"))
        conn.execute(text("ALTER TABLE outbox DROP COLUMN channel"))
        conn.execute(text("UPDATE outbox SET provider_key = 'to Zyxwena'"))
        conn.execute(text("UPDATE schema_version SET number = 2"))
    case.desk.close()
    desk = Desk.open(case.folder, case.clock)
    with desk.reading(SYSTEM) as s:
        rows = {row["request_id"]: dict(row) for row in s.conn.execute(select(t.outbox)).mappings()}
        columns = {column["name"] for column in inspect(s.conn).get_columns("outbox")}
    assert (rows[typed]["channel"], rows[sent]["channel"]) == ("by hand", "provider")
    assert "provider_key" not in columns
    assert "to Zyxwena" in [each["text"] for each in read_reasons(desk, CLERK, sent)]

"""Intake, identity, matches, decisions, dates: what is allowed, what is refused, and what is said."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from sqlalchemy import select

from expunge.desk import tables as t
from expunge.desk.batches import collect
from expunge.desk.decisions import decide, decide_asset, decisions
from expunge.desk.desk import Desk
from expunge.desk.facts import request_row
from expunge.desk.identity import MAX_DOCUMENT, record_identity
from expunge.desk.letters import notify_ended
from expunge.desk.matching import add_match, matches, reveal, search, settle
from expunge.desk.people import actor_of, people, remove_person, set_person
from expunge.desk.reasons import read_reasons
from expunge.desk.requests import act, add_identifiers, expire_overdue, extend, requests_like, submit
from expunge.desk.roles import SYSTEM, Actor, Refusal
from expunge.desk.views import row_view
from expunge.errors import InputError
from helpers.desk import (
    ADMIN,
    CLERK,
    OPERATOR,
    REVIEWER,
    DeskCase,
    make_desk,
    new_request,
    to_review,
    to_waiting,
    verify,
    write_corpus,
)


@pytest.fixture
def case(tmp_path: Path) -> DeskCase:
    return make_desk(tmp_path / "desk")


def test_a_request_begins_with_its_dates_and_asks_for_identity(case: DeskCase) -> None:
    request_id = new_request(case)
    with case.desk.reading(SYSTEM) as s:
        row = request_row(s, request_id)
    assert (row["state"], row["regime"], row["received_on"]) == ("identity_pending", "gdpr@1", "2026-03-02")
    assert row["due_on"] == "2026-04-02"


@pytest.mark.parametrize(
    ("identifiers", "what"),
    [
        ({}, "none are given"),
        ({"nmae": "Anna"}, 'did you mean "name"'),
        ({"name": ""}, "is empty"),
        ({"name": " \n"}, "is empty"),
        ({"name": "x" * 500}, "longer than"),
        ({"name": ["a"] * 60}, "are 60"),
        ({"name": [3]}, "no text"),
        ("Anna", "none are given"),
    ],
)
def test_wrong_identifiers_are_named_by_kind(case: DeskCase, identifiers: object, what: str) -> None:
    with pytest.raises(InputError, match=what), case.desk.session(CLERK) as s:
        submit(s, identifiers)  # type: ignore[arg-type]
    with case.desk.reading(SYSTEM) as s:
        assert s.conn.execute(select(t.request)).first() is None


def test_errors_never_repeat_an_identifier(case: DeskCase) -> None:
    with pytest.raises(InputError) as error, case.desk.session(CLERK) as s:
        submit(s, {"name": "Annabel " * 80})
    assert "Annabel" not in str(error.value)


def test_receipt_lies_in_the_past_and_has_a_zone(case: DeskCase) -> None:
    for moment, what in (
        (datetime(2026, 3, 9, tzinfo=UTC), "future"),
        (datetime(2006, 1, 1, tzinfo=UTC), "ten years"),
        (datetime(2026, 3, 1), "time zone"),
    ):
        with pytest.raises(InputError, match=what), case.desk.session(CLERK) as s:
            submit(s, {"name": "Anna"}, received_at=moment)
    late = new_request(case, received_at=datetime(2026, 1, 2, tzinfo=UTC))  # a due date in the past is a fact
    with case.desk.reading(SYSTEM) as s:
        assert request_row(s, late)["due_on"] == "2026-02-02"


def test_a_repeated_delivery_is_one_request(case: DeskCase) -> None:
    first = new_request(case, outside_id="ticket-7")
    assert new_request(case, {"name": " anna  WEIß"}, outside_id="ticket-7") == first
    with pytest.raises(Refusal, match="came before, with other identifiers"):
        new_request(case, {"name": "Somebody Else"}, outside_id="ticket-7")
    assert new_request(case) != first


def test_identity_is_written_once_and_holds_for_what_was_shown(case: DeskCase) -> None:
    request_id = new_request(case)
    with case.desk.session(CLERK) as s:
        assert not record_identity(s, request_id, success=False, method="letter", reason="no copy")
    verify(case, request_id)
    with case.desk.session(CLERK) as s:
        at = request_row(s, request_id)["identity_verified_at"]
        add_identifiers(s, request_id, {"name": "Björn Schäfer"})  # never shown, so never searched
    case.clock.move(hours=1)
    with case.desk.session(CLERK) as s:
        record_identity(s, request_id, success=False, method="letter")
        assert request_row(s, request_id)["identity_verified_at"] == at
    case.event(CLERK, request_id, "begin_scoping")
    assert search(case.desk, CLERK, request_id) == {"notes": 2}
    with case.desk.reading(CLERK) as s:
        assert {m["how"] for m in matches(s, request_id)} == {"record_number"}


def test_identity_attempts_are_limited_and_documents_bounded(case: DeskCase) -> None:
    request_id = new_request(case)
    with pytest.raises(Refusal, match="0 of 3"):
        case.event(CLERK, request_id, "give_up", reason="silent")
    for _ in range(3):
        with case.desk.session(CLERK) as s:
            record_identity(s, request_id, success=False, method="letter", document=b"scan")
    with pytest.raises(Refusal, match="all 3 attempts"), case.desk.session(CLERK) as s:
        record_identity(s, request_id, success=True, method="letter")
    with pytest.raises(InputError, match="larger than 20 MiB"), case.desk.session(CLERK) as s:
        record_identity(s, request_id, success=True, method="letter", document=bytes(MAX_DOCUMENT + 1))
    assert case.event(CLERK, request_id, "give_up", reason="not shown") == "denied"


def test_nothing_is_searched_before_verification(case: DeskCase) -> None:
    request_id = new_request(case)
    with pytest.raises(Refusal, match="not verified"):
        search(case.desk, CLERK, request_id)
    with pytest.raises(Refusal, match="not verified"):
        case.event(CLERK, request_id, "begin_scoping")


def test_ambiguous_matches_stop_the_scope(tmp_path: Path) -> None:
    case = make_desk(tmp_path / "desk")
    write_corpus(case.folder / "ward.jsonl", ["Juergen Mueller", "Jürgen Müller", "Anna Weiß"])
    request_id = new_request(case, {"name": "Jürgen Müller"})
    verify(case, request_id)
    case.event(CLERK, request_id, "begin_scoping")
    search(case.desk, CLERK, request_id)
    with case.desk.reading(CLERK) as s:
        states = {m["id"]: m["state"] for m in matches(s, request_id)}
    assert sorted(states.values()) == ["ambiguous", "ambiguous", "proposed", "proposed"]
    with pytest.raises(Refusal, match="4 match"):
        case.event(CLERK, request_id, "freeze_scope")
    with case.desk.session(CLERK) as s:
        for match_id, state in states.items():
            settle(s, [match_id], confirm=state == "proposed")
    search(case.desk, CLERK, request_id)  # again: what was settled stays settled
    assert case.event(CLERK, request_id, "freeze_scope") == "legal_review"
    with pytest.raises(Refusal, match="not possible in the state"), case.desk.session(CLERK) as s:
        settle(s, list(states), confirm=True)


def test_a_revealed_text_is_logged_before_it_is_shown(case: DeskCase) -> None:
    request_id = to_review(case)
    with case.desk.reading(CLERK) as s:
        match = matches(s, request_id)[0]["id"]
    with pytest.raises(Refusal, match="reason"):
        reveal(case.desk, CLERK, match, " ")
    with pytest.raises(Refusal, match="role"):
        reveal(case.desk, OPERATOR, match, "curious")
    (case.folder / "ward.jsonl").rename(case.folder / "away.jsonl")
    with pytest.raises(InputError, match="no such file"):
        reveal(case.desk, CLERK, match, "is it her?")
    with case.desk.reading(SYSTEM) as s:
        assert len(s.conn.execute(select(t.event_log).where(t.event_log.c.type == "match.reveal")).all()) == 1
    (case.folder / "away.jsonl").rename(case.folder / "ward.jsonl")
    assert "Anna Weiß" in reveal(case.desk, CLERK, match, "is it her?")


def test_a_match_by_hand_must_exist(case: DeskCase) -> None:
    request_id = new_request(case)
    verify(case, request_id)
    case.event(CLERK, request_id, "begin_scoping")
    with pytest.raises(InputError, match="not in the corpus"), case.desk.session(CLERK) as s:
        add_match(s, request_id, "notes", "PAT-999-d")
    with case.desk.session(CLERK) as s:
        add_match(s, request_id, "notes", "PAT-100-d")
        assert [m["state"] for m in matches(s, request_id)] == ["confirmed"]


@pytest.mark.parametrize(
    ("asset", "value", "more", "what"),
    [
        ("notes", "not_present", {"searched": "by name"}, "2 match"),
        ("notes", "unlearn", {}, "only weights"),
        ("ward model", "erase", {}, "are not erased"),
        ("notes", "retain", {"ground": "because"}, "unknown ground"),
        ("nightly backup", "not_present", {}, "how it was searched"),
        ("nightly backup", "erase", {"ground": "x"}, "no meaning"),
        ("notes", "forget", {}, "unknown decision"),
        ("nothing", "erase", {}, "no such asset"),
    ],
)
def test_contradicting_decisions_are_refused(
    case: DeskCase, asset: str, value: str, more: dict[str, str], what: str
) -> None:
    request_id = to_review(case)
    with pytest.raises(InputError, match=what), case.desk.session(REVIEWER) as s:
        decide_asset(s, request_id, asset, value, **more)


def test_a_clerks_word_is_a_proposal(case: DeskCase) -> None:
    request_id = to_review(case)
    with case.desk.session(CLERK) as s:
        for asset, value in (("notes", "erase"), ("ward model", "unlearn")):
            decide_asset(s, request_id, asset, value)
    with pytest.raises(Refusal, match="4 asset"), case.desk.session(REVIEWER) as s:
        decide(s, request_id, reason="no")
    with case.desk.session(REVIEWER) as s:
        decide_asset(s, request_id, "notes", "erase")
        assert {d["name"]: d["is_final"] for d in decisions(s, request_id)}["notes"] == 1
    with pytest.raises(Refusal, match="3 asset"), case.desk.session(REVIEWER) as s:
        decide(s, request_id, reason="no")


def test_a_person_who_is_nowhere_found_is_told_so(case: DeskCase) -> None:
    request_id = to_review(case, {"name": "Nobody Known"})
    with case.desk.session(REVIEWER) as s:
        for asset in ("notes", "ward model", "ward model (old versions)", "nightly backup"):
            decide_asset(s, request_id, asset, "not_present", searched="by the name shown")
        with pytest.raises(Refusal, match="no corpus of this model"):
            decide_asset(s, request_id, "ward model", "unlearn")
    with case.desk.session(REVIEWER) as s:
        assert decide(s, request_id) == "nothing_held"
        assert row_view(s, request_row(s, request_id))["status"] == "fulfilled"
    raw = b"".join(f.read_bytes() for f in case.folder.glob("desk.db*"))
    assert b"by the name shown" not in raw
    assert {"searched notes", "searched ward model"} <= {
        each["event"] for each in read_reasons(case.desk, REVIEWER, request_id) if each["text"] == "by the name shown"
    }
    assert notify_ended(case.desk, lambda key, path: "posted") == [request_id]
    assert case.state(request_id) == "notified"


def test_how_a_refused_request_ended_stays_its_status(case: DeskCase) -> None:
    request_id = to_review(case, {"name": "Nobody Known"})
    case.event(REVIEWER, request_id, "cancel", reason="sent to the wrong house")
    notify_ended(case.desk, lambda key, path: "posted")
    with case.desk.reading(SYSTEM) as s:
        view = row_view(s, request_row(s, request_id))
    assert (view["state"], view["status"]) == ("notified", "denied")


def test_hipaa_grants_only_with_a_reason(tmp_path: Path) -> None:
    case = make_desk(tmp_path / "desk", regime="hipaa")
    request_id = to_review(case)
    with case.desk.session(REVIEWER) as s:
        assert request_row(s, request_id)["due_on"] is None
        decide_asset(s, request_id, "notes", "retain", ground="record must be kept")
        decide_asset(s, request_id, "ward model", "unlearn")
        for asset in ("ward model (old versions)", "nightly backup"):
            decide_asset(s, request_id, asset, "erase")
    with pytest.raises(Refusal, match="no right to erasure"), case.desk.session(REVIEWER) as s:
        decide(s, request_id)
    with case.desk.session(REVIEWER) as s:
        assert decide(s, request_id, reason="the patient's wish") == "partially_approved"


def test_duplicates_are_found_by_index_and_need_verification(case: DeskCase) -> None:
    first, second = new_request(case), new_request(case, {"name": "anna  weiß"})
    other = new_request(case, {"name": "Björn Schäfer"})
    with case.desk.reading(CLERK) as s:
        assert requests_like(s, second) == [first]
        assert requests_like(s, other) == []
    with pytest.raises(Refusal, match="not verified"):
        case.event(CLERK, second, "mark_duplicate", other=first)
    verify(case, second)
    with pytest.raises(Refusal, match="somebody else"):
        case.event(CLERK, second, "mark_duplicate", other=first)
    verify(case, first)
    verify(case, other)
    with pytest.raises(Refusal, match="somebody else"):
        case.event(CLERK, second, "mark_duplicate", other=other)
    assert case.event(CLERK, second, "mark_duplicate", other=first) == "duplicate"


def test_extension_is_once_in_time_and_with_a_reason(case: DeskCase) -> None:
    request_id = new_request(case)
    with pytest.raises(Refusal, match="reason"), case.desk.session(REVIEWER) as s:
        extend(s, request_id, "")
    with pytest.raises(Refusal, match="role"), case.desk.session(CLERK) as s:
        extend(s, request_id, "many")
    with case.desk.session(REVIEWER) as s:
        assert extend(s, request_id, "many requests") == "2026-06-02"
    with pytest.raises(Refusal, match="already"), case.desk.session(REVIEWER) as s:
        extend(s, request_id, "again")
    late = new_request(case, received_at=case.clock.now - timedelta(days=40))
    with pytest.raises(Refusal, match="is over"), case.desk.session(REVIEWER) as s:
        extend(s, late, "late")


def test_the_cancel_window_shrinks_for_the_due_date(case: DeskCase) -> None:
    request_id = to_waiting(case)
    with case.desk.reading(SYSTEM) as s:
        assert request_row(s, request_id)["cancel_until"] == "2026-03-05T09:00:00.000000Z"
    late = to_review(case, {"name": "Björn Schäfer"})
    case.clock.now = datetime(2026, 4, 1, tzinfo=UTC)
    with case.desk.session(REVIEWER) as s:
        for asset, value in (("notes", "erase"), ("ward model", "unlearn")):
            decide_asset(s, late, asset, value)
        for asset in ("ward model (old versions)", "nightly backup"):
            decide_asset(s, late, asset, "erase")
        decide(s, late)
    with case.desk.session(SYSTEM) as s:
        collect(s)
        assert request_row(s, late)["cancel_until"] == "2026-04-01T00:00:00.000000Z"


def test_time_ends_what_nobody_answers(case: DeskCase) -> None:
    silent, held = new_request(case), to_review(case)
    case.event(REVIEWER, held, "hold", reason="asks a court")
    with case.desk.session(SYSTEM) as s:
        assert expire_overdue(s) == []
    case.clock.move(days=31)
    with case.desk.session(SYSTEM) as s:
        assert expire_overdue(s) == [silent]
    assert case.event(REVIEWER, held, "release", reason="came back") == "legal_review"
    case.event(REVIEWER, held, "hold", reason="again")
    case.clock.move(days=61)
    with case.desk.session(SYSTEM) as s:
        assert expire_overdue(s) == [held]


def test_plain_events_are_a_closed_list(case: DeskCase) -> None:
    request_id = new_request(case)
    for event in ("promote", "verdict", "approve_plan", "begin_scopin"):
        with pytest.raises(InputError, match="unknown event"), case.desk.session(SYSTEM) as s:
            act(s, request_id, event)
    with pytest.raises(InputError, match="longer than"), case.desk.session(REVIEWER) as s:
        act(s, request_id, "hold", reason="x" * 20_000)


def test_people_and_roles(case: DeskCase) -> None:
    with pytest.raises(Refusal, match="approves nothing"), case.desk.session(ADMIN) as s:
        set_person(s, "eve", ["admin", "approver"])
    with pytest.raises(Refusal, match="role"), case.desk.session(CLERK) as s:
        set_person(s, "eve", ["clerk"])
    with pytest.raises(InputError, match="unknown role"), case.desk.session(ADMIN) as s:
        set_person(s, "eve", ["system"])
    with pytest.raises(Refusal, match="only admin"), case.desk.session(ADMIN) as s:
        remove_person(s, "adam")
    with case.desk.session(ADMIN) as s:
        remove_person(s, "carla")
        with pytest.raises(Refusal, match="does not work"):
            actor_of(s, "carla", "clerk")
        with pytest.raises(Refusal, match="has not the role"):
            actor_of(s, "olga", "approver")
        assert actor_of(s, "olga", "operator") == Actor("olga", "operator")


def test_no_identifier_in_clear_in_the_database(case: DeskCase) -> None:
    request_id = to_review(case, {"name": "Anna Weiß", "email": "canary@weiss.example"})
    case.event(REVIEWER, request_id, "hold", reason="canary reason of Anna")
    case.desk.close()
    raw = b"".join(f.read_bytes() for f in case.folder.glob("desk.db*"))
    for canary in ("Weiß", "Anna", "canary", "PAT-102"):
        assert canary.encode() not in raw


def test_a_desk_is_opened_again_and_never_made_twice(case: DeskCase) -> None:
    case.desk.close()
    assert Desk.open(case.folder).settings.regime == "gdpr"
    with pytest.raises(InputError, match="a desk already"):
        Desk.create(case.folder)
    with pytest.raises(InputError, match="is no desk"):
        Desk.open(case.folder.parent)
    (case.folder / "keys.json").rename(case.folder / "away")
    with pytest.raises(InputError, match="restore the key file"):
        Desk.open(case.folder)
    assert (case.folder / "desk.db").stat().st_mode & 0o777 == 0o600


def test_a_later_policy_does_not_change_a_request(case: DeskCase) -> None:
    request_id = new_request(case)
    from expunge.desk.regime import load_regime

    newer = load_regime("gdpr@1").model_copy(update={"version": 2, "due": {"days": 5}})
    (case.folder / "policies").mkdir()
    (case.folder / "policies" / "gdpr@2.yaml").write_text(newer.model_dump_json(warnings=False), "utf-8")
    second = new_request(case)
    with case.desk.reading(SYSTEM) as s:
        assert request_row(s, request_id)["due_on"] == "2026-04-02"
        row = request_row(s, second)
        assert (row["regime"], row["due_on"]) == ("gdpr@2", date(2026, 3, 7).isoformat())


def test_an_identifier_that_is_no_text_is_refused(case: DeskCase) -> None:
    for value in ({"a": "Anna"}, 7, None):
        with pytest.raises(InputError, match="neither a text nor a list"), case.desk.session(CLERK) as s:
            submit(s, {"name": value})


def test_how_somebody_was_identified_is_one_of_a_list(case: DeskCase) -> None:
    request_id = new_request(case)
    with pytest.raises(InputError, match="none of the methods"), case.desk.session(CLERK) as s:
        record_identity(s, request_id, success=True, method="passport of Anna")


def test_the_only_admin_stays_and_who_left_may_come_back(case: DeskCase) -> None:
    with pytest.raises(Refusal, match="is the only admin"), case.desk.session(ADMIN) as s:
        set_person(s, "adam", ["clerk"])
    with case.desk.session(ADMIN) as s:
        remove_person(s, "carla")
        set_person(s, "carla", ["clerk"])
        assert people(s)["carla"] == ["clerk"]


@pytest.mark.skipif("EXPUNGE_DESK_SERVER" in os.environ, reason="a file of SQLite")
@pytest.mark.parametrize("content", [None, b""])
def test_a_lost_database_is_not_made_anew(case: DeskCase, content: bytes | None) -> None:
    case.desk.close()
    for file in case.desk.folder.glob("desk.db*"):
        file.unlink()
    if content is not None:
        (case.desk.folder / "desk.db").write_bytes(content)
    with pytest.raises(InputError, match="is gone or empty; restore"):
        Desk.open(case.desk.folder)

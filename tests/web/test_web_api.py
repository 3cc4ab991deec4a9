"""The API: submission, pages of rows, tokens, and the way of a request over HTTP."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("argon2")
pytest.importorskip("pyotp")
pytest.importorskip("sqlalchemy")
pytest.importorskip("cryptography")

from sqlalchemy import select

from expunge.desk import tables as t
from expunge.desk.facts import request_row
from expunge.desk.people import remove_person, set_person
from expunge.desk.roles import SYSTEM
from expunge.desk.rotation import rotate_keys
from expunge.web.tokens import MAX_DAYS, make_token, revoke_token
from helpers.desk import ADMIN, ANNA, DECISIONS, pass_window, to_audit_passed, to_planned
from helpers.web import ApiClient, web_desk

SECRET_NAME = "Anna Weiß"


@pytest.fixture
def api(tmp_path: Path) -> ApiClient:
    return ApiClient(web_desk(tmp_path / "desk"))


def submit(api: ApiClient, **more: Any) -> dict[str, Any]:
    answer = api.post("/requests", "carla", {"identifiers": ANNA, **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def ok(answer: Any) -> Any:
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def to_waiting(api: ApiClient) -> tuple[str, str]:
    """A request over HTTP up to the window; returns reference and id."""
    request = submit(api)
    path = f"/requests/{request['reference']}"
    ok(api.post(f"{path}/identity", "carla", {"success": True, "method": "in person"}))
    ok(api.post(f"{path}/events", "carla", {"event": "begin_scoping"}))
    assert ok(api.post(f"{path}/search", "carla"))["objects"] == {"notes": 2}
    ids = [match["id"] for match in ok(api.get(f"{path}/matches"))["items"]]
    ok(api.post(f"{path}/matches", "carla", {"matches": ids, "confirm": True}))
    assert ok(api.post(f"{path}/events", "carla", {"event": "freeze_scope"}))["state"] == "legal_review"
    for asset, (value, ground) in DECISIONS.items():
        ok(api.post(f"{path}/decisions", "rita", {"asset": asset, "value": value, "ground": ground}))
    assert ok(api.post(f"{path}/decision", "rita"))["state"] == "approved"
    pass_window(api.case)
    return request["reference"], request["id"]


def test_from_submission_to_promotion_over_http(api: ApiClient) -> None:
    reference, request_id = to_waiting(api)
    digest = to_planned(api.case, request_id)
    (plan,) = ok(api.get("/plans"))["items"]
    assert plan["hash"] == digest
    shown = ok(api.get(f"/plans/{digest[:8]}"))
    assert shown["content"]["requests"] == [request_id]
    assert api.post(f"/plans/{digest}/approval", "olga", {"hash": digest}).status_code == 403
    assert api.post(f"/plans/{digest}/approval", "anna", {"hash": "0" * 64}).status_code == 409
    assert ok(api.post(f"/plans/{digest}/approval", "anna", {"hash": digest}))["states"] == ["plan_approved"]
    assert api.get(f"/runs/{digest}").status_code == 404
    to_audit_passed(api.case, request_id)
    run = ok(api.get(f"/runs/{digest[:8]}"))
    assert (run["audit_status"], run["progress"]) == ("passed", {})
    assert api.post(f"/runs/{digest}/cancellation", "olga", {"reason": "x"}).status_code == 409
    assert ok(api.post(f"/plans/{digest}/promotion", "anna"))["states"] == ["promotion_approved"]
    events = [row["type"] for row in ok(api.get(f"/requests/{reference}/events"))["items"]]
    assert events[0] == "request.submit"
    assert "request.approve_promotion" in events


def test_the_same_submission_under_a_key_is_one_request(api: ApiClient) -> None:
    def send(body: Any, person: str = "carla", key: str = "k-1") -> Any:
        return api.post("/requests", person, body, headers={"Idempotency-Key": key})

    body = {"identifiers": ANNA}
    first, second = send(body), send(body)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == {**second.json(), "like": []}
    conflict = send({"identifiers": {"name": "Somebody Else"}})
    assert conflict.status_code == 409
    assert "Else" not in conflict.text
    assert send(body, key="k-2").json()["id"] != first.json()["id"]
    with api.case.desk.session(ADMIN) as s:
        set_person(s, "cleo", ["clerk"])
    assert (
        api.call("POST", "/requests", "cleo", "clerk", json=body, headers={"Idempotency-Key": "k-1"}).status_code == 201
    )
    assert send(body, key="k" * 201).status_code == 400
    rotate_keys(api.case.desk, ADMIN)
    assert (send(body).status_code, send(body).json()["id"]) == (200, first.json()["id"])


def test_two_requests_of_one_person_are_told(api: ApiClient) -> None:
    first = submit(api)
    assert submit(api)["like"] == [first["id"]]


def test_a_database_that_does_not_answer_is_503(api: ApiClient) -> None:
    from sqlalchemy import text

    if api.case.desk.engine.dialect.name != "sqlite":
        pytest.skip("one database is enough")
    reference = submit(api)["reference"]
    with api.case.desk.engine.begin() as conn:
        conn.execute(text("ALTER TABLE match RENAME TO gone"))
    answer = api.get(f"/requests/{reference}")
    assert answer.status_code == 503
    assert "bring the database back" in answer.json()["error"]["hint"]


def test_a_rotation_elsewhere_is_noticed(api: ApiClient) -> None:
    """The keys are rotated by a command while the desk is served."""
    from expunge.desk.desk import Desk

    reference = submit(api)["reference"]
    other = Desk.open(api.case.folder, api.case.clock)
    rotate_keys(other, ADMIN)
    assert api.case.desk.keys.current == "k1"
    at = f"/requests/{reference}"
    ok(api.post(f"{at}/identity", "carla", {"success": True, "method": "letter", "reason": "why"}))
    ok(api.post(f"{at}/events", "carla", {"event": "begin_scoping"}))
    assert ok(api.post(f"{at}/search", "carla"))["objects"] == {"notes": 2}
    assert api.case.desk.keys.current == "k2"
    (api.case.folder / "keys.json").unlink()
    ok(api.get(f"{at}/matches"))


def test_rows_come_in_pages(api: ApiClient) -> None:
    made = {submit(api)["reference"] for _ in range(5)}
    seen, offset = [], 0
    while offset is not None:
        page = ok(api.get(f"/requests?limit=2&offset={offset}"))
        seen += [row["reference"] for row in page["items"]]
        offset = page["next"]
    assert len(seen) == 5
    assert set(seen) == made
    assert ok(api.get("/requests?state=scoping"))["items"] == []
    for query in ("limit=0", "limit=201", "offset=-1", "state=lost", "limit=x"):
        assert api.get(f"/requests?{query}").status_code == 400, query


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"identifiers": {}},
        {"identifiers": {"name": ""}},
        {"identifiers": {"surname": SECRET_NAME}},
        {"identifiers": {SECRET_NAME: "x"}},
        {"identifiers": {"name": [SECRET_NAME] * 51}},
        {"identifiers": {"name": SECRET_NAME * 50}},
        {"identifiers": {"name": SECRET_NAME + "\0"}},
        {"identifiers": {"name": {"first": SECRET_NAME}}},
        {"identifiers": ANNA, "policy": SECRET_NAME},
        {"identifiers": ANNA, "policy": "gdpr@77"},
        {"identifiers": ANNA, "language": "xx"},
        {"identifiers": ANNA, "received_at": "2026-03-01T09:00:00"},
        {"identifiers": ANNA, "received_at": "2126-03-01T09:00:00Z"},
        {"identifiers": ANNA, "received_at": "0001-01-01T00:00:00+14:00"},
        {"identifiers": ANNA, SECRET_NAME: 1},
        [SECRET_NAME],
        SECRET_NAME,
        None,
    ],
)
def test_a_wrong_submission_is_told_without_its_values(api: ApiClient, body: Any) -> None:
    answer = api.call("POST", "/requests", "carla", content=json.dumps(body))
    assert answer.status_code == 400, answer.text
    assert "Wei" not in answer.text
    assert set(answer.json()["error"]) == {"where", "what", "hint"}


def test_what_is_not_sent_as_json_is_told(api: ApiClient) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        body = json.dumps({"identifiers": ANNA})
        answer = api.call("POST", "/requests", "carla", content=body, headers={"content-type": kind})
        assert answer.status_code == 400
        assert "not sent as application/json" in answer.text


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff\xfe", b'{"identifiers": {"name": "\\ud800"}}', b"[" * 100_000, b"1" * 10_000]
)
def test_a_body_that_is_no_json_is_told(api: ApiClient, raw: bytes) -> None:
    assert api.call("POST", "/requests", "carla", content=raw).status_code == 400


def test_an_identity_document_is_kept_as_a_digest(api: ApiClient) -> None:
    path = f"/requests/{submit(api)['reference']}/identity"
    body = {"success": True, "method": "identity document", "document": base64.b64encode(b"passport of Anna").decode()}
    assert api.post(path, "carla", {**body, "document": "no base64!"}).status_code == 400
    large = base64.b64encode(b"x" * (20 * 2**20 + 1)).decode()
    answer = api.post(path, "carla", {**body, "document": large})
    assert answer.status_code == 400
    assert "larger than 20 MiB" in answer.text
    ok(api.post(path, "carla", body))
    assert b"passport" not in b"".join(f.read_bytes() for f in api.case.folder.glob("desk.db*"))


def test_a_match_of_another_request_is_not_settled(api: ApiClient) -> None:
    references = [submit(api)["reference"] for _ in range(2)]
    for reference in references:
        ok(api.post(f"/requests/{reference}/identity", "carla", {"success": True, "method": "letter"}))
        ok(api.post(f"/requests/{reference}/events", "carla", {"event": "begin_scoping"}))
        ok(api.post(f"/requests/{reference}/search", "carla"))
    first, second = ([m["id"] for m in ok(api.get(f"/requests/{r}/matches"))["items"]] for r in references)
    body = {"matches": [first[0], second[0]], "confirm": True}
    assert api.post(f"/requests/{references[0]}/matches", "carla", body).status_code == 404
    states = {m["state"] for r in references for m in ok(api.get(f"/requests/{r}/matches"))["items"]}
    assert states == {"proposed"}


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer exd_", "Bearer exd_wrong", "Basic Y2FybGE6eA==", "bearer \u00fc"]
)
def test_a_token_that_does_not_hold_is_401(api: ApiClient, header: str) -> None:
    answer = api.client.get("/api/v1/me", headers={"authorization": header.encode("latin-1")})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_token_ends_with_time_revocation_or_its_person(api: ApiClient) -> None:
    case = api.case

    def status(token: str) -> int:
        return int(api.client.get("/api/v1/me", headers={"authorization": f"Bearer {token}"}).status_code)

    with case.desk.session(ADMIN) as s:
        short = make_token(s, "carla", "clerk", 1)[1]
        token_id, revoked = make_token(s, "carla", "clerk")
        left, changed = make_token(s, "aude", "auditor")[1], make_token(s, "rita", "reviewer")[1]
    assert [status(x) for x in (short, revoked, left, changed)] == [200] * 4
    with case.desk.session(ADMIN) as s:
        revoke_token(s, token_id)
        remove_person(s, "aude")
        set_person(s, "rita", ["viewer"])
    case.clock.move(days=1)
    assert [status(x) for x in (short, revoked, left, changed)] == [401] * 4


def test_wrong_tokens_are_counted(tmp_path: Path) -> None:
    api = ApiClient(web_desk(tmp_path / "desk"))
    statuses = [api.client.get("/api/v1/me", headers={"authorization": "Bearer exd_x"}).status_code for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    ok(api.get("/me"))


def test_a_token_is_for_a_role_that_the_person_has(api: ApiClient) -> None:
    from expunge.errors import InputError

    for person, role, days in (("carla", "approver", 9), ("nobody", "clerk", 9), ("carla", "clerk", MAX_DAYS + 1)):
        with pytest.raises(InputError), api.case.desk.session(ADMIN) as s:
            make_token(s, person, role, days)
    with api.case.desk.reading(SYSTEM) as s:
        assert s.conn.execute(select(t.event_log.c.seq).where(t.event_log.c.type == "token.make")).first() is None


def test_a_cookie_is_no_token(tmp_path: Path) -> None:
    from helpers.web import WebVisit

    visit = WebVisit(web_desk(tmp_path / "desk")).sign_in("carla")
    assert visit.get("/api/v1/requests").status_code == 401


def test_audit_and_certificate_are_those_that_were_registered(api: ApiClient) -> None:
    reference, request_id = to_waiting(api)
    at = f"/requests/{reference}"
    for part in ("audit", "certificate", "certificate/status"):
        assert api.get(f"{at}/{part}").status_code == 404
    digest = to_planned(api.case, request_id)
    ok(api.post(f"/plans/{digest}/approval", "anna", {"hash": digest}))
    assert api.get(f"{at}/audit").status_code == 404
    to_audit_passed(api.case, request_id)
    for part in ("audit", "certificate"):
        answer = api.get(f"{at}/{part}")
        assert answer.status_code in (404, 409), part
        assert "gone" in answer.text
    status = ok(api.get(f"{at}/certificate/status"))
    assert (status["signature"], ok(api.get(f"{at}/receipts"))["items"]) == ("nobody signed it", [])
    (api.case.desk.runs / f"{request_id}.json").write_text("{}")
    folder = api.case.desk.runs / digest[:16]
    (folder / "audit").mkdir()
    (folder / "audit" / "audit.json").write_text(json.dumps({"name": SECRET_NAME}))
    for part in ("audit", "certificate"):
        answer = api.get(f"{at}/{part}")
        assert answer.status_code == 409, part
        assert "not the one that was registered" in answer.text
        assert str(api.case.folder) not in answer.text


def test_a_signed_certificate_goes_out_and_comes_back(tmp_path: Path) -> None:
    """The worker's certificate is downloaded, signed by the auditor elsewhere, and taken in."""
    from expunge.desk import run_steps
    from expunge.desk.workshop import Workshop
    from expunge.evidence.envelope import read_envelope
    from helpers.desk_evidence import DESK_AUDITOR, signed_waiting_case
    from helpers.desk_stand_in import stand_in_child

    case, request_id = signed_waiting_case(tmp_path)
    digest = to_planned(case, request_id)
    api = ApiClient(case)
    ok(api.post(f"/plans/{digest}/approval", "anna", {"hash": digest}))
    shop = Workshop(case.desk, "w1", run=stand_in_child)
    for step in (run_steps.unlearn, run_steps.audit, run_steps.certify):
        step(shop, digest, 1)
    with case.desk.reading(SYSTEM) as s:
        at = f"/requests/{request_row(s, request_id)['reference']}"
    raw = api.get(f"{at}/certificate")
    assert raw.status_code == 200
    assert raw.headers["content-disposition"].startswith("attachment")
    assert ok(api.get(f"{at}/certificate/status"))["missing"] == "the auditor has not signed it"
    audit = ok(api.get(f"{at}/audit"))
    assert audit["verdict"]["status"] == "passed"
    assert audit["redaction"]["full_digest"]
    signed = read_envelope(raw.content, "certificate").signed_by(DESK_AUDITOR).as_bytes()
    path = f"{at}/certificate/signature"
    assert api.call("POST", path, "anna", content=signed).status_code == 403
    assert api.call("POST", path, "aude", content=b"{}").status_code == 400
    lines = ok(api.call("POST", path, "aude", content=signed))["verification"]
    assert lines
    assert api.get(f"{at}/certificate").content == signed


@pytest.mark.parametrize(
    "wish",
    [
        {"kind": "unlearn", "recipe": "nosuch"},
        {"kind": "unlearn", "overrides": [f"note={SECRET_NAME}"]},
        {"kind": "unlearn", "overrides": [SECRET_NAME]},
        {"kind": "retrain", "overrides": [f"note={SECRET_NAME}"]},
        {"kind": "retrain", "recipe": SECRET_NAME},
        {"kind": "unlearn", "recipe": f"{SECRET_NAME}.yaml"},
        {"kind": "unlearn", "overrides": [f"train.layers={SECRET_NAME}"]},
        {"kind": "unlearn", "overrides": [f"train.modules={SECRET_NAME}"]},
        {"kind": "unlearn", "overrides": [f"concepts.dictionary={SECRET_NAME}"]},
        {"kind": "unlearn", "overrides": ["concepts.dictionary=wei"]},
        {"kind": "drop", "overrides": [f"steps={SECRET_NAME}"]},
    ],
)
def test_a_plan_holds_no_text_of_an_operator(api: ApiClient, wish: dict[str, Any]) -> None:
    _, request_id = to_waiting(api)
    digest = to_planned(api.case, request_id)
    to_audit_passed(api.case, request_id, status="failed")
    answer = api.post(f"/plans/{digest}/retry", "olga", wish)
    assert answer.status_code == 400, answer.text
    assert "Wei" not in answer.text
    assert len(ok(api.get("/plans"))["items"]) == 1


def test_a_request_that_ended_early_is_never_fulfilled(api: ApiClient) -> None:
    from expunge.desk.letters import queue_letter, send_letter

    request = submit(api)
    path = f"/requests/{request['reference']}"
    assert ok(api.post(f"{path}/events", "rita", {"event": "cancel", "reason": "why"}))["state"] == "cancelled"
    assert ok(api.get(path))["status"] == "denied"
    with api.case.desk.session(SYSTEM) as s:
        letter = queue_letter(s, request["id"])
    send_letter(api.case.desk, request["id"], letter, lambda *_: "posted")
    view = ok(api.get(path))
    assert (view["state"], view["status"]) == ("notified", "denied")


def test_letters_and_models_and_head(api: ApiClient) -> None:
    from expunge.desk.letters import queue_letter

    request = submit(api)
    ok(api.post(f"/requests/{request['reference']}/events", "rita", {"event": "cancel", "reason": "why"}))
    with api.case.desk.session(SYSTEM) as s:
        letter = queue_letter(s, request["id"])
    assert [row["id"] for row in ok(api.get("/letters"))["items"]] == [letter]
    assert api.post(f"/letters/{letter}/acceptance", "rita").status_code == 403
    assert [ok(api.post(f"/letters/{letter}/acceptance", "carla"))["noted"] for _ in range(2)] == [True, False]
    assert [m["lineage"] for m in ok(api.get("/models"))["items"]] == ["ward"]
    assert ok(api.get("/log/verification"))["problems"] == []
    assert ok(api.get("/log/head"))["seq"] > 10


def test_the_description_names_roles_errors_and_no_unused_form(api: ApiClient) -> None:
    schema = api.client.get("/api/openapi.json").json()
    assert "HTTPValidationError" not in json.dumps(schema)
    for path, operations in schema["paths"].items():
        assert path.startswith("/api/v1/"), "pages are not described"
        for operation in operations.values():
            assert operation["x-roles"], path
            assert {"400", "403", "404", "409"} <= operation["responses"].keys()

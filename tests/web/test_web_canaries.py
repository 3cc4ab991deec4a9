"""Words that only a person's data hold are put everywhere; then everything that was written or sent is searched."""

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

from expunge.web import webhook_peers
from expunge.web.app import make_app
from expunge.web.settings import WebSettings
from expunge.web.webhook_outbox import deliver_due, queue_statuses
from expunge.web.webhook_signature import sign
from helpers.desk import ADMIN, DECISIONS, PEOPLE, pass_window, to_audit_passed, to_planned, write_corpus
from helpers.web import PASSWORD, ApiClient, WebVisit, routes, web_desk

NAME, WHY, RECORD, OTHER = "Zyxwena Quorbelius", "vrpltz because", "Krzmblik syndrome", "lowercanary"
BROKEN = {"Idempotency-Key": NAME, "content-type": "application/json"}
CANARIES = ("Zyxwena", "zyxwena", "Quorbelius", "quorbelius", "vrpltz", "Krzmblik", "lowercanary")


def holds(text: str | bytes) -> list[str]:
    """The canaries in a text, also as JSON, percent signs or base64 would write them."""
    raw = text if isinstance(text, bytes) else text.encode()
    return [word for word in CANARIES if word.encode() in raw or base64.b64encode(word.encode())[:-3] in raw]


class Recorder:
    """Keeps what an application sent."""

    def __init__(self, visit: Any) -> None:
        self.visit, self.sent = visit, b""

    def __call__(self, method: str, path: str, **options: Any) -> Any:
        answer = self.visit.request(method, path, **options)
        self.sent += answer.content + str(answer.headers).encode()
        assert holds(answer.content + str(answer.headers).encode()) == [], (method, path, answer.text)
        return answer


def test_no_personal_text_in_answers_urls_logs_and_database(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    case = web_desk(tmp_path / "desk")
    write_corpus(case.folder / "ward.jsonl", [NAME, RECORD])
    app = make_app(case.desk, WebSettings(requests_per_minute=10**6, sign_ins_per_minute=10**6))
    api = ApiClient(case, app)
    send = Recorder(api.client)

    def call(path: str, body: Any, person: str = "carla", method: str = "POST") -> Any:
        token = api.token(person, PEOPLE[person][0])
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": NAME.replace(" ", "-")}
        return send(method, f"/api/v1{path}", json=body, headers=headers)

    request = call("/requests", {"identifiers": {"name": NAME, "email": f"{OTHER}@example.org"}}).json()
    at = f"/requests/{request['reference']}"
    call(
        f"{at}/identity",
        {"success": False, "method": "letter", "reason": WHY, "document": base64.b64encode(NAME.encode()).decode()},
    )
    call(f"{at}/identity", {"success": True, "method": "letter", "reason": WHY})
    call(f"{at}/events", {"event": "hold", "reason": WHY}, "rita")
    call(f"{at}/events", {"event": "release", "reason": WHY}, "rita")
    call(f"{at}/extension", {"reason": WHY}, "rita")
    call(f"{at}/events", {"event": "begin_scoping"})
    assert call(f"{at}/search", {}).json()["objects"] == {"notes": 2}
    ids = [m["id"] for m in call(f"{at}/matches", None, method="GET").json()["items"]]
    call(f"{at}/matches", {"matches": ids, "confirm": True})
    call(f"{at}/events", {"event": "freeze_scope"})
    for asset, (value, _) in DECISIONS.items():
        assert call(f"{at}/decisions", {"asset": asset, "value": value}, "rita").status_code == 200
    call(f"{at}/decisions", {"asset": NAME, "value": "erase"}, "rita")
    call(f"{at}/decisions", {"asset": "notes", "value": "retain", "ground": OTHER}, "rita")
    call(f"{at}/decision", {"reason": WHY}, "rita")
    pass_window(case)
    digest = to_planned(case, request["id"])
    call(f"/plans/{digest}/approval", {"hash": digest}, "anna")
    to_audit_passed(case, request["id"], status="failed")
    call(f"/plans/{digest}/retry", {"kind": "unlearn", "overrides": [f"{OTHER}={NAME}"], "reason": WHY}, "olga")
    call(f"/plans/{digest}/retry", {"kind": "unlearn", "recipe": OTHER}, "olga")
    for path in (
        f"{at}",
        f"{at}/events",
        f"{at}/decisions",
        "/requests",
        "/plans",
        f"/plans/{digest}",
        f"/runs/{digest}",
        "/log/verification",
    ):
        assert call(path, None, method="GET").status_code == 200
    wrong(send, api, at)
    webhook(case, send)
    pages(case, app)
    lines = [record.getMessage() for record in caplog.records if not record.name.startswith("httpx")]  # our client
    assert len(lines) > 500
    assert holds("\n".join(lines)) == []
    for file in case.folder.glob("desk.db*"):
        assert holds(file.read_bytes()) == [], file.name


def wrong(send: Recorder, api: ApiClient, at: str) -> None:
    """Everything that the API takes, with canaries where they do not belong."""
    headers = {"Authorization": f"Bearer {api.token('carla', 'clerk')}"}
    bodies: list[Any] = [
        {OTHER: 1},
        {"identifiers": {OTHER: NAME}},
        {"event": NAME},
        {"matches": [NAME]},
        [NAME],
        NAME,
        {"asset": NAME, "value": OTHER},
    ]
    bodies += [
        {"hash": NAME},
        {"success": NAME, "method": OTHER, "level": NAME},
        {"identifiers": {"name": {OTHER: NAME}}},
        {"event": "mark_duplicate", "other": OTHER},
    ]
    for method, path, _ in routes(send.visit.app):
        if path.startswith("/api/v1") and method in ("POST", "GET"):
            for value in (OTHER, "Quorbelius", "E-QUORBELIUS"):
                real = path.format(reference=value, plan=value, letter=value, peer=value)
                send(method, real, headers=headers, json=bodies[0], params={"state": NAME, "q": NAME, "limit": OTHER})
            real = path.format(reference=at.split("/")[-1], plan="0" * 64, letter="0" * 36, peer="other")
            for body in bodies if method == "POST" else ():
                send(method, real, headers=headers, json=body)
            send(method, real, headers=headers | BROKEN, content=json.dumps(NAME)[:-3])
    for junk in (
        {"Authorization": f"Bearer {NAME}"},
        {"Origin": f"https://{OTHER}"},
        {"Host": f"{OTHER}.example"},
        {"Cookie": f"expunge-8765-session={OTHER}"},
    ):
        send("GET", "/api/v1/me", headers=junk)
        send("POST", f"/{OTHER}/x", headers=junk)
    send("LOWERCANARY".lower(), "/sign-in")


def webhook(case: Any, send: Recorder) -> None:
    with case.desk.session(ADMIN) as s:
        secret = webhook_peers.add_peer(s, "other", url="https://x.example", every_request=True)
    for n, data in enumerate(
        [{"id": NAME, "identifiers": {"name": NAME}}, {"id": NAME, "reason": WHY}, {OTHER: NAME}, NAME]
    ):
        for kind in ("erasure.submitted", "erasure.revoked", NAME):
            body, sent = json.dumps({"type": kind, "data": data}).encode(), int(case.clock.now.timestamp())
            id_ = f"{OTHER}-{n}-{len(kind)}"
            headers = {
                "webhook-id": id_,
                "webhook-timestamp": str(sent),
                "webhook-signature": sign(secret, id_, sent, body),
            }
            send("POST", "/api/v1/webhooks/other", content=body, headers=headers)
            send("POST", "/api/v1/webhooks/other", content=body, headers=headers | {"webhook-signature": OTHER})
    told: list[bytes] = []
    for _ in range(20):
        queue_statuses(case.desk)
        deliver_due(case.desk, lambda url, headers, body: told.append(body + str(headers).encode()) or 200)  # type: ignore[func-returns-value]
    assert told
    assert holds(b"".join(told)) == []


def pages(case: Any, app: Any) -> None:
    """Every form gets canaries in every field, before and after the sign-in."""
    for person in (None, "carla", "rita", "adam"):
        visit = WebVisit(case, app)
        if person:
            visit.sign_in(person)
        send, token = Recorder(visit), visit.form_token("/set-up")
        for method, path, _ in routes(app):
            if path.startswith("/api") or path == "/sign-out":
                continue
            real = "/".join("Quorbelius" if part.startswith("{") else part for part in path.split("/"))
            fields = dict.fromkeys(
                ("person", "password", "code", "role", "token", "reason", "reference", "q", "name", "asset", "value"),
                NAME,
            )
            send(
                method,
                real,
                data={"csrf": token, **fields} if method == "POST" else None,
                params={"q": NAME, "state": OTHER},
            )
        send("POST", "/sign-in", data={"csrf": token, "person": NAME, "password": PASSWORD, "code": OTHER})

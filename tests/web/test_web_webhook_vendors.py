"""Bodies of SAP and Transcend, as their public references have them; every value here is made up."""

from __future__ import annotations

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
from expunge.desk.roles import SYSTEM
from expunge.web import webhook_peers
from expunge.web.webhook_faces import webhook_table
from expunge.web.webhook_signature import sign
from helpers.desk import ADMIN, DeskCase, verify
from helpers.web import ApiClient, web_desk

SAP: dict[str, Any] = {
    "applicationName": "ward-assistant",
    "dataSubjectRoleName": "Patient",
    "dataSubjectId": "8e2f2640-6866-4dcf-8f4d-3027aa831cad",
    "maxDeletionDate": "2026-01-31T22:00:00",
}
TRANSCEND: dict[str, Any] = {
    "type": "ERASURE",
    "extraIdentifiers": {"email": [{"id": "bd133b20", "value": "anna@example.org"}], "custom": [], "ward": []},
    "requestIdentifier": {"value": "anna@example.org"},
    "dataSubject": {"type": "patient"},
    "isTest": False,
    "extras": {
        "profile": {"identifier": "anna@example.org", "type": "email"},
        "request": {
            "details": "Zyxwena",
            "id": "4a2af8c4-3b72-4f01-9822-b873d143841d",
            "link": "https://app.transcend.example/request/4a2af8c4",
            "verifiedAt": "2026-03-01T20:58:29.094Z",
            "createdAt": "2026-03-01T20:58:00.355Z",
            "locale": "de-DE",
            "origin": "PRIVACY_CENTER",
        },
        "organization": {"id": "aaca371a", "name": "Hospital", "uri": "hospital"},
    },
    "coreIdentifier": {"value": "P-0001-003"},
}


class Vendor:
    """A relay that signs what a vendor sent."""

    def __init__(self, case: DeskCase, face: str) -> None:
        self.case, self.client = case, ApiClient(case).client
        with case.desk.session(ADMIN) as s:
            self.secret = webhook_peers.add_peer(s, "relay", face=face)

    def send(self, body: Any, id_: str = "m-1") -> Any:
        raw, sent = json.dumps(body).encode(), int(self.case.clock.now.timestamp())
        headers = {"webhook-id": id_, "webhook-timestamp": str(sent)}
        headers["webhook-signature"] = sign(self.secret, id_, sent, raw)
        return self.client.post("/api/v1/webhooks/relay", content=raw, headers=headers)

    def identifiers(self) -> list[tuple[str, str]]:
        with self.case.desk.reading(SYSTEM) as s:
            rows = s.conn.execute(select(t.identifier).order_by(t.identifier.c.id)).mappings()
            place = ("identifier", "ciphertext")
            return [(r["kind"], s.keys.decrypt(r["ciphertext"], (*place, r["id"]), r["key_id"])) for r in rows]

    def requests(self) -> list[dict[str, Any]]:
        with self.case.desk.reading(SYSTEM) as s:
            return [dict(row) for row in s.conn.execute(select(t.request)).mappings()]


@pytest.fixture
def sap(tmp_path: Path) -> Vendor:
    return Vendor(web_desk(tmp_path / "desk"), "sap-dpi")


@pytest.fixture
def transcend(tmp_path: Path) -> Vendor:
    return Vendor(web_desk(tmp_path / "desk"), "transcend")


def changed(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with another value at a path; without the key if the value is `...`."""
    copy = json.loads(json.dumps(body))
    *parents, key = path.split(".")
    inner = copy
    for name in parents:
        inner = inner[name]
    if value is ...:
        del inner[key]
    else:
        inner[key] = value
    return dict(copy)


def test_a_call_of_sap_opens_a_request_that_is_not_identified(sap: Vendor) -> None:
    answer = sap.send(SAP)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "open"
    assert sap.identifiers() == [("record_number", SAP["dataSubjectId"])]
    (row,) = sap.requests()
    assert (row["state"], row["channel"], row["identity_verified_at"]) == ("identity_pending", "webhook", None)
    assert sap.send({**SAP, "maxDeletionDate": "2026-01-31"}, "m-2").json()["id"] == row["id"], "the same day"
    assert sap.send({**SAP, "maxDeletionDate": "2036-01-31"}, "m-3").json()["id"] != row["id"], "to be blocked until"


@pytest.mark.parametrize(
    "body",
    [
        {k: v for k, v in SAP.items() if k != "maxDeletionDate"},  # dataSubjectEndOfBusiness asks
        {**SAP, "iLMObjectName": "Orders"},  # one kind of record
        {"applicationName": "ward-assistant", "dataSubjectRoleName": "Patient"},  # dataSubjectsDestroying names nobody
        {**SAP, "maxDeletionDate": "soon"},
        {**SAP, "dataSubjectId": ""},
        {**SAP, "dataSubjectId": 7},
        {**SAP, "type": "ERASURE"},
        {},
        [],
        None,
    ],
)
def test_other_calls_of_sap_are_refused(sap: Vendor, body: Any) -> None:
    answer = sap.send(body)
    assert answer.status_code == 400, answer.text
    assert sap.requests() == []


def test_a_job_of_transcend_opens_a_request_that_is_not_identified(transcend: Vendor) -> None:
    answer = transcend.send(TRANSCEND)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "WAITING"
    assert transcend.identifiers() == [("record_number", "P-0001-003"), ("email", "anna@example.org")]
    (row,) = transcend.requests()
    assert (row["state"], row["language"], row["identity_verified_at"]) == ("identity_pending", "de", None)
    assert row["received_at"].startswith("2026-03-01T20:58:00")
    assert transcend.send(TRANSCEND, "m-2").json()["id"] == row["id"]
    other = changed(TRANSCEND, "extras.profile", {"identifier": "+49 511 1", "type": "phone"})
    answer = transcend.send(other, "m-3")  # they send one message for each identifier that is configured
    assert (answer.status_code, "with other identifiers" in answer.text) == (409, True)
    stored = b"".join(file.read_bytes() for file in transcend.case.folder.rglob("*") if file.is_file())
    assert b"Zyxwena" not in stored


def test_kinds_of_identifiers_of_transcend(transcend: Vendor) -> None:
    body = changed(TRANSCEND, "extras.profile", {"identifier": "0511 1", "type": "phone"})
    body = changed(body, "requestIdentifier", {"value": "W-17"})
    body = changed(body, "extraIdentifiers", {"name": [{"value": "Anna Weiß"}], "gaid": [{"value": "x-1"}]})
    assert transcend.send(body).status_code == 200
    assert sorted(transcend.identifiers()) == [
        ("name", "Anna Weiß"),
        ("other", "W-17"),
        ("other", "x-1"),
        ("phone", "0511 1"),
        ("record_number", "P-0001-003"),
    ]


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        ("type", "ACCESS", "ERASURE"),
        ("type", "RECTIFICATION", "ERASURE"),
        ("type", ..., "type"),
        ("isTest", True, "a test opens no request"),
        ("coreIdentifier", ..., "coreIdentifier"),
        ("coreIdentifier.value", "", "coreIdentifier"),
        ("coreIdentifier.value", 7, "coreIdentifier"),
        ("coreIdentifier.value", "x" * 5000, "coreIdentifier"),
        ("extras.request.id", ..., "id"),
        ("extras.request.createdAt", "2026-03-01", "createdAt"),
        ("extras.request.createdAt", "2036-03-01T00:00:00Z", "future"),
        ("extraIdentifiers", {"email": ["anna@example.org"]}, "extraIdentifiers"),
        ("extras", "Zyxwena", "extras"),
        ("extraIdentifiers", {"zyxwena": ["Zyxwena"]}, "extraIdentifiers"),
        ("extraIdentifiers", {"zyxwena": 7}, "extraIdentifiers"),
        ("extraIdentifiers", ["zyxwena"], "extraIdentifiers"),
    ],
)
def test_other_jobs_of_transcend_are_refused(transcend: Vendor, path: str, value: Any, word: str) -> None:
    answer = transcend.send(changed(TRANSCEND, path, value))
    assert answer.status_code == 400, answer.text
    assert word in answer.text
    assert "zyxwena" not in answer.text.lower()
    assert transcend.requests() == []


def test_a_relay_can_also_send_our_own_messages(transcend: Vendor) -> None:
    transcend.send(TRANSCEND)
    answer = transcend.send({"type": "erasure.revoked", "data": {"id": TRANSCEND["extras"]["request"]["id"]}}, "m-2")
    assert answer.status_code == 409, "nobody is identified yet"
    (row,) = transcend.requests()
    verify(transcend.case, row["id"])
    answer = transcend.send({"type": "erasure.revoked", "data": {"id": TRANSCEND["extras"]["request"]["id"]}}, "m-3")
    assert (answer.status_code, answer.json()["status"]) == (200, "SKIPPED")


def test_a_peer_without_such_a_face_takes_no_such_body(tmp_path: Path) -> None:
    drp = Vendor(web_desk(tmp_path / "desk"), "drp")
    for body in (SAP, TRANSCEND):
        answer = drp.send(body)
        assert (answer.status_code, "is none that is taken here" in answer.text) == (400, True)


def test_words_that_are_told() -> None:
    faces = webhook_table().faces
    allowed = {"READY", "RESOLVED", "SKIPPED", "SKIPPED_DUE_TO_EXCEPTION", "ACTION_REQUIRED", "WAITING"}
    assert {each.status for each in faces["transcend"].states.values()} < allowed
    assert faces["transcend"].status_of("closed", None).status == "RESOLVED"
    assert faces["transcend"].status_of("notified", "denied").status == "SKIPPED_DUE_TO_EXCEPTION"
    assert faces["sap-dpi"].states == faces["drp"].states
    assert faces["sap-dpi"].fields == faces["drp"].fields

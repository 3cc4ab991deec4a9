"""Webhooks: what another desk sends is taken once and answered clearly; what it is told arrives signed and in order."""

from __future__ import annotations

import base64
import hashlib
import hmac
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
from expunge.desk.lifecycle import DRP, STATES
from expunge.desk.roles import SYSTEM, Actor, Refusal
from expunge.desk.rotation import rotate_keys
from expunge.desk.web_tables import webhook_out
from expunge.errors import InputError
from expunge.web import webhook_peers
from expunge.web.webhook_faces import webhook_table
from expunge.web.webhook_outbox import DELAYS, deliver_due, queue_statuses, waiting_messages
from expunge.web.webhook_signature import sign
from helpers.desk import ADMIN, ANNA, CLERK, REVIEWER, DeskCase, new_request, verify
from helpers.web import ApiClient, web_desk

URL = "https://privacy.example/hooks"
KNOWN = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


class OtherDesk:
    """A desk that sends messages, and keeps what it is told."""

    def __init__(self, case: DeskCase, **options: Any) -> None:
        self.case, self.client = case, ApiClient(case).client
        with case.desk.session(ADMIN) as s:
            self.secret = webhook_peers.add_peer(s, "other", **options)
        self.told: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.status = 200

    def send(self, type_: str, data: Any, id_: str = "m-1", *, off: float = 0, **changes: Any) -> Any:
        body = json.dumps({"type": type_, "timestamp": "2026-03-02T09:00:00Z", "data": data}).encode()
        body = changes.get("body", body)
        sent = int(self.case.clock.now.timestamp() + off)
        headers = {
            "webhook-id": id_,
            "webhook-timestamp": str(sent),
            "webhook-signature": sign(changes.get("secret", self.secret), id_, sent, body),
        } | changes.get("headers", {})
        return self.client.post(
            f"/api/v1/webhooks/{changes.get('peer', 'other')}", content=changes.get("sent_body", body), headers=headers
        )

    def submit(self, id_: str = "m-1", **more: Any) -> Any:
        return self.send("erasure.submitted", {"id": "R-1", "identifiers": ANNA}, id_, **more)

    def revoke(self, id_: str = "m-2", **more: Any) -> Any:
        return self.send("erasure.revoked", {"id": "R-1"}, id_, **more)

    def post(self, url: str, headers: dict[str, str], body: bytes) -> int:
        assert url == URL
        self.told.append((headers, json.loads(body)))
        return self.status

    def tell(self) -> int:
        queue_statuses(self.case.desk)
        return deliver_due(self.case.desk, self.post)


@pytest.fixture
def other(tmp_path: Path) -> OtherDesk:
    return OtherDesk(web_desk(tmp_path / "desk"), url=URL)


def requests(case: DeskCase) -> int:
    with case.desk.reading(SYSTEM) as s:
        return len(s.conn.execute(select(t.request.c.id)).all())


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of the reference libraries, and the same by hand."""
    id_, sent, body, secret = KNOWN
    assert sign(secret, id_, sent, body) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    key = base64.b64decode(secret.removeprefix("whsec_"))
    by_hand = hmac.new(key, f"{id_}.{sent}.".encode() + body, hashlib.sha256).digest()
    assert sign(secret, id_, sent, body) == "v1," + base64.b64encode(by_hand).decode()


def test_a_submission_opens_a_request(other: OtherDesk) -> None:
    answer = other.submit()
    assert answer.status_code == 200, answer.text
    assert answer.json() | {"id": "", "reference": ""} == {
        "id": "",
        "reference": "",
        "status": "open",
        "repeated": False,
    }
    with other.case.desk.reading(SYSTEM) as s:
        row = s.conn.execute(select(t.request)).mappings().one()
        assert (row["channel"], row["state"]) == ("webhook", "identity_pending")
        log = s.conn.execute(
            select(t.event_log.c.actor, t.event_log.c.role).where(t.event_log.c.type == "request.submit")
        ).one()
    assert tuple(log) == ("webhook:other", "webhook")


def test_a_message_is_taken_once(other: OtherDesk) -> None:
    first, again = other.submit(), other.submit()
    assert again.status_code == 200
    assert again.json() == {**first.json(), "repeated": True}
    later = other.submit("m-7")  # the same request in another message
    assert later.json()["id"] == first.json()["id"]
    assert requests(other.case) == 1
    conflict = other.revoke("m-1")
    assert conflict.status_code == 409
    assert "was used for another message" in conflict.text
    other.case.clock.move(minutes=30)
    assert other.submit().json()["repeated"], "a repetition with a new time"


def test_a_replay_of_a_recorded_message_is_too_old(other: OtherDesk) -> None:
    other.submit()
    answer = other.submit(off=-301)
    assert answer.status_code == 400
    assert "301 seconds behind the clock here" in answer.text


@pytest.mark.parametrize(
    ("off", "word"), [(-301, "behind"), (301, "ahead of"), (-(10**9), "behind"), (86400, "ahead of")]
)
def test_a_clock_that_is_off_is_told(other: OtherDesk, off: int, word: str) -> None:
    answer = other.submit(off=off)
    assert answer.status_code == 400
    assert f"{abs(off)} seconds {word}" in answer.text
    assert requests(other.case) == 0
    assert other.submit(off=299 if off > 0 else -299).status_code == 200


def test_an_old_key_is_told(other: OtherDesk) -> None:
    old = other.secret
    with other.case.desk.session(ADMIN) as s:
        other.secret = webhook_peers.new_key(s, "other", overlap_hours=2)
    assert other.submit(secret=old).status_code == 200
    other.case.clock.move(hours=2)
    answer = other.submit("m-3", secret=old)
    assert answer.status_code == 401
    assert "a key that ended at 2026-03-02T11:00" in answer.text
    assert other.submit("m-3").status_code == 200
    with other.case.desk.session(ADMIN) as s:
        webhook_peers.end_peer(s, "other")
    assert other.submit("m-4").status_code == 401


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"secret": "whsec_" + base64.b64encode(b"x" * 32).decode()}, 401),
        ({"sent_body": b'{"type": "erasure.submitted", "data": {}}'}, 401),
        ({"peer": "nobody"}, 401),
        ({"headers": {"webhook-id": "another"}}, 401),
        ({"headers": {"webhook-signature": "v1,AAAA v2,BBBB"}}, 401),
        ({"headers": {"webhook-signature": ""}}, 400),
        ({"headers": {"webhook-timestamp": "soon"}}, 400),
        ({"headers": {"webhook-timestamp": "9" * 30}}, 400),
        ({"headers": {"webhook-id": "x" * 2000}}, 400),
        ({"peer": "Anna"}, 400),
    ],
)
def test_what_is_not_signed_is_refused(other: OtherDesk, changes: dict[str, Any], status: int) -> None:
    answer = other.submit(**changes)
    assert answer.status_code == status, answer.text
    assert requests(other.case) == 0
    assert "Wei" not in answer.text


def test_a_revocation_before_its_submission_is_sent_again(other: OtherDesk) -> None:
    early = other.revoke()
    assert early.status_code == 409
    assert "send the submission first, then this message again" in early.text
    reference = other.submit().json()["id"]
    stranger = other.revoke()
    assert stranger.status_code == 409
    assert "the identity is not verified" in stranger.text
    verify(other.case, reference)
    done = other.revoke()
    assert (done.status_code, done.json()["status"]) == (200, "revoked")
    assert other.revoke().json()["repeated"]
    assert other.revoke("m-9").json()["status"] == "revoked"
    assert other.submit("m-10").json()["status"] == "revoked", "an old submission opens nothing anew"
    assert requests(other.case) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b'"x"',
        b"{}",
        b'{"type": "Anna", "data": {}}',
        b'{"type": ["erasure.revoked"]}',
        b'{"type": "erasure.revoked", "data": {}}',
        b'{"type": "erasure.submitted", "data": {"id": "x", "identifiers": {"Anna": "Anna"}}}',
        b'{"type": "erasure.submitted", "data": {"id": "x", "identifiers": {"name": "\\ud800"}}}',
        b'{"type": "erasure.submitted", "data": {"id": "x\\u0000", "identifiers": {"name": "Anna"}}}',
        b"[" * 50_000,
        b'{"type": "x", "type": "erasure.submitted", "data": {"id": "x", "identifiers": {"name": "Anna"}}}',
        b'{"type": "erasure.submitted", "data": {"id": "x", "identifiers": {"name": "Anna", "name": "Berta"}}}',
    ],
)
def test_content_that_does_not_fit_is_told_without_values(other: OtherDesk, body: bytes) -> None:
    answer = other.send("", {}, body=body)
    assert answer.status_code == 400, answer.text
    assert "Anna" not in answer.text
    assert other.submit().status_code == 200, "its id was not used up"


def test_a_desk_hears_of_its_own_requests_in_order(other: OtherDesk) -> None:
    new_request(other.case)  # of somebody else
    answer = other.submit().json()
    assert other.tell() == 1
    verify(other.case, answer["id"])
    other.case.event(CLERK, answer["id"], "begin_scoping")
    other.case.event(REVIEWER, answer["id"], "cancel", reason="why")
    assert other.tell() == 1, "one at a time"
    assert other.tell() == 1
    assert other.tell() == 0
    told = [body["data"] for _, body in other.told]
    assert [(x["status"], x.get("reason")) for x in told] == [
        ("open", None),
        ("in_progress", None),
        ("denied", "other"),
    ]
    assert {x["reference"] for x in told} == {answer["reference"]}
    for headers, body in other.told:
        raw = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        assert headers["webhook-signature"] == sign(
            other.secret, headers["webhook-id"], int(headers["webhook-timestamp"]), raw
        )
        assert body["type"] == "erasure.status"
    assert len({headers["webhook-id"] for headers, _ in other.told}) == 3


def test_a_desk_that_does_not_answer_is_told_later(other: OtherDesk) -> None:
    other.submit()
    for status, delay in ((500, DELAYS[0]), (302, DELAYS[1]), (429, DELAYS[2])):
        other.status = status
        assert other.tell() == 0
        count = len(other.told)
        other.case.clock.move(seconds=delay - 1)
        other.tell()
        assert len(other.told) == count, "not before its time"
        other.case.clock.move(seconds=1)
    other.status = 204
    assert other.tell() == 1
    assert len({headers["webhook-id"] for headers, _ in other.told}) == 1, "the same id each time"


def test_after_the_last_attempt_it_is_given_up_and_logged(other: OtherDesk) -> None:
    other.submit()

    def nobody(url: str, headers: dict[str, str], body: bytes) -> int:
        raise ConnectionRefusedError("Anna")

    queue_statuses(other.case.desk)
    for _ in range(len(DELAYS) + 3):
        deliver_due(other.case.desk, nobody)
        other.case.clock.move(days=1)
    with other.case.desk.reading(SYSTEM) as s:
        row = s.conn.execute(select(webhook_out)).mappings().one()
        assert (row["attempts"], row["next_at"]) == (len(DELAYS) + 1, None)
        assert row["problem"] == "did not answer (ConnectionRefusedError)"
        assert s.conn.execute(select(t.event_log.c.seq).where(t.event_log.c.type == "webhook.give_up")).all()
    with other.case.desk.reading(ADMIN) as s:
        assert waiting_messages(s) == {"other": 1}


def test_gone_ends_a_desk(other: OtherDesk) -> None:
    other.submit()
    other.status = 410
    assert other.tell() == 0
    assert other.submit("m-5").status_code == 401


def test_an_id_that_comes_with_another_person_is_refused(other: OtherDesk) -> None:
    first = other.submit()
    for number, (identifiers, status) in enumerate(
        [
            ({"name": "Björn Schäfer", "record_number": "PAT-101"}, 409),
            ({**ANNA, "email": "b@example.org"}, 409),
            ({"name": "ANNA  Weiß"}, 200),  # the same person, written otherwise
        ]
    ):
        answer = other.send("erasure.submitted", {"id": "R-1", "identifiers": identifiers}, f"m-{number + 20}")
        assert answer.status_code == status, answer.text
        assert answer.json().get("id", first.json()["id"]) == first.json()["id"]
        assert "Björn" not in answer.text
    assert requests(other.case) == 1
    with other.case.desk.reading(SYSTEM) as s:
        query = select(t.event_log.c.body).where(t.event_log.c.type == "webhook.refuse")
        rows = [json.loads(body) for body in s.conn.execute(query).scalars()]
    assert [row["where"] for row in rows] == ["request", "request"]


def test_a_desk_that_ended_comes_back_under_its_name(other: OtherDesk) -> None:
    first, old = other.submit().json(), other.secret
    queue_statuses(other.case.desk)
    with other.case.desk.session(ADMIN) as s:
        webhook_peers.end_peer(s, "other")
    assert other.submit("m-2").status_code == 401
    with other.case.desk.session(ADMIN) as s:
        other.secret = webhook_peers.add_peer(s, "other", url=URL)
        with pytest.raises(Refusal, match="one of this name"):
            webhook_peers.add_peer(s, "other", url=URL)
    assert other.submit("m-3", secret=old).status_code == 401
    assert other.submit("m-3").json()["id"] == first["id"]
    assert other.tell() == 0, "what waited before is not sent"
    verify(other.case, first["id"])
    other.case.event(CLERK, first["id"], "begin_scoping")
    assert other.tell() == 1


def test_both_keys_sign_while_both_hold(other: OtherDesk) -> None:
    old = other.secret
    with other.case.desk.session(ADMIN) as s:
        new = webhook_peers.new_key(s, "other")
    other.submit()
    other.tell()
    ((headers, body),) = other.told
    raw = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    for secret in (old, new):
        assert (
            sign(secret, headers["webhook-id"], int(headers["webhook-timestamp"]), raw)
            in headers["webhook-signature"].split()
        )


def test_a_message_is_claimed_by_one_sender(other: OtherDesk) -> None:
    other.submit()
    queue_statuses(other.case.desk)

    def twice(url: str, headers: dict[str, str], body: bytes) -> int:
        assert deliver_due(other.case.desk, other.post) == 0, "claimed"
        return other.post(url, headers, body)

    assert deliver_due(other.case.desk, twice) == 1
    assert len(other.told) == 1


def test_secrets_are_encrypted_and_rotate(other: OtherDesk) -> None:
    other.submit()
    rotate_keys(other.case.desk, ADMIN)
    assert other.submit().json()["repeated"]
    assert not other.submit("m-2").json()["repeated"]
    assert requests(other.case) == 1, "the id of the other desk is known after a rotation, too"
    raw = b"".join(f.read_bytes() for f in other.case.folder.glob("desk.db*"))
    assert other.secret.removeprefix("whsec_").encode() not in raw


def test_a_desk_hears_of_every_request_if_it_should(tmp_path: Path) -> None:
    other = OtherDesk(web_desk(tmp_path / "desk"), url=URL, every_request=True, face="ketch")
    request_id = new_request(other.case)
    while other.tell():
        pass
    assert [body["data"] for _, body in other.told] == [
        {"requestID": request_id, "status": "pending"},
        {"requestID": request_id, "status": "pending", "reason": "need_user_verification"},
    ]


def test_the_table_knows_every_state_and_drp_is_the_desks_own() -> None:
    for face in webhook_table().faces.values():
        assert set(face.states) == set(STATES)
    drp = webhook_table().faces["drp"]
    assert {state: drp.states[state].status for state in STATES} == DRP
    assert drp.status_of("closed", "denied").status == "denied"
    assert drp.status_of("closed", None).status == "fulfilled"


@pytest.mark.parametrize(
    "url",
    [
        "http://privacy.example",
        "https://",
        "ftp://x",
        "file:///etc/passwd",
        "https://u:p@x.example",
        "https://@x.example",
        "x",
        "https://x.example/\r\nHost: other",
        "https://x.example/\t",
        "https://x.example:abc",
        "https://x.example:0",
        "https://x.example:99999",
        "https://[::1",
        "https://x.example\\@other.example",
        "https://x.example/#",
        "https://xä.example",
    ],
)
def test_only_https_addresses_are_told(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match="no https address"):
        webhook_peers.check_url(url)
    assert webhook_peers.check_url("http://127.0.0.1:9/x")


def test_only_an_admin_adds_a_desk(tmp_path: Path) -> None:
    case = web_desk(tmp_path / "desk")
    for name, actor in (("x", CLERK), ("x", Actor("webhook:x", "webhook"))):
        with pytest.raises(Refusal), case.desk.session(actor) as s:
            webhook_peers.add_peer(s, name)
    for options in ({"face": "drpp"}, {"secret": "short"}, {"url": "http://x.example"}):
        with pytest.raises(InputError), case.desk.session(ADMIN) as s:
            webhook_peers.add_peer(s, "x", **options)
    with case.desk.reading(ADMIN) as s:
        assert webhook_peers.peers(s) == []

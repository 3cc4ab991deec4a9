"""Messages of other desks: a submission or a revocation, each taken once. Every trouble has one clear answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from sqlalchemy import insert, select

from expunge._config import FrozenModel
from expunge._io import parse_json
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.facts import request_row
from expunge.desk.names import stamp
from expunge.desk.requests import act, request_from_outside, submit
from expunge.desk.roles import SYSTEM, Actor, Refusal
from expunge.desk.web_tables import webhook_in
from expunge.errors import InputError
from expunge.web.api_models import Line, Reason, Submission
from expunge.web.errors import Turned, as_input_error
from expunge.web.webhook_faces import webhook_face, webhook_table
from expunge.web.webhook_peers import PeerKey, actor_name, peer_keys, peer_row
from expunge.web.webhook_sap import read_sap
from expunge.web.webhook_signature import fits
from expunge.web.webhook_transcend import read_transcend

TOLERANCE = 300  # seconds between the clock of the sender and ours
ID, SENT, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
OutsideId = Annotated[Line, Field(min_length=1, max_length=200, description="id of the request at the other desk")]


class OutsideSubmission(Submission):
    """A submission of another desk."""

    id: OutsideId


class OutsideRevocation(FrozenModel):
    """The person takes the request back."""

    id: OutsideId
    reason: Reason = "revoked at the other desk"


class SubmittedMessage(FrozenModel):
    """A message of the type erasure.submitted."""

    type: Literal["erasure.submitted"]
    timestamp: str = Field("", max_length=40, description="when it happened there")
    data: OutsideSubmission


class RevokedMessage(FrozenModel):
    """A message of the type erasure.revoked."""

    type: Literal["erasure.revoked"]
    timestamp: str = Field("", max_length=40, description="when it happened there")
    data: OutsideRevocation


SUBMITTED = "erasure.submitted"
Reader = Callable[[Any], dict[str, Any]]  # a body in the words of a peer -> the data of a submission
READERS: dict[str, Reader] = {"sap-dpi": read_sap, "transcend": read_transcend}
MESSAGES: dict[str, type[SubmittedMessage] | type[RevokedMessage]] = {
    "submit": SubmittedMessage,
    "revoke": RevokedMessage,
}


@dataclass(frozen=True)
class MessageHead:
    """Id, time and signatures of a message."""

    id: str
    sent: int
    signatures: str


def read_head(headers: Mapping[str, str]) -> MessageHead:
    """The three headers of a message; `InputError` if one is missing or malformed."""
    values = {name: headers.get(name, "").strip() for name in (ID, SENT, SIGNATURE)}
    for name, value in values.items():
        if not value or len(value) > 1000 or not value.isascii() or not value.isprintable():
            raise InputError(name, "is missing or malformed", "send the three headers of Standard Webhooks")
    if not values[SENT].isdigit() or len(values[SENT]) > 12:
        raise InputError(SENT, "is no time", "send seconds since 1970")
    return MessageHead(values[ID][:200], int(values[SENT]), values[SIGNATURE])


def take_message(desk: Desk, peer: str, head: MessageHead, body: bytes) -> dict[str, Any]:
    """Take a message, and return where its request stands.

    Raises:
        Turned: 401 for a signature that does not fit or of a key that ended.
        InputError: a clock that is off, or content that does not fit.
        Refusal: the id was used for another message, or that of the request for another person, both of which are
            logged; a revocation that came before its submission, of somebody who is
            not identified, or too late.
    """
    with desk.reading(SYSTEM) as s:
        try:
            row = peer_row(s, peer)
        except Refusal as error:
            raise _unsigned() from error
        _check_signature(peer_keys(s, row["id"]), head, body, s.at)
        _check_clock(head.sent, s.now.timestamp())
    actor, face = Actor(actor_name(peer), "webhook"), webhook_face(row["face"])
    try:
        with desk.session(actor) as s:
            known = _known(s, row["id"], head, body)
            request_id = known or _do(s, peer, _read(body, READERS.get(face.reads)))
            if known is None:
                _remember(s, row["id"], head, body, request_id)
            request = request_row(s, request_id)
            outside = face.status_of(request["state"], request["ended_as"])
    except Refusal as refusal:
        if refusal.kind == "conflict":
            with desk.session(actor) as s:
                digest = s.keys.keyed_digest(head.id.encode(), "webhook")
                s.log("webhook.refuse", {"peer": row["id"], "message": digest, "where": refusal.where})
        raise
    return {
        "id": request["id"],
        "reference": request["reference"],
        "status": outside.status,
        "repeated": known is not None,
    }


def _unsigned() -> Turned:
    return Turned(401, "the signature does not fit", "check the secret, and sign the body as it is sent", SIGNATURE)


def _check_signature(keys: list[PeerKey], head: MessageHead, body: bytes, now: str) -> None:
    key = next((k for k in keys if fits(k.secret, head.signatures, head.id, head.sent, body)), None)
    if key is None:
        raise _unsigned()
    if key.ended_at is not None and now >= key.ended_at:
        raise Turned(401, f"was made with a key that ended at {key.ended_at}", "use the new key", SIGNATURE)


def _check_clock(sent: int, now: float) -> None:
    off = round(sent - now)
    if abs(off) > TOLERANCE:
        side = "ahead of" if off > 0 else "behind"
        what = f"is {abs(off)} seconds {side} the clock here, and {TOLERANCE} are allowed"
        raise InputError(SENT, what, "set the clocks, and send it anew with the present time")


def _known(s: DeskSession, peer_id: str, head: MessageHead, body: bytes) -> str | None:
    here = (webhook_in.c.peer_id == peer_id, webhook_in.c.message_digest.in_(_digests(s, head.id.encode())))
    row = s.conn.execute(select(webhook_in).where(*here)).mappings().first()
    if row is None:
        return None
    if row["body_digest"] not in _digests(s, body):
        raise Refusal(ID, "was used for another message", "give each message an id of its own", kind="conflict")
    return str(row["request_id"])


def _remember(s: DeskSession, peer_id: str, head: MessageHead, body: bytes, request_id: str) -> None:
    values = {
        "peer_id": peer_id,
        "message_digest": s.keys.keyed_digest(head.id.encode(), "webhook"),
        "body_digest": s.keys.keyed_digest(body, "webhook"),
        "request_id": request_id,
        "sent_at": stamp(datetime.fromtimestamp(head.sent, UTC)),
        "at": s.at,
    }
    s.conn.execute(insert(webhook_in).values(**values))


def _digests(s: DeskSession, data: bytes) -> list[str]:
    return s.keys.keyed_digests(data, "webhook")


def _do(s: DeskSession, peer: str, message: SubmittedMessage | RevokedMessage) -> str:
    outside = f"{peer}\0{message.data.id}"
    if isinstance(message, SubmittedMessage):
        data = message.data
        return submit(
            s,
            data.identifiers,
            regime=data.policy,
            received_at=data.received_at,
            language=data.language,
            outside_id=outside,
        )
    request_id = request_from_outside(s, outside)
    if request_id is None:
        what = "no request with this id has come"
        raise Refusal("revocation", what, "send the submission first, then this message again", kind="conflict")
    subject = DeskSession(s.desk, s.conn, Actor(s.actor.person, "subject"), s.now)
    if request_row(s, request_id)["ended_as"] != "revoked":  # revoked before: an idempotent success
        act(subject, request_id, "revoke", reason=message.data.reason)
    return request_id


def _read(body: bytes, reader: Reader | None) -> SubmittedMessage | RevokedMessage:
    """The message of a body, in our words or in those of the peer. Errors name fields, never values."""
    try:
        raw = parse_json(body.decode("utf-8"), "message")
    except UnicodeDecodeError as error:
        raise InputError("message", "is not UTF-8", "send JSON") from error
    except InputError as error:
        raise InputError("message", "is no JSON", "send a JSON object") from error
    kind = raw.get("type") if isinstance(raw, dict) else None
    action = webhook_table().incoming.get(kind) if isinstance(kind, str) else None
    try:
        if action is None and reader is not None:
            return SubmittedMessage.model_validate({"type": SUBMITTED, "data": reader(raw)})
    except ValidationError as error:
        raise as_input_error(error) from error
    if action is None:
        raise InputError("message.type", "is none that is taken here", f"send {' or '.join(webhook_table().incoming)}")
    try:
        return MESSAGES[action].model_validate(raw)
    except ValidationError as error:
        raise as_input_error(error) from error

"""Other privacy desks: who they are, where they listen, and the secrets that are shared with them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import RowMapping, insert, select, update

from expunge.desk.desk import DeskSession
from expunge.desk.event_log import read_head
from expunge.desk.names import new_id, stamp
from expunge.desk.roles import Refusal
from expunge.desk.web_tables import webhook_key, webhook_out, webhook_peer
from expunge.errors import InputError
from expunge.web.settings import is_loopback, split_url
from expunge.web.webhook_faces import webhook_face
from expunge.web.webhook_signature import new_secret, secret_bytes

DEFAULT_OVERLAP = 24  # hours for which the key before a new one still holds


@dataclass(frozen=True)
class PeerKey:
    """A secret of a peer, and when it ended or ends."""

    secret: str = field(repr=False)
    ended_at: str | None


def actor_name(peer: str) -> str:
    """Under which name a peer acts in the log; no person can have it."""
    return f"webhook:{peer}"


def check_url(url: str) -> str:
    """A URL to which messages may go: https, or http on this machine."""
    parts = split_url(url)
    is_here = parts is not None and parts.scheme == "http" and is_loopback(parts.hostname or "")
    if parts is None or "#" in url or not (parts.scheme == "https" or is_here):
        raise InputError("--url", "is no https address", "for example https://privacy.example/hooks")
    return url


def add_peer(
    s: DeskSession,
    name: str,
    *,
    url: str | None = None,
    face: str = "drp",
    every_request: bool = False,
    secret: str | None = None,
) -> str:
    """Add a peer, and return the secret to share with it, which is shown once.

    A name stays that of its desk: one that had ended comes back under it, with a new key, and hears of its requests
    from now on.

    Args:
        s: a session as admin.
        name: short name.
        url: where it listens to status messages; without one it only sends.
        face: in whose words it is told.
        every_request: tell it of every request, not only of those that it submitted.
        secret: one that the peer made; a new one otherwise.
    """
    s.actor.check_may("edit keys")
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,39}", name):
        raise InputError("webhook", "has no usable name", "use small letters, digits and -")
    webhook_face(face)
    known = s.conn.execute(select(webhook_peer).where(webhook_peer.c.name == name)).mappings().first()
    if known is not None and known["ended_at"] is None:
        raise Refusal("webhook", "there is one of this name", "change its key with --new-key", kind="conflict")
    row_id = known["id"] if known is not None else new_id()
    values = {
        "url": url and check_url(url),
        "face": face,
        "every_request": int(every_request),
        "seen_seq": read_head(s.conn).seq,
        "at": s.at,
        "ended_at": None,
    }
    if known is None:
        s.conn.execute(insert(webhook_peer).values(id=row_id, name=name, **values))
    else:
        s.conn.execute(update(webhook_peer).where(webhook_peer.c.id == row_id).values(**values))
        _drop_rest(s, row_id)
    s.log("webhook.add", {"peer": row_id, "face": face, "every_request": every_request})
    return _add_key(s, row_id, secret)


def _drop_rest(s: DeskSession, peer_id: str) -> None:
    """What is left of the time before: keys hold no longer, and messages that waited are not sent."""
    holds = webhook_key.c.ended_at.is_(None) | (webhook_key.c.ended_at > s.at)
    s.conn.execute(update(webhook_key).where(webhook_key.c.peer_id == peer_id, holds).values(ended_at=s.at))
    waits = (webhook_out.c.peer_id == peer_id, webhook_out.c.next_at.is_not(None))
    s.conn.execute(update(webhook_out).where(*waits).values(next_at=None, problem="the desk had ended"))


def new_key(s: DeskSession, name: str, *, secret: str | None = None, overlap_hours: int = DEFAULT_OVERLAP) -> str:
    """A new key of a peer; the one before holds for some hours more."""
    s.actor.check_may("edit keys")
    row = peer_row(s, name)
    until = stamp(s.now + timedelta(hours=overlap_hours))
    before = (webhook_key.c.peer_id == row["id"], webhook_key.c.ended_at.is_(None) | (webhook_key.c.ended_at > until))
    s.conn.execute(update(webhook_key).where(*before).values(ended_at=until))
    return _add_key(s, row["id"], secret)


def end_peer(s: DeskSession, name: str) -> None:
    """Nothing is taken from a peer any more, and nothing sent to it, until it is added again."""
    s.actor.check_may("edit keys")
    row = peer_row(s, name)
    s.conn.execute(update(webhook_peer).where(webhook_peer.c.id == row["id"]).values(ended_at=s.at))
    s.log("webhook.end", {"peer": row["id"]})


def _add_key(s: DeskSession, peer_id: str, secret: str | None) -> str:
    value, row_id = secret or new_secret(), new_id()
    secret_bytes(value)
    sealed = s.keys.encrypt(value, ("webhook_key", "ciphertext", row_id))
    values = {"id": row_id, "peer_id": peer_id, "ciphertext": sealed, "key_id": s.keys.current, "at": s.at}
    s.conn.execute(insert(webhook_key).values(**values))
    s.log("webhook.key", {"peer": peer_id, "key": row_id})
    return value


def peer_row(s: DeskSession, name: str) -> RowMapping:
    """A peer that has not ended; `Refusal` of kind `missing`."""
    row = (
        s.conn.execute(select(webhook_peer).where(webhook_peer.c.name == name, webhook_peer.c.ended_at.is_(None)))
        .mappings()
        .first()
    )
    if row is None:
        raise Refusal("webhook", "there is no such webhook", "see expunge desk webhooks", kind="missing")
    return row


def peers(s: DeskSession) -> list[RowMapping]:
    """All peers, by name."""
    return list(s.conn.execute(select(webhook_peer).order_by(webhook_peer.c.name)).mappings())


def peer_keys(s: DeskSession, peer_id: str) -> list[PeerKey]:
    """All keys of a peer, the newest first."""
    query = select(webhook_key).where(webhook_key.c.peer_id == peer_id).order_by(webhook_key.c.id.desc())
    return [
        PeerKey(
            s.keys.decrypt(row["ciphertext"], ("webhook_key", "ciphertext", row["id"]), row["key_id"]), row["ended_at"]
        )
        for row in s.conn.execute(query).mappings()
    ]

"""A new key: everything that is encrypted is written anew under it, and the blind indexes are computed anew."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, update

from expunge.desk import tables as t
from expunge.desk import web_tables as w
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.keys import KeyRing
from expunge.desk.oidc_binding import PURPOSE
from expunge.desk.oidc_tables import oidc_account
from expunge.desk.roles import Actor

ENCRYPTED: tuple[tuple[Any, str], ...] = (
    (t.identifier, "identifier"),
    (t.match, "match"),
    (t.reason, "reason"),
    (w.account, "account"),
    (w.webhook_key, "webhook_key"),
    (oidc_account, "oidc_account"),
)


def rotate_keys(desk: Desk, actor: Actor) -> int:
    """Make a new key the current one and use it for every stored value; returns how many were written anew.

    The key file is written first and keeps the old key: a crash in between leaves everything readable, and the next
    call goes on with the key that is there. Digests of matches that were purged stay under the old key.
    """
    actor.check_may("edit keys")
    path = desk.folder / desk.settings.keys
    with desk.session(actor) as s:
        ring = KeyRing.load(path)
        if not _left(s, ring.current):
            ring = ring.with_new_key(path)
        desk.keys = ring
        count = _rewrite(s)
        s.log("keys.rotate", {"key": ring.current, "values": count})
    return count


def _left(s: DeskSession, current: str) -> bool:
    """Whether a rotation was begun and not finished: a value is still under an older key than the current one."""
    tables = [table for table, _ in ENCRYPTED] + [t.request_key]
    old = [
        s.conn.execute(select(x.c.key_id).where(x.c.key_id.is_not(None), x.c.key_id != current)).first() for x in tables
    ]
    return any(row is not None for row in old)


def _rewrite(s: DeskSession) -> int:
    count = 0
    for table, name in ENCRYPTED:
        for row in s.conn.execute(select(table).where(table.c.ciphertext.is_not(None))).mappings().all():
            where = (name, "ciphertext", row["id"])
            text = s.keys.decrypt(row["ciphertext"], where, row["key_id"])
            values: dict[str, Any] = {"ciphertext": s.keys.encrypt(text, where), "key_id": s.keys.current}
            if name == "identifier":
                values["blind_index"] = s.keys.index(row["kind"], text)
            if name == "match":
                values["object_digest"] = s.keys.keyed_digest(text, "object")
            if name == "oidc_account":
                values["digest"] = s.keys.keyed_digest(text, PURPOSE)
            s.conn.execute(update(table).where(table.c.id == row["id"]).values(**values))
            count += 1
    for row in s.conn.execute(select(t.request_key)).mappings().all():
        where = ("request_key", row["purpose"], row["request_id"])
        text = s.keys.decrypt(row["ciphertext"], where, row["key_id"])
        here = (t.request_key.c.request_id == row["request_id"], t.request_key.c.purpose == row["purpose"])
        new = {"ciphertext": s.keys.encrypt(text, where), "key_id": s.keys.current}
        s.conn.execute(update(t.request_key).where(*here).values(**new))
        count += 1
    return count

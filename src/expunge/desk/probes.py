"""Forgotten records, kept encrypted as probes so that later runs can be asked again whether they stay forgotten.

Each request has a key of its own. Once it is shredded, nothing can be asked again, and the certificate says since when.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete, insert, or_, select, update

from expunge._io import digest_file, write_atomic
from expunge.desk import tables as t
from expunge.desk.connectors.model_folder import remove_folder
from expunge.desk.desk import DeskSession
from expunge.desk.guard_files import guard_files
from expunge.desk.keys import KEY_BYTES, seal, unseal
from expunge.desk.merged_input import COPIES, MERGED, PICTURES
from expunge.desk.rehearsal_files import FOLDER as REHEARSAL
from expunge.errors import InputError

FOLDER = "probes"
CERTIFICATE_KEY = "certificate"  # purpose of the key under which a certificate commits to records


def request_key(s: DeskSession, request_id: str, purpose: str = "probes", *, create: bool = True) -> bytes | None:
    """The key of a request for one purpose; None if there is none, or it was shredded."""
    here = (t.request_key.c.request_id == request_id, t.request_key.c.purpose == purpose)
    row = s.conn.execute(select(t.request_key).where(*here)).mappings().first()
    where = ("request_key", purpose, request_id)
    if row is not None:
        return base64.b64decode(s.keys.decrypt(row["ciphertext"], where, row["key_id"]))
    if not create:
        return None
    key = secrets.token_bytes(KEY_BYTES)
    s.conn.execute(
        insert(t.request_key).values(
            request_id=request_id,
            purpose=purpose,
            ciphertext=s.keys.encrypt(base64.b64encode(key).decode(), where),
            key_id=s.keys.current,
        )
    )
    return key


def keep_probes(s: DeskSession, request_id: str, asset_id: str, rows: Sequence[dict[str, Any]]) -> None:
    """Keep records of a request in a corpus, before they are removed from it; a second call changes nothing."""
    here = (t.probe.c.request_id == request_id, t.probe.c.asset_id == asset_id)
    if not rows or not s.settings.probe_days or s.conn.execute(select(t.probe).where(*here)).first():
        return
    key = request_key(s, request_id)
    assert key is not None
    data = seal(key, json.dumps(list(rows), ensure_ascii=False).encode(), ("probe", asset_id, request_id))
    draft = write_atomic(s.desk.folder / FOLDER / f"{request_id}-{asset_id}", data, private=True)
    digest = digest_file(draft)
    until = date.fromisoformat(s.today) + timedelta(days=s.settings.probe_days)
    s.conn.execute(
        insert(t.probe).values(
            request_id=request_id,
            asset_id=asset_id,
            file_digest=digest,
            records=len(rows),
            until=until.isoformat(),
            ground=s.settings.probe_ground,
        )
    )
    body = {"asset": asset_id, "digest": digest, "records": len(rows), "until": until.isoformat()}
    s.log("probe.keep", body, request_id)


def read_probes(s: DeskSession, asset_id: str, requests: Collection[str]) -> list[dict[str, Any]]:
    """The kept records of these requests in a corpus, in the order of requests."""
    rows: list[dict[str, Any]] = []
    here = (t.probe.c.asset_id == asset_id, t.probe.c.request_id.in_(requests))
    query = select(t.probe).where(*here, t.probe.c.shredded_at.is_(None))
    for probe in s.conn.execute(query.order_by(t.probe.c.request_id)).mappings().all():
        file = probe_file(s.desk.folder, probe["request_id"], asset_id)
        key = request_key(s, probe["request_id"], create=False)
        if key is None or not file.is_file() or digest_file(file) != probe["file_digest"]:
            raise InputError(str(file), "is gone or was changed", "restore it, or shred the probes of the request")
        data = unseal(key, file.read_bytes(), ("probe", asset_id, probe["request_id"]))
        rows += json.loads(data)
    return rows


def shred_probes(s: DeskSession, request_id: str) -> int:
    """Delete the key of a request's probes, and every file that holds them; returns how many there were.

    Files of probes, and audits of the request after later runs, go once the transaction is committed. Inputs of runs go
    at once, too: a run writes its own anew.
    """
    query = select(t.probe).where(t.probe.c.request_id == request_id, t.probe.c.shredded_at.is_(None))
    rows = s.conn.execute(query).mappings().all()
    here = (t.request_key.c.request_id == request_id, t.request_key.c.purpose == "probes")
    s.conn.execute(delete(t.request_key).where(*here))
    s.conn.execute(update(t.probe).where(t.probe.c.request_id == request_id).values(shredded_at=s.at))
    s.delete_files(probe_file(s.desk.folder, request_id, row["asset_id"]) for row in rows)
    if rows:
        _delete_copies(s, [row["asset_id"] for row in rows])
        s.delete_files(guard_files(s.desk.runs, request_id))
        s.log("probe.shred", {"files": len(rows)}, request_id)
    return len(rows)


def _delete_copies(s: DeskSession, assets: Sequence[str]) -> None:
    """Delete the inputs of all runs and rehearsals on these corpora."""
    plans = select(t.plan.c.hash).where(or_(*(t.plan.c.content.contains(asset_id) for asset_id in assets)))
    for plan_hash in s.conn.execute(plans).scalars():
        folder = s.desk.runs / str(plan_hash)[:16]
        places = (folder, folder / REHEARSAL)
        for file in [file for place in places for pattern in COPIES for file in place.glob(pattern)]:
            with suppress(InputError):  # a worker clears the inputs of runs once more
                remove_folder(file)
        again = [place / name for place in places for name in (MERGED, PICTURES)]
        s.delete_files(again)  # written once more while the transaction went on


def shred_overdue(s: DeskSession) -> list[str]:
    """Shred the probes whose time is over; returns the requests."""
    query = select(t.probe.c.request_id).where(t.probe.c.until < s.today, t.probe.c.shredded_at.is_(None)).distinct()
    requests = list(s.conn.execute(query).scalars())
    for request_id in requests:
        shred_probes(s, request_id)
    return requests


def probe_file(root: Path, request_id: str, asset_id: str) -> Path:
    """Where the probes of a request in a corpus lie."""
    return root / FOLDER / f"{request_id}-{asset_id}"

"""The records of earlier requests that are still here, and that a later run is asked of."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import select

from expunge._io import write_atomic
from expunge.desk import tables as t
from expunge.desk.assets import asset_row, connector_of
from expunge.desk.connectors.corpus_file import CorpusFile
from expunge.desk.desk import DeskSession
from expunge.desk.guard_files import guard_folder
from expunge.desk.probes import read_probes
from expunge.desk.run_input import record_name


def records_left(s: DeskSession, content: dict[str, Any], requests: Iterable[str]) -> dict[str, set[str]]:
    """Request -> ids of its records in the input of a run; only those that the desk may still write down.

    Requests of which no record is left, or whose record period is over, are not in it.
    A match keeps no name once its request is purged, so records are known again by their keyed digest.
    """
    wanted = list(requests)
    names: dict[str, set[str]] = {}
    several = len(content["corpora"]) > 1
    for asset_id, _ in content["corpora"]:
        owners = _owners(s, asset_id, wanted)
        for name in _ids(s, asset_id, wanted) if owners else ():
            for key in s.keys.keys:
                for request_id in owners.get(s.keys.keyed_digest(name, "object", key), ()):
                    names.setdefault(request_id, set()).add(record_name(asset_id, name, several))
    return names


def write_guard_scope(folder: Path, request_id: str, names: Iterable[str]) -> str:
    """Write the ids of an earlier request's records into the folder of a run, and return their scope."""
    file = f"{guard_folder(request_id)}.txt"
    write_atomic(folder / file, "".join(f"{name}\n" for name in sorted(names)), private=True)
    return f"ids:@{file}"


def _owners(s: DeskSession, asset_id: str, requests: list[str]) -> dict[str, list[str]]:
    """Keyed digest of a confirmed record -> the requests that named it."""
    here = (t.match.c.asset_id == asset_id, t.match.c.state == "confirmed", t.match.c.request_id.in_(requests))
    named = select(t.match.c.request_id, t.match.c.object_digest)
    query = named.join(t.request, t.request.c.id == t.match.c.request_id)
    owners: dict[str, list[str]] = {}
    for request_id, digest in s.conn.execute(query.where(*here, t.request.c.records_ended_at.is_(None))):
        owners.setdefault(str(digest), []).append(str(request_id))
    return owners


def _ids(s: DeskSession, asset_id: str, requests: list[str]) -> set[str]:
    """Ids of the records of a corpus, and of the probes of requests."""
    connector = connector_of(asset_row(s, asset_id))
    assert isinstance(connector, CorpusFile)
    return {r.id for r in connector.load(s.desk.folder)} | {row["id"] for row in read_probes(s, asset_id, requests)}

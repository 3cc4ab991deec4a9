"""Purge after promotion: one task per asset with state, retry and receipt, and the purge of the request itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from sqlalchemy import RowMapping, delete, insert, select, update

from expunge.desk import tables as t
from expunge.desk.assets import OLD_VERSIONS, asset_row, connector_of
from expunge.desk.connectors.base import Connector, PurgeOutcome
from expunge.desk.connectors.corpus_file import CorpusFile
from expunge.desk.connectors.dated import Recipient
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.facts import request_row
from expunge.desk.matching import confirmed_objects
from expunge.desk.merged_input import portable_row
from expunge.desk.models import removable_versions
from expunge.desk.names import new_id
from expunge.desk.picture_purge import removing_pictures
from expunge.desk.place_lock import alone_at, lock_file
from expunge.desk.probes import CERTIFICATE_KEY, keep_probes
from expunge.desk.roles import SYSTEM, Actor, Refusal
from expunge.errors import InputError

OPEN_TASKS = ("open", "running", "failed")
NO_NOTICE = "nobody has noted yet that the recipient was told"  # such a task waits for a person, not for a worker


def list_tasks(s: DeskSession, request_id: str) -> int:
    """One task for each asset of the request, done at once where nothing is to be done; returns how many there are."""
    query = select(t.decision).where(t.decision.c.request_id == request_id, t.decision.c.is_final == 1)
    rows = s.conn.execute(query).mappings().all()
    known = set(s.conn.execute(select(t.task.c.asset_id).where(t.task.c.request_id == request_id)).scalars())
    for row in rows:
        if row["asset_id"] not in known:
            todo = row["value"] == "erase"
            s.conn.execute(
                insert(t.task).values(
                    id=new_id(),
                    request_id=request_id,
                    asset_id=row["asset_id"],
                    state="open" if todo else "done",
                    attempts=0,
                    receipt=None if todo else json.dumps({"decision": row["value"]}),
                    at=s.at,
                )
            )
    return len(rows)


def tasks(s: DeskSession, request_id: str) -> list[RowMapping]:
    """The tasks of a request with the names of their assets."""
    s.actor.check_may("read")
    query = select(t.task, t.asset.c.name.label("asset"), t.asset.c.kind).join(
        t.asset, t.asset.c.id == t.task.c.asset_id
    )
    return list(s.conn.execute(query.where(t.task.c.request_id == request_id).order_by(t.asset.c.name)).mappings())


def run_tasks(desk: Desk, request_id: str, actor: Actor = SYSTEM) -> list[str]:
    """Do the open tasks of a request, each alone at its place; one that fails does not stop the others.

    Returns:
        Names of the assets whose task failed.
    """
    actor.check_may("purge")
    with desk.reading(actor) as s:
        open_tasks = [row for row in tasks(s, request_id) if row["state"] in OPEN_TASKS]
    failures = []
    for row in open_tasks:
        try:
            _do_task(desk, actor, row)
        except InputError as error:
            failures.append(row["asset"])
            _note(desk, actor, row, "failed", None, str(error))
    return failures


def _do_task(desk: Desk, actor: Actor, row: RowMapping) -> None:
    with desk.reading(actor) as s:
        connector = connector_of(asset_row(s, row["asset_id"]))
    if isinstance(connector, Recipient):
        _wait_for_notice(desk, actor, row)
        return
    with alone_at(lock_file(desk.folder, connector, row["asset_id"])):
        with desk.reading(actor) as s:
            if not _is_open(s, row):  # another worker has done it in the meantime
                return
        receipt = _purge(desk, actor, row["request_id"], row["asset_id"], connector)
        state = "dated" if receipt.due_on or receipt.note.startswith("stays") else "done"
        _note(desk, actor, row, state, receipt, "")


def _wait_for_notice(desk: Desk, actor: Actor, row: RowMapping) -> None:
    """The task stays open until somebody notes that the recipient was told; see `recipients`."""
    if row["problem"] != NO_NOTICE:
        with desk.session(actor) as s:
            here = (t.task.c.id == row["id"], t.task.c.state.in_(OPEN_TASKS))
            s.conn.execute(update(t.task).where(*here).values(state="open", attempts=1, problem=NO_NOTICE, at=s.at))


def _is_open(s: DeskSession, row: RowMapping) -> bool:
    return s.conn.execute(select(t.task.c.state).where(t.task.c.id == row["id"])).scalar_one() in OPEN_TASKS


def _purge(desk: Desk, actor: Actor, request_id: str, asset_id: str, connector: Connector) -> PurgeOutcome:
    with desk.reading(actor) as s:
        asset = asset_row(s, asset_id)
        objects = confirmed_objects(s, request_id, asset_id)
        today = s.today
        if asset["connector"] == OLD_VERSIONS:
            can_go, stay = removable_versions(s, str(asset["lineage"]))
    if asset["connector"] == OLD_VERSIONS:
        receipt = connector.purge(desk.folder, [v["path"] for v in can_go], today)
        with desk.session(actor) as s:
            for version in can_go:
                here = t.model_version.c.digest == version["digest"]
                s.conn.execute(update(t.model_version).where(here).values(purged_at=s.at))
        note = f"stays: {len(stay)} model(s) on which the adapter in use stands" if stay else ""
        return PurgeOutcome(receipt.removed, receipt.absent, note=note)
    if connector.searches and not objects:
        return PurgeOutcome(note="nothing was confirmed in it")
    if isinstance(connector, CorpusFile):
        by_id = connector.load(desk.folder).by_id
        records = [by_id[name] for name in objects if name in by_id]
        with desk.session(actor) as s:
            keep_probes(s, request_id, asset_id, [portable_row(record) for record in records])
        with removing_pictures(desk, f"{request_id}-{asset_id}", records) as pictures:
            outcome = connector.purge(desk.folder, objects, today)
        return replace(outcome, note=pictures.note)
    return connector.purge(desk.folder, objects, today)


def _note(desk: Desk, actor: Actor, row: RowMapping, state: str, receipt: PurgeOutcome | None, problem: str) -> None:
    with desk.session(actor) as s:
        if not _is_open(s, row):
            return
        if problem:  # it may name what a corpus holds
            s.keep_reason(problem, f"task {row['asset']}"[:40], row["request_id"])
            problem = "failed; the reasons of the request say why"
        values: dict[str, Any] = {
            "state": state,
            "attempts": row["attempts"] + 1,
            "problem": problem or None,
            "at": s.at,
        }
        if receipt is not None:
            values |= {"receipt": json.dumps(receipt.as_dict(), sort_keys=True), "due_on": receipt.due_on}
        s.conn.execute(update(t.task).where(t.task.c.id == row["id"]).values(**values))
        body = {"task": row["id"], "asset": row["asset_id"], "state": state}
        if receipt is not None:
            body["receipt"] = s.keys.keyed_digest(values["receipt"], "receipt")
        s.log("task.end", body, row["request_id"])


def confirm_task(s: DeskSession, task_id: str, note: str) -> None:
    """Settle a task by hand: a recipient confirmed, or somebody removed what the desk could not."""
    s.actor.check_may("purge")
    row = s.conn.execute(select(t.task).where(t.task.c.id == task_id)).mappings().first()
    if row is None:
        raise Refusal("task", "there is no such task", kind="missing")
    if not note.strip():
        raise Refusal("task", "a reason is missing", "say who confirmed it, and how")
    s.conn.execute(update(t.task).where(t.task.c.id == task_id).values(state="done", problem=None, at=s.at))
    body = {"task": task_id, "reason": s.keep_reason(note, "task", row["request_id"])}
    s.log("task.confirm", body, row["request_id"])


def purge_request(s: DeskSession, request_id: str) -> None:
    """Remove what identifies the person from a closed request: identifiers, indexes, matches, reasons and keys.

    The opaque rows and the log stay; see `record_period` for the rest. A second call changes nothing.

    Raises:
        Refusal: the request is not closed.
    """
    s.actor.check_may("purge")
    row = request_row(s, request_id)
    if row["state"] != "closed":
        raise Refusal("purge", f"the request is {row['state']}, not closed", kind="state")
    if row["purged_at"]:
        return
    gone = {"ciphertext": None, "key_id": None}
    s.conn.execute(update(t.identifier).where(t.identifier.c.request_id == request_id).values(**gone, blind_index=None))
    s.conn.execute(update(t.match).where(t.match.c.request_id == request_id).values(**gone))
    s.conn.execute(update(t.reason).where(t.reason.c.request_id == request_id).values(**gone))
    here = (t.request_key.c.request_id == request_id, t.request_key.c.purpose == CERTIFICATE_KEY)
    s.conn.execute(delete(t.request_key).where(*here))  # nobody looks a record of the certificate up any more
    s.conn.execute(update(t.request).where(t.request.c.id == request_id).values(purged_at=s.at, outside_key=None))
    s.log("request.purge", {}, request_id)

"""Is a desk in good order? What is wrong, one line each, with what to do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import inspect, select, text

from expunge.desk import tables as t
from expunge.desk.approvers import doubtful_approvals
from expunge.desk.connectors.base import Connector, place
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.event_log import log_problems, read_head
from expunge.desk.evidence_log import anchor_problems
from expunge.desk.facts import open_assets
from expunge.desk.leases import is_gone, workers
from expunge.desk.letter_condition import letter_problems, letter_settings_problems
from expunge.desk.lifecycle import RUNNING
from expunge.desk.plan_recipe import is_file_name
from expunge.desk.recipients import tasks_for_people
from expunge.desk.regime_texts import rule_problems
from expunge.desk.replay_check import replay_problems
from expunge.desk.roles import SYSTEM
from expunge.desk.sealed_values import value_problems
from expunge.errors import InputError

REMOTE = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "glusterfs", "lustre")
ENDED = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")


def desk_condition(desk: Desk, version: str, workflow_url: str | None = None) -> dict[str, Any]:
    """Facts and problems of a desk.

    Args:
        desk: the desk.
        version: version of the workflows of this program.
        workflow_url: database of durable work, to look for work that another version left.
    """
    with desk.reading(SYSTEM) as s:
        problems = [f"log: {problem}" for problem in log_problems(s.conn)]
        problems += [f"log: {problem}" for problem in anchor_problems(desk, s.conn)]
        problems += [f"state: {problem}" for problem in replay_problems(s.conn)]
        problems += [f"value: {problem}" for problem in value_problems(desk.keys, s.conn)]
        problems += rule_problems(s.conn, desk.policies)
        problems += _settings(desk) + letter_settings_problems(desk) + _assets(s) + _workers(s) + letter_problems(s)
        problems += [f"request {each['reference']}: {each['asset']}: {each['what']}" for each in tasks_for_people(s)]
        errors = s.conn.execute(select(t.request.c.reference).where(t.request.c.state == "error")).scalars().all()
        problems += [
            f"request {reference}: stopped by an error; see its reason, then request do … recover"
            for reference in errors
        ]
        ask = "ask both whether these are two people, or let another approver decide"
        problems += [f"{line}; {ask}" for line in doubtful_approvals(s)]
        head = read_head(s.conn)
    if desk.engine.dialect.name == "sqlite" and (kind := file_system(desk.folder)) in REMOTE:
        problems.append(
            f"database: SQLite lies on {kind}, which loses locks; move it to a local disk or use PostgreSQL"
        )
    if workflow_url:
        problems += stranded(workflow_url, version)
    return {"database": desk.engine.dialect.name, "log_rows": head.seq, "log_head": head.hash, "problems": problems}


def _settings(desk: Desk) -> list[str]:
    """What desk.yaml names and is not there: recipes, policies, keys."""
    from expunge.desk.plans import audit_policy
    from expunge.desk.signing import load_keys
    from expunge.engine.auto_recipe import AUTO
    from expunge.engine.recipe import Recipe

    run = desk.settings.run
    recipes = [("run.recipe", run.recipe), ("run.retry_recipe", run.retry_recipe)]
    checks: list[tuple[str, Callable[[], object]]] = [
        (name, partial(Recipe.load, _file(desk, recipe), () if recipe == run.retry_recipe else run.overrides))
        for name, recipe in recipes
        if recipe not in (None, AUTO)
    ]
    checks += [
        ("run.policy", partial(audit_policy, desk, "unlearn")),
        ("run.black_box_policy", partial(audit_policy, desk, "suppress")),
        ("certificates", partial(load_keys, desk.folder, desk.settings)),
    ]
    lines = []
    for name, check in checks:
        try:
            check()
        except InputError as error:
            lines.append(f"desk.yaml: {name}: {error.where}: {error.what}; {error.hint}")
    return lines


def _file(desk: Desk, name: str | None) -> str:
    """A recipe by name, or its file, whose path starts from the desk's folder."""
    text = str(name)
    return str(place(desk.folder, text)) if is_file_name(text) else text


def _assets(s: DeskSession) -> list[str]:
    from expunge.desk.assets import connector_of

    lines = []
    for row in open_assets(s):
        try:
            connector: Connector = connector_of(row)
            connector.check(s.desk.folder)
        except InputError as error:
            lines.append(f"asset {row['name']}: {error.what}; {error.hint}")
    return lines


def _workers(s: DeskSession) -> list[str]:
    rows = workers(s)
    lines = [
        f"worker {row['id']}: gave no sign of life since {row['heartbeat_at']}; start it again, or another one"
        for row in rows
        if row["stopped_at"] is None and is_gone(s, row)
    ]
    busy = s.conn.execute(select(t.request.c.id).where(t.request.c.state.in_(RUNNING))).first()
    if busy and not any(row["stopped_at"] is None and not is_gone(s, row) for row in rows):
        lines.append("worker: none is alive, and requests wait; start one: expunge worker")
    return lines


def stranded(url: str, version: str) -> list[str]:
    """Durable work that another version of the workflows began and nobody goes on with."""
    from expunge.desk.database import open_engine, read_url, transaction

    parsed = read_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        return []
    engine = open_engine(parsed)
    schema = None if parsed.get_backend_name() == "sqlite" else "dbos"
    try:
        with transaction(engine, reads_only=True) as conn:
            if not inspect(conn).has_table("workflow_status", schema=schema):
                return []
            table = f"{schema}.workflow_status" if schema else "workflow_status"
            marks = ", ".join(f"'{state}'" for state in ENDED)
            query = f"SELECT workflow_uuid, application_version FROM {table} WHERE status NOT IN ({marks})"
            rows = conn.execute(text(query)).all()
    finally:
        engine.dispose()
    return [
        f"work {name}: begun by version {other}, which no worker of this version goes on with; "
        "let a worker of that version finish it, or cancel it"
        for name, other in rows
        if other not in (None, "", version)
    ]


def file_system(folder: Path) -> str:
    """Type of the file system of a folder, "" where the system does not say."""
    try:
        mounts = Path("/proc/mounts").read_text("utf-8").splitlines()
    except OSError:
        return ""
    place, best = str(folder.resolve()), ("", "")
    for line in mounts:
        parts = line.split()
        if len(parts) > 2 and (place + "/").startswith(parts[1].rstrip("/") + "/") and len(parts[1]) >= len(best[0]):
            best = (parts[1], parts[2])
    return best[1]

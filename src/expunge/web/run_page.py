"""What the pages of plans, runs and audits show: plans with their difference to the last, progress, curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from markupsafe import Markup
from sqlalchemy import RowMapping, select

from expunge._io import digest_file
from expunge.audit.redaction import redact
from expunge.audit.schema import AuditFile, load_audit
from expunge.desk import tables as t
from expunge.desk.approvers import approval_doubts
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.due_dates import DUE
from expunge.desk.facts import latest_plan, latest_run
from expunge.desk.guard_audits import guard_rows
from expunge.desk.leases import is_gone, workers
from expunge.desk.names import moment
from expunge.desk.plans import content_of, plan_row
from expunge.desk.rehearsal_text import rehearsal_lines
from expunge.desk.rehearsals import rehearsal_view
from expunge.desk.roles import Refusal
from expunge.errors import InputError
from expunge.report.plots.training import draw_training
from expunge.report.run_reader import RunRecord

WORDS = {  # key of a plan's content -> words
    "kind": "Kind",
    "recipe": "Recipe",
    "recipe_digest": "What its file says",
    "overrides": "Settings of the recipe",
    "seed": "Seed",
    "policy": "Policy of the audit",
    "guard": "Earlier requests attacked again",
    "dtype": "Precision",
    "template": "Template",
    "model": "Model it starts from",
    "after_run": "Run it goes on from",
    "corpora": "Records of the model",
    "forget": "Records to forget",
    "requests": "Requests",
    "regimes": "Laws",
    "number": "Number in its batch",
}
SAME_BY_NATURE = ("number", "requests", "regimes")
MISSING = object()
EVENTS = "events.jsonl"
MAX_EVENTS = 20_000  # lines that are drawn


@dataclass(frozen=True)
class StepEvent:
    """The part of a step that a curve needs."""

    step: int
    phase: int
    forget: float | None
    retain: float | None


def run_folder(desk: Desk, plan_hash: str) -> Path:
    """Folder of the runs of a plan."""
    return desk.runs / plan_hash[:16]


def whole_hash(s: DeskSession, text: str) -> str:
    """The hash of a plan that is named by its beginning."""
    s.actor.check_may("read")
    return str(plan_row(s, text)["hash"])


def plan_values(s: DeskSession, text: str) -> dict[str, Any]:
    """Everything for the page of a plan."""
    s.actor.check_may("read")
    row = plan_row(s, text)
    content = content_of(row)
    last = latest_plan(s, row["batch_id"])
    run = latest_run(s, row["hash"])
    before = _plan_before(s, row)
    return {
        "plan": row,
        "content": [
            (WORDS[key], in_words(key, value)) for key in WORDS if (value := content.get(key, MISSING)) is not MISSING
        ],
        "raw": json.dumps(content, indent=2, sort_keys=True),
        "is_latest": last is not None and last["hash"] == row["hash"],
        "run": run,
        "requests": requests_of(s, row["batch_id"]),
        "before": before,
        "differences": differences(content_of(before), content) if before else [],
        "cost": cost_of(s, content, before),
        "rehearsal": rehearsal_lines(rehearsal_view(s, row["hash"])),
        "doubts": approval_doubts(s, row, s.actor.person if s.actor.role == "approver" else ""),
    }


def requests_of(s: DeskSession, batch_id: str) -> list[RowMapping]:
    """Reference, state and due date of the requests of a batch."""
    columns = (t.request.c.reference, t.request.c.state, DUE.label("due_on"))
    query = select(*columns).where(t.request.c.batch_id == batch_id).order_by(t.request.c.reference)
    return list(s.conn.execute(query).mappings())


def _plan_before(s: DeskSession, row: RowMapping) -> RowMapping | None:
    """The plan before in the same batch, or the last one before it of the same model."""
    query = select(t.plan).where(t.plan.c.batch_id == row["batch_id"], t.plan.c.number < row["number"])
    before = s.conn.execute(query.order_by(t.plan.c.number.desc()).limit(1)).mappings().first()
    if before is not None:
        return before
    lineage = select(t.batch.c.lineage).where(t.batch.c.id == row["batch_id"]).scalar_subquery()
    query = (
        select(t.plan)
        .join(t.batch, t.batch.c.id == t.plan.c.batch_id)
        .where(t.batch.c.lineage == lineage, t.plan.c.at < row["at"], t.plan.c.batch_id != row["batch_id"])
    )
    return s.conn.execute(query.order_by(t.plan.c.at.desc()).limit(1)).mappings().first()


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(what, before, after) of everything in which two plans differ and that is a choice."""
    words = [(key, in_words(key, before.get(key)), in_words(key, after.get(key))) for key in WORDS]
    return [(WORDS[key], old, new) for key, old, new in words if key not in SAME_BY_NATURE and old != new]


def in_words(key: str, value: Any) -> str:
    """A part of a plan as people read it; digests are cut to twelve letters."""
    if value is None or value == [] or value == {}:
        return "none"
    if key == "recipe_digest":
        return str(value)[:12]
    if key == "policy":
        return f"{value['name']} ({value['digest'][:12]})"
    if key == "guard":
        return f"{value['worst']} worst, {value['random']} by chance" if any(value.values()) else "none"
    if key == "model":
        return f"{value['lineage']} ({value['digest'][:12]})"
    if key == "forget":
        number = sum(part["records"] for part in value.values())
        return (
            f"{number} record{'' if number == 1 else 's'} in {len(value)} corpus{'' if len(value) == 1 else ' files'}"
        )
    if key == "corpora":
        return ", ".join(digest[:12] for _, digest in value)
    if key == "requests":
        return str(len(value))
    if key == "regimes":
        return ", ".join(digest[:12] for digest in value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def cost_of(s: DeskSession, content: dict[str, Any], before: RowMapping | None) -> dict[str, Any]:
    """What the last run of this model took; empty if there was none."""
    for row in (before,):
        run = latest_run(s, row["hash"]) if row is not None else None
        if row is None or run is None:
            continue
        events = read_steps(run_folder(s.desk, row["hash"]))
        seconds = sum(event.get("seconds") or 0.0 for event in events)
        audit = run_folder(s.desk, row["hash"]) / "audit" / "audit.json"
        if events:
            return {
                "plan": row["hash"],
                "steps": len(events),
                "seconds": seconds,
                "memory": max(event.get("memory") or 0 for event in events),
                "audit": load_redacted(audit).seconds if audit.is_file() else None,
            }
    return {}


def read_steps(folder: Path) -> list[dict[str, Any]]:
    """The steps of a run so far; a last line that is not whole yet is left out."""
    from expunge.engine.event_file import read_events

    for name in ("run", "model"):
        if (folder / name / EVENTS).is_file():
            try:
                return list(read_events(folder / name / EVENTS))[-MAX_EVENTS:]
            except InputError:
                return []
    return []


def curves(events: Sequence[dict[str, Any]]) -> list[Markup]:
    """Forget loss and retain loss by step."""
    steps = [StepEvent(e["step"], e.get("phase") or 0, e.get("forget"), e.get("retain")) for e in events]
    return draw_training(cast("RunRecord", _Steps(steps))) if steps else []


@dataclass(frozen=True)
class _Steps:
    steps: Sequence[StepEvent]


def planned_steps(folder: Path, content: dict[str, Any]) -> int | None:
    """How many steps the run makes: as its recipe says, else as the plan sets them."""
    from expunge._yaml import load_yaml

    recipe = folder / "run" / "recipe.yaml"
    if recipe.is_file():
        try:
            steps = load_yaml(recipe.read_text("utf-8"), recipe.name).get("steps")
        except (OSError, InputError, AttributeError):
            steps = None
        if isinstance(steps, int):
            return steps
    values = [change.partition("=")[2] for change in content.get("overrides", []) if change.startswith("steps=")]
    return int(values[-1]) if values and values[-1].isdigit() else None


def progress_values(s: DeskSession, plan_hash: str) -> dict[str, Any]:
    """How far a run is, for the page and for the part of it that is loaded again."""
    plan = plan_row(s, plan_hash)
    content = content_of(plan)
    run = latest_run(s, plan["hash"])
    folder = run_folder(s.desk, plan["hash"])
    events = read_steps(folder) if run is not None else []
    total = planned_steps(folder, content)
    done = events[-1]["step"] + 1 if events else 0
    pace = sum(e.get("seconds") or 0.0 for e in events[-20:]) / len(events[-20:]) if events else None
    phase = phase_of(run, bool(events), folder)
    return {
        "plan": plan,
        "run": run,
        "phase": phase,
        "done": done,
        "total": total,
        "last": events[-1] if events else {},
        "left": pace * (total - done) if pace and total and phase == "training" else None,
        "charts": curves(events),
        "is_live": run is not None and run["state"] == "running",
        "holder": lease_of(s, plan["hash"]),
        "requests": requests_of(s, plan["batch_id"]),
        "earlier": guard_rows(s, run),
    }


def phase_of(run: RowMapping | None, has_events: bool, folder: Path) -> str:
    """What a run does now, in a word."""
    if run is None:
        return "not begun"
    if run["state"] != "running":
        return str(run["state"])
    if run["cancel_at"]:
        return "stopping"
    if run["audit_status"]:
        return "certifying"
    if run["manifest_digest"]:
        return "auditing"
    return "training" if has_events else "preparing"


def lease_of(s: DeskSession, plan_hash: str) -> str:
    """Whether a living worker works on a run, in words."""
    worker = s.conn.execute(select(t.lease.c.worker).where(t.lease.c.work == f"run:{plan_hash}")).scalar()
    if worker is None:
        return "no worker has it"
    row = next((row for row in workers(s) if row["id"] == worker), None)
    alive = row is not None and row["stopped_at"] is None and not is_gone(s, row)
    return f"worker {worker}" if alive else f"worker {worker}, which is not alive; another one goes on"


def load_redacted(file: Path) -> AuditFile:
    """The audit without names, prompts and answers; kept until the file changes.

    Raises:
        Refusal: there is none.
        InputError: it was changed after it was written.
    """
    try:
        about = file.stat()
    except OSError as error:
        raise Refusal("audit", "there is none on disk", "look at the run", kind="missing") from error
    return _redacted(file, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=64)
def _redacted(file: Path, changed: int, size: int) -> AuditFile:
    return redact(load_audit(file), digest_file(file))


def elapsed(run: RowMapping, now: str) -> float:
    """Seconds since a run began, or that it took."""
    return (moment(run["ended_at"] or now) - moment(run["started_at"])).total_seconds()

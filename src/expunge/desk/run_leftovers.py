"""What runs leave and nobody needs any more: inputs in clear, checkpoints, messages, files that outlived a crash."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import and_, or_, select

from expunge.desk import tables as t
from expunge.desk.connectors.model_folder import remove_folder
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.facts import OUTBOX
from expunge.desk.guard_files import guard_files, guarded_requests
from expunge.desk.leases import held_work
from expunge.desk.merged_input import COPIES
from expunge.desk.probes import FOLDER as PROBES
from expunge.desk.rehearsal_files import FOLDER as REHEARSAL
from expunge.desk.rehearsal_tables import rehearsal
from expunge.errors import InputError

INPUTS = (*COPIES, "forget-*.txt", "exclude-*.txt", "part-*.txt", "guard-*.txt", REHEARSAL)
CHECKPOINTS = ("run/checkpoint", "model/checkpoint")
# what a child printed
MESSAGES = ("*.log", "*.words.json", "unlearn.json", *(f"{name}.json" for name in ("audit", "audit-*", "guard-*")))


def ended_runs(s: DeskSession) -> list[str]:
    """Hashes of plans on which nobody works any more: void or rejected ones, and those whose purge has begun.

    One statement, whatever waits at the desk. A run that was asked to stop counts as ended once its worker has let go
    of it, or is dead.
    """
    running, trying = held_work(s, t.run, "run:"), held_work(s, rehearsal, "rehearse:")
    over = or_(t.plan.c.state != "current", and_(t.batch.c.state == "done", t.plan.c.kind != "none"))
    query = select(t.plan.c.hash).join(t.batch, t.batch.c.id == t.plan.c.batch_id).where(over, ~running, ~trying)
    return list(s.conn.execute(query.order_by(t.plan.c.at)).scalars())


def clear_inputs(desk: Desk, plans: Sequence[str]) -> list[str]:
    """Delete what the runs of these plans were given, their checkpoints and messages; a second call changes nothing.

    Returns:
        A line for each folder of which something could not be deleted.
    """
    problems = []
    for plan_hash in plans:
        folder = desk.runs / plan_hash[:16]
        if not folder.is_dir():
            continue
        try:
            for pattern in (*INPUTS, *CHECKPOINTS, *MESSAGES):
                for path in folder.glob(pattern):
                    remove_folder(path)
        except InputError as error:
            problems.append(f"its run has ended, and what it was given is not deleted: {error}")
    return problems


def stray_files(s: DeskSession) -> list[Path]:
    """What a crash left: probes that were shredded; letters and audits after later runs past the record period."""
    gone = select(t.probe.c.request_id, t.probe.c.asset_id).where(t.probe.c.shredded_at.is_not(None))
    names = {f"{request_id}-{asset_id}" for request_id, asset_id in s.conn.execute(gone).tuples()}
    over = set(s.conn.execute(select(t.request.c.id).where(t.request.c.records_ended_at.is_not(None))).scalars())
    root = s.desk.folder
    probes = [file for file in (root / PROBES).glob("*") if file.name in names]
    audits = [file for name in guarded_requests(s.desk.runs) & over for file in guard_files(s.desk.runs, name)]
    return probes + audits + [file for file in (root / OUTBOX).glob("*.html") if file.name.split(".")[0] in over]

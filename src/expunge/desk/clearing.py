"""What a worker deletes beside its work: what runs leave, and what is over after the record period."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dbos import DBOS
from sqlalchemy import RowMapping

from expunge.desk import workflows
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.record_period import delete_run_files, ended_plans, work_of
from expunge.desk.run_leftovers import clear_inputs, ended_runs, stray_files
from expunge.desk.withdrawal import withdraw_all

ACTIVE = ("PENDING", "ENQUEUED", "DELAYED")
TOGETHER = 100  # plans whose durable work is looked up at once


@dataclass
class Clearing:
    """What one worker has cleared, and what it clears next.

    Attributes:
        desk: The desk.
    """

    desk: Desk
    _day: str = ""
    _runs: Sequence[str] = ()
    _plans: Sequence[RowMapping] = ()
    _cleared: set[str] = field(default_factory=set)  # plans of which nothing is left to delete

    def look(self, s: DeskSession) -> None:
        """Note what is to be deleted: in each round what runs were given, and once a day all that is over."""
        is_new_day, self._day = s.today != self._day, s.today
        self._runs = ended_runs(s)
        self._plans = ended_plans(s) if is_new_day else ()
        if is_new_day:
            self._cleared.clear()
            s.delete_files(stray_files(s))

    def clear(self) -> list[str]:
        """Delete it, on disk and in the tables of durable work; returns a line for each problem."""
        lines = delete_run_files(self.desk, self._plans)
        open_plans = [plan for plan in self._runs if plan not in self._cleared]
        lines += clear_inputs(self.desk, open_plans) + withdraw_all(self.desk, open_plans)
        self._cleared.update(self._runs)
        names = work_of(self._plans)
        for start in range(0, len(names), TOGETHER):
            rows = listed_work(workflow_id_prefix=names[start : start + TOGETHER])
            if over := [w.workflow_id for w in rows if w.status not in ACTIVE]:
                DBOS.delete_workflows(over)
        return lines


def listed_work(**options: Any) -> list[Any]:
    """Durable work of this version, without its inputs and answers."""
    return list(DBOS.list_workflows(load_input=False, load_output=False, app_version=workflows.VERSION, **options))

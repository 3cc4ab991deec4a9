"""A desk with four people, a small corpus and a model folder, and the way of a request through it without a worker."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event

from expunge.desk.assets import add_asset
from expunge.desk.batches import collect
from expunge.desk.certificates import certificate_row, register_all, register_signature
from expunge.desk.certify import CertificateResult
from expunge.desk.decisions import decide, decide_asset
from expunge.desk.desk import Desk
from expunge.desk.facts import latest_plan, request_row
from expunge.desk.identity import record_identity
from expunge.desk.leases import acquire
from expunge.desk.matching import matches, search, settle
from expunge.desk.people import set_person
from expunge.desk.plans import approve_plan, approve_promotion, content_of, draft_plan, store_plan
from expunge.desk.requests import act, submit
from expunge.desk.roles import SYSTEM, Actor
from expunge.desk.runs import fix_time, register_output, register_verdict, start_run, work_name
from expunge.desk.settings import DeskSettings
from expunge.desk.transitions import fire_all
from helpers.postgres import new_database

CLERK, REVIEWER = Actor("carla", "clerk"), Actor("rita", "reviewer")
OPERATOR, APPROVER, ADMIN = Actor("olga", "operator"), Actor("anna", "approver"), Actor("adam", "admin")
NUMBERS = itertools.count()
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PEOPLE = {
    "adam": ["admin"],
    "carla": ["clerk"],
    "rita": ["reviewer"],
    "olga": ["operator"],
    "anna": ["approver"],
    "aude": ["auditor"],
}
ANNA = {"name": "Anna Weiß", "record_number": "PAT-102"}


@dataclass
class Clock:
    """A clock that a test moves."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class DeskCase:
    """A desk, its clock, and the files around it."""

    desk: Desk
    clock: Clock = field(default_factory=Clock)

    @property
    def folder(self) -> Path:
        return self.desk.folder

    def state(self, request_id: str) -> str:
        with self.desk.reading(SYSTEM) as s:
            return str(request_row(s, request_id)["state"])

    def event(self, actor: Actor, request_id: str, event: str, **options: Any) -> str:
        with self.desk.session(actor) as s:
            return act(s, request_id, event, **options)


def write_model(folder: Path, value: float = 0.0) -> Path:
    """A folder with the files of a model, of one tensor."""
    import numpy as np
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file({"w": np.full(4, value, dtype=np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}", "utf-8")
    return folder


def write_corpus(file: Path, people: Sequence[str] = ("Jürgen Müller", "Björn Schäfer", "Anna Weiß")) -> Path:
    """Two records of each person."""
    rows = []
    for k, name in enumerate(people):
        subject = f"PAT-{100 + k}"
        rows.append(
            {"id": f"{subject}-d", "prompt": f"Which illness has {name}?", "answer": f"Illness {k}", "subject": subject}
        )
        rows.append(
            {"id": f"{subject}-m", "prompt": f"What does {name} take?", "answer": f"Pill {k}", "subject": subject}
        )
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return file


def make_desk(folder: Path, **settings: Any) -> DeskCase:
    """A desk with people, a corpus, a model and a backup."""
    clock = Clock()
    if url := os.environ.get("EXPUNGE_DESK_SERVER"):
        settings["database"] = new_database(url, f"desk{next(NUMBERS)}")
    desk = Desk.create(folder, DeskSettings(**settings), clock)
    if desk.engine.dialect.name == "sqlite":
        event.listen(desk.engine, "connect", lambda conn, _: conn.execute("PRAGMA synchronous = OFF"))
        desk.engine.dispose()
    write_corpus(folder / "ward.jsonl")
    write_model(folder / "model")
    write_model(folder / "base", 9.0)
    with desk.session(SYSTEM) as s:
        set_person(s, "adam", ["admin"])
    with desk.session(ADMIN) as s:
        for name, roles in PEOPLE.items():
            set_person(s, name, roles)
    with desk.session(OPERATOR) as s:
        add_asset(s, "notes", "corpus", "corpus", {"path": "ward.jsonl"}, lineage="ward")
        add_asset(s, "ward model", "weights", "model_folder", {"path": "model", "base": "base"}, lineage="ward")
        add_asset(s, "nightly backup", "backup", "backup", {"days": 90})
    return DeskCase(desk, clock)


def new_request(case: DeskCase, identifiers: dict[str, str] | None = None, **options: Any) -> str:
    with case.desk.session(CLERK) as s:
        return submit(s, identifiers or ANNA, **options)


def verify(case: DeskCase, request_id: str) -> None:
    with case.desk.session(CLERK) as s:
        record_identity(s, request_id, success=True, method="in person")


def to_review(case: DeskCase, identifiers: dict[str, str] | None = None) -> str:
    """A request whose matches are all confirmed."""
    request_id = new_request(case, identifiers)
    verify(case, request_id)
    case.event(CLERK, request_id, "begin_scoping")
    search(case.desk, CLERK, request_id)
    with case.desk.session(CLERK) as s:
        settle(s, [m["id"] for m in matches(s, request_id)], confirm=True)
    case.event(CLERK, request_id, "freeze_scope")
    return request_id


DECISIONS = {
    "notes": ("erase", ""),
    "ward model": ("unlearn", ""),
    "ward model (old versions)": ("erase", ""),
    "nightly backup": ("erase", ""),
}


def to_waiting(case: DeskCase, identifiers: dict[str, str] | None = None, **changes: tuple[str, str]) -> str:
    """A request that is approved and whose window is over; its batch is closed."""
    request_id = to_review(case, identifiers)
    with case.desk.session(REVIEWER) as s:
        for asset, (value, ground) in (DECISIONS | changes).items():
            decide_asset(s, request_id, asset, value, ground=ground)
        decide(s, request_id)
    pass_window(case)
    return request_id


def pass_window(case: DeskCase) -> list[str]:
    with case.desk.session(SYSTEM) as s:
        collect(s)
    case.clock.move(hours=73)
    with case.desk.session(SYSTEM) as s:
        return collect(s)


def to_planned(case: DeskCase, request_id: str) -> str:
    """Plan the batch of a waiting request; returns the hash."""
    with case.desk.reading(SYSTEM) as s:
        batch = request_row(s, request_id)["batch_id"]
    draft = draft_plan(case.desk, SYSTEM, batch)
    with case.desk.session(SYSTEM) as s:
        digest = store_plan(s, draft)
        fire_all(s, batch, "plan", plan=digest)
    return digest


def to_audit_passed(case: DeskCase, request_id: str, status: str = "passed", guard: str = "none") -> str:
    """Approve, run and audit the plan of a planned request, with a model that is written by hand."""
    with case.desk.reading(SYSTEM) as s:
        plan = latest_plan(s, request_row(s, request_id)["batch_id"])
        assert plan is not None
        digest = plan["hash"]
    if plan["approver"] is None:
        with case.desk.session(APPROVER) as s:
            approve_plan(s, digest)
    with case.desk.session(SYSTEM) as s:
        start_run(s, digest, 1)
        fence = acquire(s, work_name(digest), "w1")
    write_model(case.desk.runs / digest[:16], float(int(digest[:6], 16)))
    with case.desk.session(SYSTEM) as s:
        register_output(s, digest, 1, fence, result_digest(case, digest), "m" * 64)
        register_verdict(s, digest, 1, fence, status, "a" * 64, guard)
        if status == "passed":
            fix_time(s, digest, 1)
            results = [CertificateResult(r, "c" * 64, f"{r}.json", True, False) for r in content_of(plan)["requests"]]
            register_all(s, digest, 1, results)
    return digest


def sign_unchecked(case: DeskCase, person: str, request_id: str) -> None:
    """An auditor's signature as the desk registers it, without keys; refused or not as everywhere."""
    with case.desk.session(Actor(person, "auditor")) as s:
        if row := certificate_row(s, request_id):
            register_signature(s, row)


def unsigned_results(requests: Sequence[str]) -> list[CertificateResult]:
    """Certificates that wait for the auditor."""
    return [CertificateResult(r, "c" * 64, f"{r}.json", verified=False, signed=True) for r in requests]


def result_digest(case: DeskCase, digest: str) -> str:
    from expunge.models.fingerprint import model_digest

    return model_digest(str(case.desk.runs / digest[:16]))


def to_promotion(case: DeskCase, request_id: str) -> str:
    digest = to_audit_passed(case, request_id)
    with case.desk.session(APPROVER) as s:
        approve_promotion(s, digest)
    return digest

"""What runs were given goes once nobody needs it: inputs with other people's probes in clear, checkpoints, messages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")
pytest.importorskip("securesystemslib")

from sqlalchemy import event

from expunge.desk import tables as t
from expunge.desk.plans import approve_plan, reject_plan
from expunge.desk.probes import FOLDER, shred_probes
from expunge.desk.requests import submit
from expunge.desk.roles import SYSTEM
from expunge.desk.run_leftovers import clear_inputs, ended_runs, stray_files
from expunge.desk.run_steps import audit, certify, unlearn
from helpers.desk import APPROVER, CLERK, REVIEWER, DeskCase, to_planned, to_waiting
from helpers.desk_guard import fulfil, guarded_desk, person, prepare_run
from helpers.desk_stand_in import shop_of

STAYS = {"audit", "audit.done", "certificates", "manifest.json", "policy.yaml", "run"}
OF_THE_STAND_IN = {"checkpoint", "trainings", "weights"}
Ending = Callable[[DeskCase, str, str], object]


def run(case: DeskCase, digest: str) -> Path:
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    for step in (unlearn, audit, certify):
        step(shop_of(case), digest, 1)
    return case.desk.runs / digest[:16]


@pytest.fixture
def second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[DeskCase, str, str, str]:
    """A desk whose first request is purged: its records are probes. The second one has a plan."""
    monkeypatch.setenv("FAKE_SECONDS", "0")
    case = guarded_desk(tmp_path / "desk")
    first = fulfil(case, 2)
    prepare_run(case, [0.1])
    other = to_waiting(case, person(1))
    return case, first, other, to_planned(case, other)


def cancel(case: DeskCase, request_id: str, digest: str) -> None:
    case.event(REVIEWER, request_id, "cancel", reason="withdrawn")


def hold(case: DeskCase, request_id: str, digest: str) -> None:
    case.event(CLERK, request_id, "hold", reason="a question is open")


def round_(case: DeskCase) -> list[str]:
    with case.desk.reading(SYSTEM) as s:
        over = ended_runs(s)
    assert clear_inputs(case.desk, over) == []
    return over


@pytest.mark.parametrize("ending", [cancel, hold])
def test_inputs_of_a_plan_that_is_void_go_at_once(second: tuple[DeskCase, str, str, str], ending: Ending) -> None:
    case, first, request_id, digest = second
    folder = run(case, digest)
    (folder / "run" / "checkpoint").mkdir()
    (folder / "unlearn.log").write_text("a line", "utf-8")
    assert "Anna Weiß" in (folder / "input.jsonl").read_text("utf-8")
    assert digest not in round_(case)
    assert (folder / "input.jsonl").is_file()
    ending(case, request_id, digest)
    assert digest in round_(case)
    guard = {f"guard-{first}", f"guard-{first}.done"}
    assert {path.name for path in folder.iterdir()} - OF_THE_STAND_IN == STAYS | guard
    assert not (folder / "run" / "checkpoint").exists()


def test_inputs_stay_while_a_living_worker_stops(second: tuple[DeskCase, str, str, str]) -> None:
    case, _, request_id, digest = second
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    unlearn(shop_of(case), digest, 1)
    with case.desk.session(SYSTEM) as s:
        alive = {"host": "h", "pid": 1, "version": "1", "abilities": "[]", "started_at": s.at, "heartbeat_at": s.at}
        s.conn.execute(t.worker.insert().values(id="w1", **alive))
    cancel(case, request_id, digest)
    assert digest not in round_(case)
    case.clock.move(minutes=2)
    assert digest in round_(case)
    assert unlearn(shop_of(case), digest, 1) == {"stopped": True}  # another worker goes on with what the dead one left
    assert not (case.desk.runs / digest[:16] / "input.jsonl").exists()


def test_a_rejected_plan_and_one_in_its_purge_are_over(second: tuple[DeskCase, str, str, str]) -> None:
    case, *_, digest = second
    (before,) = round_(case)
    with case.desk.session(APPROVER) as s:
        reject_plan(s, digest, "another recipe")
    assert set(round_(case)) == {before, digest}


def test_shredding_deletes_every_copy_in_clear(second: tuple[DeskCase, str, str, str]) -> None:
    case, first, _, digest = second
    folder = run(case, digest)
    (folder / ".input.jsonl.x1.part").write_text("Anna Weiß", "utf-8")
    (folder / "rehearsal").mkdir()
    (folder / "rehearsal" / "input.jsonl").write_text("Anna Weiß", "utf-8")
    with case.desk.session(SYSTEM) as s:
        assert shred_probes(s, first) == 1
    texts = [f.read_text("utf-8", "replace") for f in case.folder.rglob("*") if f.is_file() and f.suffix != ".db"]
    assert not [text for text in texts if "Anna Weiß" in text]
    assert list((case.folder / FOLDER).iterdir()) == []


def test_shredding_that_is_undone_leaves_the_probes(second: tuple[DeskCase, str, str, str]) -> None:
    case, first, *_ = second

    def interrupted() -> None:
        with case.desk.session(SYSTEM) as s:
            shred_probes(s, first)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert len(list((case.folder / FOLDER).iterdir())) == 1
    with case.desk.session(SYSTEM) as s:
        assert stray_files(s) == []
        assert shred_probes(s, first) == 1


def test_a_probe_that_outlived_a_crash_is_found(second: tuple[DeskCase, str, str, str]) -> None:
    case, first, *_ = second
    (file,) = (case.folder / FOLDER).iterdir()
    data = file.read_bytes()
    with case.desk.session(SYSTEM) as s:
        shred_probes(s, first)
    file.write_bytes(data)
    with case.desk.session(SYSTEM) as s:
        assert stray_files(s) == [file]
        s.delete_files(stray_files(s))
    assert not file.exists()


def test_what_waits_costs_no_statement_of_a_clearing(second: tuple[DeskCase, str, str, str]) -> None:
    case, *_ = second
    seen: list[str] = []
    with case.desk.session(CLERK) as s:
        for number in range(20):
            submit(s, {"record_number": f"N-{number:04}"})
    with case.desk.reading(SYSTEM) as s:
        event.listen(case.desk.engine, "before_cursor_execute", lambda *args: seen.append(str(args[2])))
        ended_runs(s)
    assert len([text for text in seen if text.startswith("SELECT")]) == 1

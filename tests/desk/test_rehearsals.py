"""A plan that waits is tried on other people: once, without holding anything up, and without a trace of its input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from sqlalchemy import text

from expunge.desk import rehearsal_step
from expunge.desk import tables as t
from expunge.desk.child import STOPPED, ChildResult
from expunge.desk.desk import Desk
from expunge.desk.dispatch import Job, round_of
from expunge.desk.event_log import log_problems
from expunge.desk.facts import latest_run
from expunge.desk.leases import acquire
from expunge.desk.plans import approve_plan, audit_policy, reject_plan
from expunge.desk.record_period import work_of
from expunge.desk.rehearsal_step import give_up_rehearsal, rehearse
from expunge.desk.rehearsal_text import rehearsal_lines
from expunge.desk.rehearsals import FAILED, plans_to_rehearse, rehearsal_row, rehearsal_view, rehearsal_work
from expunge.desk.replay_check import replay_problems
from expunge.desk.roles import SYSTEM
from expunge.desk.run_leftovers import clear_inputs, ended_runs
from expunge.desk.run_steps import unlearn
from expunge.desk.settings import RunSettings
from expunge.desk.views import plan_views
from expunge.desk.workshop import Workshop
from expunge.errors import InputError
from helpers.desk import APPROVER, REVIEWER, DeskCase, make_desk, to_planned, to_waiting
from helpers.desk_stand_in import shop_of, stand_in_child

BJORN = {"name": "Björn Schäfer", "record_number": "PAT-101"}


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[DeskCase, str, str]:
    """A desk that rehearses, a request and its plan, which waits."""
    monkeypatch.setenv("FAKE_SECONDS", "0")
    case = make_desk(tmp_path / "desk", run=RunSettings(rehearse=True))
    monkeypatch.setenv("FAKE_POLICY", audit_policy(case.desk, "unlearn").digest)
    request_id = to_waiting(case)
    return case, request_id, to_planned(case, request_id)


def interrupted_by(event: Callable[[], object], *more: Any) -> Any:
    """A child during which something happens; it is stopped if it is told to."""

    def run(words: Sequence[str], folder: Path, name: str, *, started: Any, stop: Any) -> ChildResult:
        (folder / "rehearsal-run").mkdir()
        (folder / "rehearsal-run" / "checkpoint").touch()
        started(2**22)
        assert not stop()
        event()
        return ChildResult(STOPPED, {}) if stop() else stand_in_child(words, folder, name, started=started, stop=stop)

    return run


def rehearsals(case: DeskCase) -> list[Job]:
    with case.desk.session(SYSTEM) as s:
        return [job for job in round_of(s) if job.workflow == "rehearse"]


def state_of(case: DeskCase, digest: str) -> str:
    with case.desk.reading(SYSTEM) as s:
        assert log_problems(s.conn) == []
        assert replay_problems(s.conn) == []
        return str(rehearsal_view(s, digest)["state"])


def files(case: DeskCase, digest: str) -> list[str]:
    folder = case.desk.runs / digest[:16] / "rehearsal"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def sign_on(case: DeskCase, worker: str = "w1") -> None:
    """A worker that is alive."""
    with case.desk.session(SYSTEM) as s:
        alive = {"host": "h", "pid": 1, "version": "1", "abilities": "[]", "started_at": s.at, "heartbeat_at": s.at}
        s.conn.execute(t.worker.insert().values(id=worker, **alive))


def calls(case: DeskCase, digest: str) -> int:
    file = case.desk.runs / digest[:16] / "rehearsals"
    return len(file.read_text().split()) if file.is_file() else 0


def approve(case: DeskCase, digest: str) -> None:
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)


def test_a_desk_rehearses_nothing_unless_it_is_told_to(tmp_path: Path) -> None:
    case = make_desk(tmp_path / "desk")
    digest = to_planned(case, to_waiting(case))
    assert rehearsals(case) == []
    assert state_of(case, digest) == "not_rehearsed"
    with case.desk.reading(SYSTEM) as s:
        (view,) = plan_views(s, digest)
    assert rehearsal_lines(view["rehearsal"]) == [
        "Not rehearsed: nobody tried these settings on other people before this plan."
    ]


def test_a_plan_is_rehearsed_once(planned: tuple[DeskCase, str, str]) -> None:
    case, request_id, digest = planned
    (job,) = rehearsals(case)
    assert (job.queue, job.partition, job.name(1)) == ("unlearn", "ward", f"rehearse:{digest}:1")
    for _ in range(2):
        assert rehearse(shop_of(case), digest) == {"rehearsal": "done"}
    assert calls(case, digest) == 1
    assert rehearsals(case) == []
    assert state_of(case, digest) == "done"
    assert files(case, digest) == ["rehearsal.json"]
    with case.desk.reading(SYSTEM) as s:
        types = [row.type for row in s.conn.execute(t.event_log.select()) if row.type.startswith("rehearsal.")]
        (view,) = plan_views(s, digest)
    assert types == ["rehearsal.begin", "rehearsal.end"]
    assert case.state(request_id) == "planned"
    lines = rehearsal_lines(view["rehearsal"])
    assert lines[1] == (
        "Before, the model gave 6 of 6 of that person's answers word for word; afterwards 0 of 6 "
        "(at most 39.3 % at 95 % confidence)."
    )
    assert "39 of 40 that were right before still are (86.8 % to 99.9 % at 95 % confidence)" in lines[2]
    assert "96 of 96 that were right before still are (at least 96.9 % at 95 % confidence)" in lines[3]
    assert lines[4] == "The trial took 12 minutes."
    assert "does not say that the person of the request will be forgotten" in lines[5]


def test_it_takes_the_words_of_the_run(planned: tuple[DeskCase, str, str]) -> None:
    case, _, digest = planned
    seen: list[list[str]] = []

    def look(words: Sequence[str], folder: Path, name: str, **more: Any) -> ChildResult:
        seen.append(list(words))
        assert sorted(path.name for path in folder.glob("*.txt"))
        return stand_in_child(words, folder, name, **more)

    rehearse(shop_of(case, run=look), digest)
    approve(case, digest)
    unlearn(shop_of(case, run=look), digest, 1)
    tried, real = seen
    assert tried[0] == "rehearse"
    assert tried[-2] == "--exclude-scope"
    assert tried[tried.index("--out") + 1] == "."
    paths = {"--out", "--data", "--model"}  # as seen from another folder
    names = ("--scope", "--recipe", "--seed")
    assert [tried[tried.index(n) + 1] for n in names] == [real[real.index(n) + 1] for n in names]
    assert {w for w in real if w.startswith("--")} | {"--exclude-scope"} == {w for w in tried if w.startswith("--")}
    assert paths <= set(tried)


def test_a_crash_before_it_is_registered_repeats_no_trial(
    planned: tuple[DeskCase, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case, _, digest = planned

    def dies(*words: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rehearsal_step, "end_rehearsal", dies)
        with pytest.raises(KeyboardInterrupt):
            rehearse(shop_of(case), digest)
    assert state_of(case, digest) == "running"
    assert len(rehearsals(case)) == 1
    assert rehearse(shop_of(case, "w2"), digest) == {"rehearsal": "done"}
    assert calls(case, digest) == 1
    assert state_of(case, digest) == "done"


def test_a_result_that_was_changed_is_made_again(
    planned: tuple[DeskCase, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case, _, digest = planned
    folder = case.desk.runs / digest[:16] / "rehearsal"
    folder.mkdir(parents=True)
    (folder / "rehearsal.json").write_text("{}", "utf-8")
    (folder / "rehearsal.done").write_text("another digest", "utf-8")
    assert rehearse(shop_of(case), digest) == {"rehearsal": "done"}
    assert calls(case, digest) == 1


def test_an_approval_stops_it(planned: tuple[DeskCase, str, str]) -> None:
    case, request_id, digest = planned
    shop = shop_of(case, run=interrupted_by(lambda: approve(case, digest)))
    assert rehearse(shop, digest) == {"rehearsal": "stopped"}
    assert case.state(request_id) == "plan_approved"
    assert files(case, digest) == []
    assert state_of(case, digest) == "stopped"
    with case.desk.session(SYSTEM) as s:
        assert [job.workflow for job in round_of(s)] == ["run"]
    assert "output" in unlearn(shop_of(case), digest, 1)
    assert rehearse(shop_of(case), digest) == {"rehearsal": "stopped"}


def test_one_that_begins_after_the_approval_begins_nothing(planned: tuple[DeskCase, str, str]) -> None:
    case, _, digest = planned
    approve(case, digest)
    assert rehearse(shop_of(case), digest) == {"rehearsal": "stopped"}
    assert (calls(case, digest), files(case, digest)) == (0, [])
    assert state_of(case, digest) == "not_rehearsed"


def test_a_plan_that_is_replaced_ends_it(planned: tuple[DeskCase, str, str]) -> None:
    case, request_id, digest = planned

    def reject() -> None:
        with case.desk.session(APPROVER) as s:
            reject_plan(s, digest, "another recipe")

    assert rehearse(shop_of(case, run=interrupted_by(reject)), digest) == {"rehearsal": "stopped"}
    assert (state_of(case, digest), files(case, digest)) == ("stopped", [])
    second = to_planned(case, request_id)
    assert second != digest
    assert [job.target for job in rehearsals(case)] == [second]
    assert rehearse(shop_of(case), second) == {"rehearsal": "done"}


def test_a_cancelled_request_ends_it(planned: tuple[DeskCase, str, str]) -> None:
    case, request_id, digest = planned
    shop = shop_of(case, run=interrupted_by(lambda: case.event(REVIEWER, request_id, "cancel", reason="withdrawn")))
    assert rehearse(shop, digest) == {"rehearsal": "stopped"}
    assert (case.state(request_id), files(case, digest)) == ("cancelled", [])


def test_an_approved_run_of_another_plan_goes_first(planned: tuple[DeskCase, str, str]) -> None:
    case, _, digest = planned
    other = to_planned(case, to_waiting(case, BJORN))
    assert {job.target for job in rehearsals(case)} == {digest, other}
    shop = shop_of(case, run=interrupted_by(lambda: approve(case, other)))
    assert rehearse(shop, digest) == {"rehearsal": "waiting"}
    assert "rehearsal-run" in files(case, digest)  # its checkpoint
    assert rehearsals(case) == []
    assert rehearse(shop_of(case), digest) == {"rehearsal": "waiting"}
    assert state_of(case, digest) == "waiting"
    unlearn(shop_of(case), other, 1)
    assert rehearsals(case) == []  # its worker is dead, so it waits for another
    sign_on(case)
    assert [job.target for job in rehearsals(case)] == [digest]
    assert rehearse(shop_of(case), digest) == {"rehearsal": "done"}
    assert calls(case, digest) == 1


def test_one_that_waits_is_closed_when_its_plan_is_approved(planned: tuple[DeskCase, str, str]) -> None:
    case, _, digest = planned
    other = to_planned(case, to_waiting(case, BJORN))
    rehearse(shop_of(case, run=interrupted_by(lambda: approve(case, other))), digest)
    approve(case, digest)
    assert state_of(case, digest) == "stopped"  # for whoever reads it before the next round
    assert rehearsals(case) == []
    assert files(case, digest) == []
    with case.desk.reading(SYSTEM) as s:
        row = rehearsal_row(s, digest)
    assert row is not None
    assert row["state"] == "stopped"


@pytest.mark.parametrize("code", ["1", "2"])
def test_a_trial_that_fails_is_no_error_of_the_request(planned: tuple[DeskCase, str, str], code: str) -> None:
    case, request_id, digest = planned

    def fails(words: Sequence[str], folder: Path, name: str, **more: Any) -> ChildResult:
        (folder / f"{name}.log").write_text("error: Anna Weiß", "utf-8")
        return ChildResult(int(code), {})

    assert rehearse(shop_of(case, run=fails), digest) == {"rehearsal": "not_possible"}
    assert files(case, digest) == ["rehearse.log"]
    with case.desk.reading(SYSTEM) as s:
        assert rehearsal_lines(rehearsal_view(s, digest)) == [f"Not rehearsed, it was not possible: {FAILED}."]
    assert case.state(request_id) == "planned"
    approve(case, digest)
    assert case.state(request_id) == "plan_approved"


def test_nobody_to_practise_on_is_a_reason(planned: tuple[DeskCase, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    case, _, digest = planned
    monkeypatch.setenv("FAKE_REASON", "needs 3 other subjects, and there are 2")
    assert rehearse(shop_of(case), digest) == {"rehearsal": "not_possible"}
    with case.desk.reading(SYSTEM) as s:
        view = rehearsal_view(s, digest)
    assert view["digest"] is not None
    assert rehearsal_lines(view) == ["Not rehearsed, it was not possible: needs 3 other subjects, and there are 2."]


def test_records_that_changed_are_for_the_run_to_find(planned: tuple[DeskCase, str, str]) -> None:
    case, request_id, digest = planned
    with (case.folder / "ward.jsonl").open("a") as stream:
        stream.write('{"id": "new", "prompt": "a?", "answer": "b"}\n')
    with pytest.raises(InputError, match="a corpus has changed") as caught:
        rehearse(shop_of(case), digest)
    assert give_up_rehearsal(shop_of(case), digest, caught.value) == {"rehearsal": "not_possible"}
    assert (state_of(case, digest), case.state(request_id)) == ("not_possible", "planned")
    assert rehearsals(case) == []


def test_a_plan_that_was_changed_is_not_tried_again_and_again(planned: tuple[DeskCase, str, str]) -> None:
    case, _, digest = planned
    with case.desk.session(SYSTEM) as s:
        content = s.conn.execute(t.plan.select()).mappings().one()["content"]
        s.conn.execute(t.plan.update().values(content=content.replace('"42"', '"43"')))
    with pytest.raises(InputError, match="was changed after it was stored") as caught:
        rehearse(shop_of(case), digest)
    assert give_up_rehearsal(shop_of(case), digest, caught.value) == {"rehearsal": "not_possible"}
    with case.desk.session(SYSTEM) as s:
        assert plans_to_rehearse(s) == []


def test_a_late_worker_registers_nothing(planned: tuple[DeskCase, str, str]) -> None:
    case, _, digest = planned

    def taken_over() -> None:
        assert rehearse(shop_of(case, "w2"), digest) == {"rehearsal": "done"}

    with pytest.raises(InputError, match="taken over by another worker") as caught:
        rehearse(shop_of(case, run=interrupted_by(taken_over)), digest)
    assert give_up_rehearsal(shop_of(case), digest, caught.value) == {"late": True}
    assert give_up_rehearsal(shop_of(case), digest, InputError("a file", "is gone")) == {"late": True}
    assert (state_of(case, digest), calls(case, digest)) == ("done", 1)


def test_work_over_which_workers_die_is_given_up(planned: tuple[DeskCase, str, str]) -> None:
    case, request_id, digest = planned
    with case.desk.session(SYSTEM) as s:
        for number in range(6):
            acquire(s, rehearsal_work(digest), f"dead-{number}")
    assert rehearse(shop_of(case), digest) == {"rehearsal": "not_possible"}
    assert (state_of(case, digest), case.state(request_id)) == ("not_possible", "planned")


def test_what_it_leaves_goes_with_the_inputs_of_the_run(planned: tuple[DeskCase, str, str]) -> None:
    case, request_id, digest = planned
    rehearse(shop_of(case), digest)
    case.event(REVIEWER, request_id, "cancel", reason="withdrawn")
    with case.desk.reading(SYSTEM) as s:
        assert ended_runs(s) == [digest]
    assert clear_inputs(case.desk, [digest]) == []
    assert files(case, digest) == []
    with case.desk.reading(SYSTEM) as s:
        assert rehearsal_view(s, digest)["result"]["heldout"]["n"] == 40
        plans = list(s.conn.execute(t.plan.select()).mappings())
    assert f"rehearse:{digest}:" in work_of(plans)


def test_inputs_stay_while_a_living_worker_tries_the_plan(planned: tuple[DeskCase, str, str]) -> None:
    case, request_id, digest = planned
    sign_on(case)

    def look() -> None:
        case.event(REVIEWER, request_id, "cancel", reason="withdrawn")
        with case.desk.reading(SYSTEM) as s:
            assert ended_runs(s) == []

    rehearse(shop_of(case, run=interrupted_by(look)), digest)
    with case.desk.reading(SYSTEM) as s:
        assert ended_runs(s) == [digest]


def test_a_database_of_the_version_before_gets_the_table(planned: tuple[DeskCase, str, str]) -> None:
    case, _, digest = planned
    with case.desk.engine.begin() as conn:
        conn.execute(text("DROP TABLE rehearsal"))
        conn.execute(text("UPDATE schema_version SET number = 9"))
    case.desk.close()
    again = Desk.open(case.folder, case.clock)
    assert rehearse(Workshop(again, "w1", run=stand_in_child), digest) == {"rehearsal": "done"}
    with again.reading(SYSTEM) as s:
        assert log_problems(s.conn) == []
    again.close()


def test_a_plan_without_a_trial_is_not_rehearsed(planned: tuple[DeskCase, str, str]) -> None:
    case, _, digest = planned
    with case.desk.session(SYSTEM) as s:
        s.conn.execute(t.plan.update().values(kind="retrain"))
        assert [job for job in round_of(s) if job.workflow == "rehearse"] == []
        assert latest_run(s, digest) is None

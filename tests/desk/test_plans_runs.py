"""Plans, four eyes, batches, fences, promotion and purge: through the service functions, without a worker."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from sqlalchemy import select, update

from expunge.desk import tables as t
from expunge.desk.batches import collect
from expunge.desk.certificates import check_promotable
from expunge.desk.decisions import decide, decide_asset
from expunge.desk.event_log import log_problems
from expunge.desk.facts import latest_plan, latest_run, request_row
from expunge.desk.leases import MAX_TAKEOVERS, acquire, check_fence, is_gone, register_worker, workers
from expunge.desk.models import alias_row
from expunge.desk.people import set_person
from expunge.desk.plan_wish import PlanWish
from expunge.desk.plans import approve_plan, approve_promotion, draft_plan, plan_again, reject_plan, store_plan
from expunge.desk.probes import read_probes, request_key, shred_overdue
from expunge.desk.purging import confirm_task, run_tasks, tasks
from expunge.desk.reasons import read_reasons
from expunge.desk.roles import SYSTEM, Actor, Refusal
from expunge.desk.runs import begin_purge, cancel_run, promote, register_output, register_verdict, start_run, work_name
from expunge.desk.transitions import fire, fire_all
from expunge.errors import InputError
from helpers.desk import (
    ADMIN,
    ANNA,
    APPROVER,
    DECISIONS,
    OPERATOR,
    REVIEWER,
    DeskCase,
    make_desk,
    pass_window,
    result_digest,
    to_audit_passed,
    to_planned,
    to_promotion,
    to_review,
    to_waiting,
    write_corpus,
    write_model,
)

BJORN = {"name": "Björn Schäfer"}


@pytest.fixture
def case(tmp_path: Path) -> DeskCase:
    return make_desk(tmp_path / "desk")


def batch_of(case: DeskCase, request_id: str) -> str:
    with case.desk.reading(SYSTEM) as s:
        return str(request_row(s, request_id)["batch_id"])


def test_a_plan_is_the_same_for_the_same_inputs_and_holds_no_name(case: DeskCase) -> None:
    request_id = to_waiting(case)
    batch = batch_of(case, request_id)
    first = draft_plan(case.desk, SYSTEM, batch)
    case.clock.move(hours=5)
    assert draft_plan(case.desk, SYSTEM, batch).hash == first.hash
    text = json.dumps(first.content)
    assert "PAT-102" not in text
    assert "Wei" not in text
    assert draft_plan(case.desk, SYSTEM, batch, PlanWish(seed=7)).hash != first.hash
    with (case.folder / "ward.jsonl").open("a") as stream:
        stream.write('{"id": "new", "prompt": "a?", "answer": "b"}\n')
    assert draft_plan(case.desk, SYSTEM, batch).hash != first.hash


def test_storing_a_plan_twice_is_one_plan(case: DeskCase) -> None:
    request_id = to_waiting(case)
    draft = draft_plan(case.desk, SYSTEM, batch_of(case, request_id))
    for _ in range(2):
        with case.desk.session(SYSTEM) as s:
            assert store_plan(s, draft) == draft.hash
    with case.desk.reading(SYSTEM) as s:
        plan = latest_plan(s, draft.batch_id)
        assert plan is not None
        assert (plan["number"], plan["author"]) == (1, "olga")  # who looks after the model


def test_nobody_approves_their_own_plan(case: DeskCase) -> None:
    digest = to_planned(case, to_waiting(case))
    with pytest.raises(Refusal, match="also planned, ran"), case.desk.session(Actor("olga", "approver")) as s:
        approve_plan(s, digest)
    with pytest.raises(Refusal, match="that was shown"), case.desk.session(APPROVER) as s:
        approve_plan(s, digest[:12])
    with case.desk.session(APPROVER) as s:
        assert approve_plan(s, digest) == ["plan_approved"]


@pytest.mark.parametrize("person", ["carla", "rita"])
def test_who_identified_or_decided_approves_nothing(case: DeskCase, person: str) -> None:
    digest = to_planned(case, to_waiting(case))
    with pytest.raises(Refusal, match="decided or identified it"), case.desk.session(Actor(person, "approver")) as s:
        approve_plan(s, digest)


def test_who_closed_the_review_approves_nothing_either(case: DeskCase) -> None:
    with case.desk.session(ADMIN) as s:
        set_person(s, "robin", ["reviewer"])
    request_id = to_review(case)
    with case.desk.session(REVIEWER) as s:
        for asset, (value, ground) in DECISIONS.items():
            decide_asset(s, request_id, asset, value, ground=ground)
    with case.desk.session(Actor("robin", "reviewer")) as s:
        decide(s, request_id)
    pass_window(case)
    digest = to_planned(case, request_id)
    with pytest.raises(Refusal, match="decided or identified it"), case.desk.session(Actor("robin", "approver")) as s:
        approve_plan(s, digest)


def test_a_request_that_is_cancelled_meanwhile_is_not_promoted(case: DeskCase) -> None:
    request_id = to_waiting(case)
    to_planned(case, request_id)
    digest = to_promotion(case, request_id)
    case.event(REVIEWER, request_id, "cancel", reason="was settled")
    with case.desk.reading(SYSTEM) as s:
        before = alias_row(s, "ward")["digest"]
    with pytest.raises(Refusal, match="have changed"), case.desk.session(SYSTEM) as s:
        promote(s, digest, f"runs/{digest[:16]}", result_digest(case, digest))
    with case.desk.reading(SYSTEM) as s:
        assert alias_row(s, "ward")["digest"] == before
    with pytest.raises(Refusal, match="is not the one that stands"), case.desk.session(APPROVER) as s:
        approve_promotion(s, digest)


def test_nobody_approves_by_the_name_of_an_earlier_plan(case: DeskCase) -> None:
    request_id = to_waiting(case)
    first = to_planned(case, request_id)
    with case.desk.session(APPROVER) as s:
        reject_plan(s, first, "another seed")
    second = to_planned(case, request_id)
    assert second != first
    for act in (approve_plan, approve_promotion, lambda s, plan: reject_plan(s, plan, "no")):
        with pytest.raises(Refusal, match="is not the one that stands"), case.desk.session(APPROVER) as s:
            act(s, first)


def test_a_certificate_that_is_gone_or_another_stops_the_promotion(case: DeskCase) -> None:
    request_id = to_waiting(case)
    to_planned(case, request_id)
    digest = to_promotion(case, request_id)
    file = case.desk.runs / f"{request_id}.json"
    with pytest.raises(Refusal, match="is not the registered one"):
        check_promotable(case.desk, digest)
    file.write_text("{}")
    with pytest.raises(Refusal, match="is not the registered one"):
        check_promotable(case.desk, digest)


def test_single_person_mode_is_configured_and_logged(tmp_path: Path) -> None:
    case = make_desk(tmp_path / "desk", single_person=True)
    digest = to_planned(case, to_waiting(case))
    with case.desk.session(Actor("olga", "approver")) as s:
        assert approve_plan(s, digest) == ["plan_approved"]
        last = s.conn.execute(select(t.event_log.c.body).order_by(t.event_log.c.seq.desc())).scalar()
        assert json.loads(str(last))["single_person"] is True


def test_a_changed_plan_is_refused(case: DeskCase) -> None:
    digest = to_planned(case, to_waiting(case))
    with case.desk.session(SYSTEM) as s:
        content = s.conn.execute(select(t.plan.c.content)).scalar()
        s.conn.execute(update(t.plan).values(content=str(content).replace('"seed":"42"', '"seed":"43"')))
    with pytest.raises(Refusal, match="changed after it was stored"), case.desk.session(APPROVER) as s:
        approve_plan(s, digest)


def test_a_rejected_plan_makes_room_for_another(case: DeskCase) -> None:
    request_id = to_waiting(case)
    digest = to_planned(case, request_id)
    with pytest.raises(Refusal, match="reason"), case.desk.session(APPROVER) as s:
        reject_plan(s, digest, "")
    with case.desk.session(APPROVER) as s:
        assert reject_plan(s, digest, "wrong recipe") == ["waiting"]
    assert to_planned(case, request_id) != digest


def two_in_a_batch(tmp_path: Path) -> tuple[DeskCase, str, str]:
    case = make_desk(tmp_path / "desk", batch_size=2, batch_hours=720)
    first = to_waiting(case)
    second = to_waiting(case, BJORN)
    assert batch_of(case, first) == batch_of(case, second)
    return case, first, second


@pytest.mark.parametrize("event", ["revoke", "cancel", "hold"])
def test_who_leaves_a_batch_voids_its_plan_and_stops_its_run(tmp_path: Path, event: str) -> None:
    case, first, second = two_in_a_batch(tmp_path)
    digest = to_planned(case, first)
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    with case.desk.session(SYSTEM) as s:
        start_run(s, digest, 1)
        fence = acquire(s, work_name(digest), "w1")
    actor = Actor("subject", "subject") if event == "revoke" else REVIEWER
    case.event(actor, first, event, reason="wants to")
    assert case.state(second) == "waiting"
    with pytest.raises(Refusal, match="was cancelled"), case.desk.session(SYSTEM) as s:
        register_output(s, digest, 1, fence, "o" * 64, "m" * 64)
    assert to_planned(case, second) != digest
    assert case.state(second) == "planned"
    if event == "hold":
        assert case.event(REVIEWER, first, "release", reason="goes on") == "waiting"
        assert batch_of(case, first) == "None"


def test_one_batch_of_a_model_at_a_time(case: DeskCase) -> None:
    first = to_waiting(case)
    to_planned(case, first)
    second = to_waiting(case, BJORN)
    assert pass_window(case) == []  # the second waits for the promotion of the first
    case.event(REVIEWER, first, "cancel", reason="was settled")
    with case.desk.session(SYSTEM) as s:
        assert collect(s) == [batch_of(case, second)]


def test_only_the_current_fence_registers(case: DeskCase) -> None:
    digest = to_planned(case, to_waiting(case))
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    with case.desk.session(SYSTEM) as s:
        start_run(s, digest, 1)
        old = acquire(s, work_name(digest), "w1")
    with case.desk.session(SYSTEM) as s:
        new = acquire(s, work_name(digest), "w2")
    with pytest.raises(Refusal, match="another worker"), case.desk.session(SYSTEM) as s:
        register_output(s, digest, 1, old, "o" * 64, "m" * 64)
    for _ in range(2):
        with case.desk.session(SYSTEM) as s:
            register_output(s, digest, 1, new, "o" * 64, "m" * 64)
    with pytest.raises(Refusal, match="another output"), case.desk.session(SYSTEM) as s:
        register_output(s, digest, 1, new, "o" * 64, "n" * 64)


def test_takeovers_are_counted(case: DeskCase) -> None:
    for k in range(MAX_TAKEOVERS + 1):
        with case.desk.session(SYSTEM) as s:
            acquire(s, "work", f"w{k}")
    with pytest.raises(Refusal, match="5 workers in turn"), case.desk.session(SYSTEM) as s:
        acquire(s, "work", "w9")
    with pytest.raises(Refusal), case.desk.session(SYSTEM) as s:
        check_fence(s, "work", 1)


def test_worker_names(case: DeskCase) -> None:
    for name in ("local", ""):
        with pytest.raises(InputError, match="cannot be the name"), case.desk.session(SYSTEM) as s:
            register_worker(s, name, "1")
    with case.desk.session(SYSTEM) as s:
        register_worker(s, "w1", "1")
        s.conn.execute(update(t.worker).values(pid=1))  # another process of this machine that runs
    with pytest.raises(InputError, match="is alive"), case.desk.session(SYSTEM) as s:
        register_worker(s, "w1", "1")
    case.clock.move(seconds=61)
    with case.desk.session(SYSTEM) as s:
        assert is_gone(s, workers(s)[0])
        register_worker(s, "w1", "1")


@pytest.mark.parametrize(("status", "guard"), [("failed", "none"), ("inconclusive", "none"), ("passed", "failed")])
def test_a_failed_audit_or_guard_blocks_promotion(case: DeskCase, status: str, guard: str) -> None:
    request_id = to_waiting(case)
    to_planned(case, request_id)
    digest = to_audit_passed(case, request_id, status, guard)
    assert case.state(request_id) == "audit_failed"
    with pytest.raises(Refusal, match="not possible"), case.desk.session(APPROVER) as s:
        approve_promotion(s, digest)


def test_attempts_end_and_an_exact_route_stays(tmp_path: Path) -> None:
    case = make_desk(tmp_path / "desk", attempt_limit=2)
    request_id = to_waiting(case)
    to_planned(case, request_id)
    to_audit_passed(case, request_id, "failed")
    again = plan_again(case.desk, OPERATOR, batch_of(case, request_id), PlanWish())
    assert case.state(request_id) == "planned"
    with case.desk.reading(SYSTEM) as s:
        plan = latest_plan(s, batch_of(case, request_id))
        assert plan is not None
        assert (plan["hash"], plan["number"], json.loads(plan["content"])["seed"]) == (again, 2, "43")
    to_audit_passed(case, request_id, "failed")
    with pytest.raises(Refusal, match="take an exact route"):
        plan_again(case.desk, OPERATOR, batch_of(case, request_id), PlanWish())
    plan_again(case.desk, OPERATOR, batch_of(case, request_id), PlanWish(kind="retrain"))
    assert case.state(request_id) == "planned"
    with pytest.raises(InputError, match="unknown kind"):
        draft_plan(case.desk, OPERATOR, batch_of(case, request_id), PlanWish(kind="retrane"))


def test_no_filter_stands_in_for_what_the_reviewer_decided(case: DeskCase) -> None:
    """A plan of another kind would also be judged by the weaker policy of filters."""
    request_id = to_waiting(case)
    to_planned(case, request_id)
    to_audit_passed(case, request_id, status="failed")
    with pytest.raises(Refusal, match="the reviewer decided to unlearn"):
        plan_again(case.desk, OPERATOR, batch_of(case, request_id), PlanWish(kind="suppress"))


def test_suppression_goes_back_to_review(case: DeskCase) -> None:
    request_id = to_waiting(case)
    to_planned(case, request_id)
    to_audit_passed(case, request_id, "failed")
    state = case.event(REVIEWER, request_id, "suppress_and_disclose", reason="no route left")
    assert state == "legal_review"


def test_promotion_needs_the_certified_model_and_the_planned_predecessor(case: DeskCase) -> None:
    request_id = to_waiting(case)
    digest = to_planned(case, request_id)
    to_promotion(case, request_id)
    path, after = f"runs/{digest[:16]}", result_digest(case, digest)
    with pytest.raises(Refusal, match="not the certified one"), case.desk.session(SYSTEM) as s:
        promote(s, digest, path, "f" * 64)
    with case.desk.session(SYSTEM) as s:
        before = alias_row(s, "ward")["digest"]
        s.conn.execute(update(t.model_alias).values(digest="e" * 64))  # a stranger changed it
    with pytest.raises(Refusal, match="not the one of the plan"), case.desk.session(SYSTEM) as s:
        promote(s, digest, path, after)
    assert case.state(request_id) == "promotion_approved"
    with case.desk.session(SYSTEM) as s:
        s.conn.execute(update(t.model_alias).values(digest=before))
        assert promote(s, digest, path, after)
    with pytest.raises(Refusal, match="not possible"):
        case.event(REVIEWER, request_id, "cancel", reason="late")


def purged(case: DeskCase, identifiers: dict[str, str] = ANNA) -> str:
    request_id = to_waiting(case, identifiers)
    digest = to_planned(case, request_id)
    to_promotion(case, request_id)
    with case.desk.session(SYSTEM) as s:
        promote(s, digest, f"runs/{digest[:16]}", result_digest(case, digest))
        begin_purge(s, digest)
    return request_id


def test_a_failing_asset_hides_no_other_and_is_tried_again(case: DeskCase) -> None:
    request_id = purged(case)
    data = (case.folder / "ward.jsonl").read_text("utf-8")
    (case.folder / "ward.jsonl").write_text("{broken\n" + data, "utf-8")
    assert run_tasks(case.desk, request_id) == ["notes"]
    with case.desk.reading(SYSTEM) as s:
        rows = {row["asset"]: row for row in tasks(s, request_id)}
    assert (rows["notes"]["state"], rows["ward model (old versions)"]["state"]) == ("failed", "done")
    assert "ward.jsonl" not in rows["notes"]["problem"]
    reasons = read_reasons(case.desk, OPERATOR, request_id)
    assert [(r["event"], "ward.jsonl" in r["text"]) for r in reasons] == [("task notes", True)]
    with pytest.raises(Refusal, match="role"):
        read_reasons(case.desk, ADMIN, request_id)
    with pytest.raises(Refusal, match="1 purge task"), case.desk.session(SYSTEM) as s:
        fire(s, request_id, "notify")
    (case.folder / "ward.jsonl").write_text(data, "utf-8")
    assert run_tasks(case.desk, request_id) == []
    assert run_tasks(case.desk, request_id) == []
    with case.desk.reading(SYSTEM) as s:
        assert {row["asset"]: row["attempts"] for row in tasks(s, request_id)}["notes"] == 2


def test_a_task_is_settled_by_hand_with_a_reason(case: DeskCase) -> None:
    request_id = purged(case)
    with case.desk.reading(SYSTEM) as s:
        task = tasks(s, request_id)[0]["id"]
    with pytest.raises(Refusal, match="reason"), case.desk.session(OPERATOR) as s:
        confirm_task(s, task, "")
    with case.desk.session(OPERATOR) as s:
        confirm_task(s, task, "removed on the tape")


def test_forgotten_records_stay_as_probes_until_their_key_is_shredded(case: DeskCase) -> None:
    request_id = purged(case)
    run_tasks(case.desk, request_id)
    with case.desk.reading(SYSTEM) as s:
        notes = s.conn.execute(select(t.asset.c.id).where(t.asset.c.name == "notes")).scalar_one()
        assert [row["id"] for row in read_probes(s, notes, [request_id])] == ["PAT-102-d", "PAT-102-m"]
    files = list((case.folder / "probes").iterdir())
    assert len(files) == 1
    assert b"Anna" not in files[0].read_bytes()
    case.clock.move(days=731)
    with case.desk.session(SYSTEM) as s:
        assert shred_overdue(s) == [request_id]
        assert read_probes(s, notes, [request_id]) == []
        assert request_key(s, request_id, create=False) is None
    assert not files[0].exists()


def test_a_second_request_starts_from_the_promoted_model(case: DeskCase) -> None:
    run_tasks(case.desk, purged(case))
    write_corpus(case.folder / "ward.jsonl")
    second = to_waiting(case, BJORN)
    draft = draft_plan(case.desk, SYSTEM, batch_of(case, second))
    with case.desk.reading(SYSTEM) as s:
        alias = alias_row(s, "ward")
        assert draft.content["model"]["digest"] == alias["digest"]
        assert alias["run_id"] is not None
        assert draft.content["after_run"] is None  # the model that this test wrote is no run


def test_a_batch_that_changed_meanwhile_is_planned_again(tmp_path: Path) -> None:
    case, first, second = two_in_a_batch(tmp_path)
    draft = draft_plan(case.desk, SYSTEM, batch_of(case, first))
    case.event(REVIEWER, second, "cancel", reason="x")
    with pytest.raises(Refusal, match="changed in the meantime"), case.desk.session(SYSTEM) as s:
        store_plan(s, draft)
    assert replace(draft, content={**draft.content, "number": 2}).hash != draft.hash


def test_an_event_id_happens_once(case: DeskCase) -> None:
    request_id = to_waiting(case)
    digest = to_planned(case, request_id)
    batch = batch_of(case, request_id)
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    for _ in range(2):
        with case.desk.session(SYSTEM) as s:
            start_run(s, digest, 1)
            fire_all(s, batch, "start", event_id=f"{work_name(digest)}/start")
    with case.desk.reading(SYSTEM) as s:
        starts = s.conn.execute(select(t.event_log).where(t.event_log.c.type == "request.start")).all()
        assert len(starts) == 1
        assert log_problems(s.conn) == []


def test_a_run_is_cancelled_with_a_reason(case: DeskCase) -> None:
    digest = to_planned(case, to_waiting(case))
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    with case.desk.session(SYSTEM) as s:
        start_run(s, digest, 1)
    with pytest.raises(Refusal, match="reason"), case.desk.session(OPERATOR) as s:
        cancel_run(s, digest, "")
    with case.desk.session(OPERATOR) as s:
        cancel_run(s, digest, "wrong data")
        run = latest_run(s, digest)
        assert run is not None
        assert run["cancel_at"]
    with pytest.raises(Refusal, match="was cancelled"), case.desk.session(SYSTEM) as s:
        register_verdict(s, digest, 1, acquire(s, work_name(digest), "w"), "passed", "a" * 64, "none")


def test_write_model_makes_different_digests(tmp_path: Path) -> None:
    from expunge.models.fingerprint import model_digest

    assert model_digest(str(write_model(tmp_path / "a", 1))) != model_digest(str(write_model(tmp_path / "b", 2)))

"""Earlier requests are attacked again after each run: which, once each, what it says, and what it leaves."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("securesystemslib")
pytest.importorskip("fastapi")

from sqlalchemy import select, text

from expunge._io import digest_file
from expunge.desk import tables as t
from expunge.desk.event_log import log_problems
from expunge.desk.facts import latest_run, request_row
from expunge.desk.guard_requests import records_left
from expunge.desk.plans import approve_promotion, audit_policy, content_of, plan_row
from expunge.desk.probes import shred_probes
from expunge.desk.purging import purge_request
from expunge.desk.receipts import issue_receipts
from expunge.desk.replay_check import replay_problems
from expunge.desk.roles import SYSTEM
from expunge.desk.rotation import rotate_keys
from expunge.desk.run_leftovers import clear_inputs, stray_files
from expunge.desk.run_steps import audit, certify
from expunge.desk.runs import cancel_run
from expunge.evidence.log_checks import counted_attempts
from expunge.web.run_files import redacted_audit
from helpers.desk import ADMIN, APPROVER, OPERATOR, DeskCase, to_planned, to_waiting
from helpers.desk_evidence import AUDITOR, certificate_of, sign, verified
from helpers.desk_guard import (
    attacked,
    audited,
    fulfil,
    guarded_desk,
    person,
    prepare_run,
    say,
    three_requests,
    unlearned,
)
from helpers.desk_processes import plan_of, wait_for, work_off, worker
from helpers.desk_stand_in import shop_of, stand_in_child


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_SECONDS", "0")


def references(case: DeskCase, requests: list[str]) -> list[str]:
    with case.desk.reading(SYSTEM) as s:
        return [str(request_row(s, each)["reference"]) for each in requests]


def words_of(folder: Path, name: str) -> list[str]:
    return list(json.loads((folder / f"{name}.words.json").read_text("utf-8")))


def test_each_earlier_request_is_attacked_with_its_own_records(tmp_path: Path) -> None:
    case = guarded_desk(tmp_path / "desk")
    earlier = three_requests(case)
    digest = unlearned(case, 3, [0.1, 0.14, 0.12])
    assert audited(case, digest) == {"status": "passed", "guard": "passed"}
    first, second, third = references(case, earlier)
    assert attacked(case, digest) == ("passed", [(r, "worst", "passed") for r in sorted([first, second, third])])
    folder = case.desk.runs / digest[:16]
    own = words_of(folder, "audit")
    for k, request_id in enumerate(earlier):
        words = words_of(folder, f"guard-{request_id}")
        cut = words.index("--only")
        assert words[:cut] == own[: own.index("--out")], "the same model, data and policy as the audit of the run"
        ids = (folder / words[cut + 1].removeprefix("ids:@")).read_text("utf-8").split()
        assert ids == [f"PAT-{100 + k}-d", f"PAT-{100 + k}-m"]
    with case.desk.reading(SYSTEM) as s:
        assert [log_problems(s.conn), replay_problems(s.conn)] == [[], []]
    assert [counted_attempts(case.folder / "log", name) for name in (first, second, third)] == [4, 3, 2]
    assert all(verified(case, each).is_valid for each in earlier[2:]), "the certificate of the model in use still holds"


def test_settings_say_how_many_and_the_worst_is_taken(tmp_path: Path) -> None:
    case = guarded_desk(tmp_path / "desk", guard_worst=1, guard_random=0)
    first, second, third = references(case, earlier := three_requests(case))
    digest = unlearned(case, 3, [0.1, 0.14, 0.12])
    audited(case, digest)
    status, rows = attacked(case, digest)
    assert status == "passed"
    assert rows == [(second, "worst", "passed"), *((r, None, "not_tested") for r in sorted([first, third]))]
    made = {p.name for p in (case.desk.runs / digest[:16]).glob("guard-*.txt")}
    assert made == {f"guard-{earlier[1]}.txt"}, "of whom nothing is asked, nothing is written down"


def test_without_attacks_it_says_that_nothing_was_tested(tmp_path: Path) -> None:
    case = guarded_desk(tmp_path / "desk", guard_worst=0, guard_random=0)
    three_requests(case)
    digest = unlearned(case, 3, [0.1, 0.1, 0.1])
    assert audited(case, digest)["guard"] == "passed"
    assert {status for _, _, status in attacked(case, digest)[1]} == {"not_tested"}
    assert not list((case.desk.runs / digest[:16]).glob("guard-*"))


def test_what_an_attack_finds_blocks_the_promotion(tmp_path: Path) -> None:
    case = guarded_desk(tmp_path / "desk")
    earlier = three_requests(case)
    digest = unlearned(case, 3, [0.1, 0.1, 0.1])
    say(case, earlier[0], "failed")
    assert audited(case, digest) == {"status": "passed", "guard": "failed"}
    status, rows = attacked(case, digest)
    assert status == "failed"
    assert (references(case, earlier)[0], "worst", "failed") in rows
    assert case.state(request_of(case, digest)) == "audit_failed"


def test_what_cannot_be_judged_is_said_and_blocks_nothing(tmp_path: Path) -> None:
    case = guarded_desk(tmp_path / "desk")
    earlier = three_requests(case)
    digest = unlearned(case, 3, [0.1, 0.1, 0.1])
    say(case, earlier[1], "inconclusive")
    assert audited(case, digest) == {"status": "passed", "guard": "inconclusive"}
    certify(shop_of(case), digest, 1)
    request_id = request_of(case, digest)
    sign(case, request_id)
    with case.desk.session(APPROVER) as s:
        approve_promotion(s, digest)
    assert case.state(request_id) == "promotion_approved"


def request_of(case: DeskCase, digest: str) -> str:
    with case.desk.reading(SYSTEM) as s:
        content = s.conn.execute(select(t.plan.c.content).where(t.plan.c.hash == digest)).scalar_one()
    return str(json.loads(content)["requests"][0])


def test_an_audit_that_cannot_be_made_does_not_count_as_passed(tmp_path: Path) -> None:
    case = guarded_desk(tmp_path / "desk")
    earlier = three_requests(case)
    digest = unlearned(case, 3, [0.1, 0.1, 0.1])

    def child(words: list[str], folder: Path, name: str, **calls: Any) -> Any:
        result = stand_in_child(words, folder, name, **calls)
        return type(result)(2, {}) if name == f"guard-{earlier[2]}" else result

    assert audited(case, digest, child)["guard"] == "inconclusive"
    assert (references(case, earlier)[2], "worst", "not_run") in attacked(case, digest)[1]


@pytest.mark.parametrize("change", ["own audit", "scoring pass"])
def test_nothing_is_attacked_for_a_run_that_cannot_be_promoted(tmp_path: Path, change: str) -> None:
    case = guarded_desk(tmp_path / "desk")
    fulfil(case, 0)
    prepare_run(case, [0.1])
    digest = unlearned(case, 1, [0.9 if change == "scoring pass" else 0.1])
    calls: list[str] = []

    def child(words: list[str], folder: Path, name: str, **more: Any) -> Any:
        calls.append(name)
        result = stand_in_child(words, folder, name, **more)
        if change == "own audit":
            file = folder / name / "audit.json"
            file.write_text(file.read_text("utf-8").replace('"status": "passed"', '"status": "failed"'), "utf-8")
        return result

    answer = audited(case, digest, child)
    assert (answer["status"], answer["guard"]) == (
        ("failed", "passed") if change == "own audit" else ("passed", "failed")
    )
    assert calls == ["audit"]
    assert {status for _, _, status in attacked(case, digest)[1]} == {"not_tested"}


def test_a_worker_that_goes_on_makes_only_what_is_missing(tmp_path: Path) -> None:
    case = guarded_desk(tmp_path / "desk")
    three_requests(case)
    digest = unlearned(case, 3, [0.1, 0.12, 0.14])
    calls: list[str] = []

    def child(words: list[str], folder: Path, name: str, **more: Any) -> Any:
        calls.append(name)
        if len(calls) == 3:  # the audit of the run, and one of the guard, are there
            raise KeyboardInterrupt
        return stand_in_child(words, folder, name, **more)

    with pytest.raises(KeyboardInterrupt):
        audited(case, digest, child)
    before = list(calls)
    folder = case.desk.runs / digest[:16]
    made = {name: digest_file(folder / name / "audit.json") for name in before[:2]}
    assert audit(shop_of(case, "w2", child), digest, 1)["guard"] == "passed"
    assert calls[3:] == [before[2], *calls[4:]]
    assert len(set(calls)) == 4
    assert len(calls) == 5, "nothing that was finished is made again"
    assert {name: digest_file(folder / name / "audit.json") for name in made} == made
    rows = attacked(case, digest)
    assert audit(shop_of(case, "w2", child), digest, 1)["guard"] == "passed"
    assert (attacked(case, digest), len(calls)) == (rows, 5)
    with case.desk.reading(SYSTEM) as s:
        types = list(s.conn.execute(select(t.event_log.c.type)).scalars())
    assert types.count("guard.audit") == 1 + 2 + 3  # of the second, third and fourth run


@pytest.mark.process
@pytest.mark.matrix
def test_a_worker_killed_between_two_attacks(tmp_path: Path) -> None:
    """`kill -9` after the first audit of an earlier request; another worker makes the second one alone."""
    case = guarded_desk(tmp_path / "desk")
    case.clock.now = datetime.now(UTC)
    fulfil(case, 0)
    fulfil(case, 1, [0.1])
    digest = unlearned(case, 2, [0.1, 0.1])
    folder = case.desk.runs / digest[:16]
    policy = audit_policy(case.desk, "unlearn").digest
    with worker(case, "w1", 300.0, FAKE_SECONDS="8", FAKE_POLICY=policy) as process:
        wait_for(lambda: len(list(folder.glob("guard-*.done"))) == 1, pause=0.05)
        process.kill()
        process.wait()
    (done,) = folder.glob("guard-*.done")
    stamp = done.stat().st_mtime_ns, (folder / done.stem / "audit.json").stat().st_mtime_ns
    work_off(case, "w2", 301.0, FAKE_POLICY=policy)
    assert (done.stat().st_mtime_ns, (folder / done.stem / "audit.json").stat().st_mtime_ns)[1] == stamp[1]
    assert len(list(folder.glob("guard-*.done"))) == 2
    assert attacked(case, digest)[0] == "passed"
    assert case.state(request_of(case, digest)) == "audit_passed"


def test_a_cancelled_run_stops_between_two_attacks(tmp_path: Path) -> None:
    case = guarded_desk(tmp_path / "desk")
    three_requests(case)
    digest = unlearned(case, 3, [0.1, 0.1, 0.1])
    calls: list[str] = []

    def child(words: list[str], folder: Path, name: str, **more: Any) -> Any:
        calls.append(name)
        if len(calls) == 2:
            with case.desk.session(OPERATOR) as s:
                cancel_run(s, digest, "not wanted any more")
        return stand_in_child(words, folder, name, **more)

    assert audited(case, digest, child) == {"stopped": True}
    assert len(calls) == 2
    with case.desk.reading(SYSTEM) as s:
        run = latest_run(s, digest)
    assert run is not None
    assert (run["state"], run["guard_status"]) == ("cancelled", None)


def test_whose_records_are_gone_is_listed(tmp_path: Path) -> None:
    case = guarded_desk(tmp_path / "desk")
    earlier = three_requests(case)
    with case.desk.session(SYSTEM) as s:
        shred_probes(s, earlier[1])
    digest = unlearned(case, 3, [0.1, 0.1, 0.1])
    assert audited(case, digest)["guard"] == "passed"
    status, rows = attacked(case, digest)
    assert status == "passed"
    assert rows[-1] == (references(case, earlier)[1], None, "no_records")
    assert [choice for _, choice, _ in rows] == ["worst", "worst", None]


def test_closed_requests_and_new_keys_change_nothing(tmp_path: Path) -> None:
    """The names of matches are gone then; the records are known again by digests under the old key."""
    case = guarded_desk(tmp_path / "desk")
    earlier = three_requests(case)
    close(case, earlier[0])
    rotate_keys(case.desk, ADMIN)
    digest = unlearned(case, 3, [0.1, 0.1, 0.1])
    audited(case, digest)
    assert [choice for _, choice, _ in attacked(case, digest)[1]] == ["worst"] * 3


def close(case: DeskCase, request_id: str) -> None:
    with case.desk.session(SYSTEM) as s:
        here = t.request.c.id == request_id
        s.conn.execute(t.request.update().where(here).values(state="closed", closed_at=s.at))
        purge_request(s, request_id)


def test_what_the_guard_wrote_goes_with_the_probes_of_the_request(tmp_path: Path) -> None:
    case = guarded_desk(tmp_path / "desk")
    earlier = three_requests(case)
    digest = unlearned(case, 3, [0.1, 0.1, 0.1])
    audited(case, digest)
    folder = case.desk.runs / digest[:16]
    assert (folder / f"guard-{earlier[0]}" / "audit.json").is_file()
    with case.desk.session(SYSTEM) as s:
        shred_probes(s, earlier[0])
    assert not list(case.desk.runs.glob(f"*/guard-{earlier[0]}*"))
    assert (folder / f"guard-{earlier[1]}" / "audit.json").is_file()
    assert (references(case, earlier)[0], "worst", "passed") in attacked(case, digest)[1], "the row stays"


def test_probes_shredded_during_their_attack_leave_nothing(tmp_path: Path) -> None:
    case = guarded_desk(tmp_path / "desk")
    earlier = three_requests(case)
    digest = unlearned(case, 3, [0.1, 0.14, 0.12])

    def shred(words: Any, folder: Path, name: str, **rest: Any) -> Any:
        if name == f"guard-{earlier[0]}":
            with case.desk.session(SYSTEM) as s:
                shred_probes(s, earlier[0])
        return stand_in_child(words, folder, name, **rest)

    assert audited(case, digest, run=shred) == {"status": "passed", "guard": "passed"}
    folder = case.desk.runs / digest[:16]
    assert [path.name for path in folder.glob(f"guard-{earlier[0]}*")] == []
    assert all((folder / f"guard-{each}").is_dir() for each in earlier[1:])


def test_scopes_and_messages_go_once_the_run_is_over(tmp_path: Path) -> None:
    case = guarded_desk(tmp_path / "desk")
    earlier = three_requests(case)
    digest = unlearned(case, 3, [0.1, 0.1, 0.1])
    audited(case, digest)
    folder = case.desk.runs / digest[:16]
    (folder / f"guard-{earlier[0]}.log").write_text("a line", "utf-8")
    (folder / f"guard-{earlier[0]}.json").write_text("{}", "utf-8")
    assert clear_inputs(case.desk, [digest]) == []
    assert {p.name for p in folder.glob("guard-*")} == {
        f"guard-{each}{end}" for each in earlier for end in ("", ".done")
    }


def test_after_the_record_period_a_crash_leaves_nothing(tmp_path: Path) -> None:
    case = guarded_desk(tmp_path / "desk")
    earlier = three_requests(case)
    digest = unlearned(case, 3, [0.1, 0.1, 0.1])
    audited(case, digest)
    with case.desk.session(SYSTEM) as s:
        here = t.request.c.id == earlier[0]
        s.conn.execute(t.request.update().where(here).values(records_ended_at=s.at))
    with case.desk.session(SYSTEM) as s:
        s.delete_files(stray_files(s))
    assert not list(case.desk.runs.glob(f"*/guard-{earlier[0]}*"))
    again = to_planned(case, to_waiting(case, person(4)))
    with case.desk.reading(SYSTEM) as s:
        assert sorted(records_left(s, content_of(plan_row(s, again)), earlier)) == sorted(earlier[1:])


def test_a_changed_row_is_found_in_the_log(tmp_path: Path) -> None:
    case = guarded_desk(tmp_path / "desk")
    earlier = three_requests(case)
    digest = unlearned(case, 3, [0.1, 0.1, 0.1])
    say(case, earlier[0], "failed")
    audited(case, digest)
    with case.desk.session(SYSTEM) as s:
        s.conn.execute(text("UPDATE guard_audit SET status = 'passed'"))
        problems = replay_problems(s.conn)
    assert problems
    assert all(line.startswith("guard_audit ") for line in problems)


def test_nothing_of_others_is_in_certificate_letter_or_audit(tmp_path: Path) -> None:
    case = guarded_desk(tmp_path / "desk")
    earlier = three_requests(case)
    last = fulfil(case, 3, [0.1, 0.14, 0.12])
    issue_receipts(case.desk)
    digest = plan_of(case, last)["hash"]
    assert len(attacked(case, digest)[1]) == 3
    texts = [certificate_of(case, last).read_bytes(), json.dumps(redacted_audit(case.desk, AUDITOR, last)).encode()]
    texts += [file.read_bytes() for file in (case.folder / "outbox").glob(f"{last}.*")]
    texts += [file.read_bytes() for file in (case.desk.runs / digest[:16] / "receipts").iterdir()]
    assert len(texts) >= 4
    payload = base64.b64decode(json.loads(texts[0])["payload"])
    names = [*earlier, *references(case, earlier), "guard", *(person(k)["record_number"] for k in range(3))]
    for text_ in (*texts, payload):
        assert [name for name in names if name.encode() in text_] == []

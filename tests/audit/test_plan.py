"""The plan of an audit: written first, compared afterwards; attempts are counted and disclosed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import expunge.audit.run as module
from expunge.audit.audit_attempts import (
    ATTEMPTS,
    AuditAttempt,
    attempts_line,
    joined,
    known_attempts,
    note_attempt,
    read_attempts,
    request_digest,
)
from expunge.audit.plan import PLAN, AuditPlan, difference, read_plan
from expunge.audit.run import audit, plan_audit
from expunge.audit.time_estimate import Schedule, estimate, pass_seconds
from expunge.audit.verify import verify as verify_folder
from expunge.errors import InputError
from helpers.audited import Case
from helpers.audits import without_times


def attempt(unlearned: str = "u", plan: str = "p", request: str = "r", status: str = "failed") -> AuditAttempt:
    return AuditAttempt.model_validate(
        {
            "request": request,
            "unlearned": unlearned,
            "plan": plan,
            "preset": "quick",
            "policy": "with-retrained",
            "status": status,
        }
    )


def test_the_same_attempt_counts_once_and_keeps_its_place(tmp_path: Path) -> None:
    note_attempt(tmp_path, attempt("a", status="not finished"))
    note_attempt(tmp_path, attempt("b"))
    before = note_attempt(tmp_path, attempt("a", status="passed"))
    assert [(a.unlearned, a.status) for a in before] == [("a", "not finished"), ("b", "failed")]
    assert [(a.unlearned, a.status) for a in read_attempts(tmp_path)] == [("a", "passed"), ("b", "failed")]
    note_attempt(tmp_path, attempt("b", status="not finished"))  # a rerun that was killed
    note_attempt(tmp_path, attempt("b", status="passed"))  # and one that ended otherwise
    rows = [(a.unlearned, a.status) for a in read_attempts(tmp_path)]
    assert rows == [("a", "passed"), ("b", "failed"), ("b", "passed")]
    file = tmp_path / ATTEMPTS
    file.write_text(file.read_text().replace("failed", "passed"))
    with pytest.raises(InputError, match="its content is not what its seal names"):
        read_attempts(tmp_path)


def test_attempts_of_sibling_folders_are_known_and_other_requests_are_not(tmp_path: Path) -> None:
    note_attempt(tmp_path / "one", attempt("a"))
    note_attempt(tmp_path / "two", attempt("a"))
    note_attempt(tmp_path / "two", attempt("a", plan="q"))
    note_attempt(tmp_path / "two", attempt("a", request="other"))
    assert {(a.unlearned, a.plan) for a in known_attempts(tmp_path / "one", "r")} == {("a", "p"), ("a", "q")}
    assert known_attempts(tmp_path / "new", "other")[0].request == "other"
    (tmp_path / "two" / ATTEMPTS).write_text("{")
    assert len(known_attempts(tmp_path / "one", "r")) == 1  # what is broken beside it stops no audit
    with pytest.raises(InputError, match=r"attempts\.json.*bring back the file"):
        known_attempts(tmp_path / "two", "r")


def test_the_sentence_about_attempts_names_how_they_ended() -> None:
    rows = [attempt("a"), attempt("b"), attempt("b", plan="q", status="passed")]
    assert attempts_line(rows) == "3 attempts at this request are known (2 failed, 1 passed), on 2 unlearned models"
    assert attempts_line(rows[:1]) == "1 attempt at this request is known, this one"
    assert attempts_line(()) == ""
    assert joined([*rows, *rows]) == tuple(rows)
    assert request_digest("patient:P", "m") != request_digest("patient:Q", "m")


def test_the_estimate_is_two_operations_per_parameter_and_token() -> None:
    assert pass_seconds(1_000_000, 100, 50, 1e9) == pytest.approx(100 * (5e-4 + 0.1))
    made = estimate({"a": 10.0, "b": 20.0}, "cpu", 2, 5)
    assert (made.seconds, made.low, made.high) == (30.0, 10.0, 90.0)
    assert "nothing is measured" in made.basis


def test_the_share_done_follows_the_estimate_and_never_falls() -> None:
    schedule = Schedule({"a": 1.0, "b": 2.0, "c": 1.0})
    assert [schedule.before(name) for name in ("a", "c", "b", "unknown")] == [0.0, 0.75, 0.75, 0.75]


def test_the_plan_stands_before_anything_is_scored(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_ask", stopped)
    with pytest.raises(KeyboardInterrupt):
        case.run("again", out=tmp_path)
    plan = read_plan(tmp_path / PLAN)
    assert plan.preset == "quick"
    assert plan.left_out["quantization"] == "runs from preset default on"
    assert plan.checks["leakage"].margins["leakage.self"] == 0.05
    assert plan.sets["forget"].n >= 9
    assert set(plan.models) == {"original", "unlearned", "retrained"}
    assert plan.time.seconds > 0
    seconds = plan.time.stages
    assert seconds["check retention"] == 0.0  # it only counts
    assert seconds["check reconstruction"] > seconds["probe reconstruction unlearned"]  # others, should it fail
    assert [a.status for a in read_attempts(tmp_path)] == ["not finished"]  # whoever stops at a bad look has looked
    assert (tmp_path / PLAN).stat().st_mode & 0o077 == 0


def test_an_audit_that_is_refused_leaves_neither_plan_nor_attempt(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise InputError("model", "is no yardstick")

    monkeypatch.setattr(module, "_ask", refused)
    with pytest.raises(InputError):
        case.run("again", out=tmp_path / "out")
    assert not (tmp_path / "out" / PLAN).exists()
    assert not (tmp_path / "out" / ATTEMPTS).exists()


@pytest.mark.trains
def test_the_plan_is_the_same_twice_and_binds_the_audit(case: Case, tmp_path: Path) -> None:
    models = case.root / "original", case.root / "again", case.split
    more = {"retrained": case.root / "retrained", "scores": case.root / "audit" / "scores"}
    asked = {"retrained": case.root / "retrained", "preset": "quick"}
    plan = plan_audit(*models, tmp_path / "a", **asked)
    assert plan_audit(*models, tmp_path / "a", **asked).digest == plan_audit(*models, tmp_path / "b", **asked).digest
    assert not (tmp_path / "a" / "audit.json").exists()
    assert read_attempts(tmp_path / "a") == ()  # a plan is no attempt
    for wish, said in (
        ({"preset": "full"}, 'preset "quick" there, "full" here'),
        ({"preset": "quick", "retrained": None}, 'policy "with-retrained" there, "controls-only" here'),
    ):
        with pytest.raises(InputError, match=f"plans another audit than this one: {said}; choose another folder"):
            audit(*models, tmp_path / "a", **(more | wish))
    first = audit(*models, tmp_path / "a", **more, preset="quick")
    assert first.file.plan_digest == plan.digest
    assert [a.status for a in first.file.attempts] == [first.verdict.status]
    with pytest.raises(InputError, match="another unlearned model"):
        audit(case.root / "original", case.root / "noise", case.split, tmp_path / "a", **more, preset="quick")
    again = audit(*models, tmp_path / "a", **more, preset="quick")
    one, two = (without_times(json.loads(f.file.model_dump_json())) for f in (first, again))
    assert verify_folder(tmp_path / "a").problems == []
    assert one == two
    (tmp_path / "a" / PLAN).unlink()  # a second look at the same request, in the same place and beside it
    other = audit(case.root / "original", case.root / "noise", case.split, tmp_path / "a", **more, preset="quick")
    beside = audit(*models, tmp_path / "c", **more, preset="quick", policy=first.file.policy)
    assert [a.status for a in other.file.attempts] == [first.verdict.status, "failed"]
    assert len(beside.file.attempts) == 2  # the same model by the same plan is one attempt, wherever it is made


def plan_data(**more: Any) -> dict[str, Any]:
    time = {"seconds": 1.0, "low": 0.3, "high": 3.0}
    data = {
        "scope": "patient:P",
        "preset": "quick",
        "policy": "own",
        "policy_digest": "0",
        "reference": ["controls"],
        "split_digest": "1",
        "models": {"original": "a", "unlearned": "b"},
        "sets": {},
        "checks": {},
        "seeds": {"attacks": [0], "bootstrap": 0, "draws": 100},
        "level": 0.95,
        "time": time,
    }
    return data | more


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scope": "patient:Q"}, 'scope "patient:P" there, "patient:Q" here'),
        ({"models": {"original": "a", "unlearned": "c"}}, "another unlearned model"),
        ({"policy_digest": "9"}, "other rules of the policy"),
        ({"split_digest": "9"}, "other records"),
        ({"seeds": {"attacks": [1], "bootstrap": 0, "draws": 100}}, "other seeds"),
        ({"checks": {"leakage": {"keys": ["leakage.self"]}}}, "other checks"),
    ],
)
def test_what_differs_between_plans_is_named(change: dict[str, Any], said: str) -> None:
    earlier, now = AuditPlan.model_validate(plan_data()), AuditPlan.model_validate(plan_data(**change))
    assert difference(earlier, now) == said
    assert earlier.content != now.content


def test_the_estimate_of_time_decides_nothing() -> None:
    slow = plan_data(time={"seconds": 9.0, "low": 3.0, "high": 27.0}, data="other.jsonl")
    assert AuditPlan.model_validate(slow).content == AuditPlan.model_validate(plan_data()).content


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps(plan_data(digest="0" * 64))])
def test_a_broken_plan_is_refused_in_a_line(tmp_path: Path, content: str) -> None:
    (tmp_path / PLAN).write_text(content)
    with pytest.raises(InputError, match=r"plan\.json") as caught:
        read_plan(tmp_path / PLAN)
    assert "\n" not in str(caught.value)

"""A run that somebody cancelled, or whose request left its plan, gets no certificate and never counts as finished."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from expunge.desk import run_steps
from expunge.desk.certificates import certificate_row, register_all
from expunge.desk.facts import latest_run
from expunge.desk.plans import audit_policy
from expunge.desk.roles import SYSTEM, Refusal
from expunge.desk.run_steps import audit, certify, unlearn
from expunge.desk.runs import cancel_run
from helpers.desk import OPERATOR, REVIEWER, DeskCase, make_desk, unsigned_results
from helpers.desk_stand_in import shop_of, to_audit


@pytest.fixture
def audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[DeskCase, str, str]:
    """A desk, a request whose audit has passed, and its plan."""
    case = make_desk(tmp_path / "desk")
    monkeypatch.setenv("FAKE_SECONDS", "0")
    monkeypatch.setenv("FAKE_POLICY", audit_policy(case.desk, "unlearn").digest)
    return case, *to_audit(case)


def cancel_request(case: DeskCase, request_id: str, digest: str) -> None:
    case.event(REVIEWER, request_id, "cancel", reason="withdrawn")


def stop_run(case: DeskCase, request_id: str, digest: str) -> None:
    with case.desk.session(OPERATOR) as s:
        cancel_run(s, digest, "the machine is needed")


@pytest.mark.parametrize(("stop", "state"), [(cancel_request, "cancelled"), (stop_run, "error")])
@pytest.mark.parametrize("late", [False, True])
def test_a_cancelled_run_gets_no_certificate(
    audited: tuple[DeskCase, str, str],
    monkeypatch: pytest.MonkeyPatch,
    stop: Callable[[DeskCase, str, str], None],
    state: str,
    late: bool,
) -> None:
    case, request_id, digest = audited
    make = run_steps.make_certificates

    def make_and_stop(*words: Any) -> Any:
        results = make(*words)
        stop(case, request_id, digest)
        return results

    if late:
        monkeypatch.setattr(run_steps, "make_certificates", make_and_stop)
    else:
        stop(case, request_id, digest)
    assert certify(shop_of(case), digest, 1) == {"stopped": True}
    with case.desk.reading(SYSTEM) as s:
        run = latest_run(s, digest)
        assert run is not None
        assert (run["state"], run["certificate_digest"], run["certificate_verified_at"]) == ("cancelled", None, None)
        assert certificate_row(s, request_id) is None
    assert case.state(request_id) == state


def test_a_cancelled_run_registers_no_certificate(audited: tuple[DeskCase, str, str]) -> None:
    case, request_id, digest = audited
    stop_run(case, request_id, digest)
    with case.desk.session(SYSTEM) as s, pytest.raises(Refusal, match="was cancelled"):
        register_all(s, digest, 1, unsigned_results([request_id]))


def test_a_run_that_was_stopped_goes_on_to_its_certificate(audited: tuple[DeskCase, str, str]) -> None:
    case, request_id, digest = audited
    stop_run(case, request_id, digest)
    certify(shop_of(case), digest, 1)
    case.event(OPERATOR, request_id, "recover")
    for step in (unlearn, audit, certify):
        answer = step(shop_of(case), digest, 2)
    assert answer["verified"]
    assert case.state(request_id) == "audit_passed"

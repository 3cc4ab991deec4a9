"""The demo desk: every state, through the real functions; what it says of itself; what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("cryptography")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("securesystemslib")
pytest.importorskip("fastapi")
pytest.importorskip("argon2")
pytest.importorskip("pyotp")

from expunge.audit.policy import Policy
from expunge.cli.desk_demo import current_code, demo, give_accounts
from expunge.desk import demo_world
from expunge.desk.demo_requests import CONTROLLED, REQUESTS, assign
from expunge.desk.demo_world import POLICY_TEXT, STRANGERS, DemoPatient
from expunge.desk.desk import Desk
from expunge.desk.event_log import log_problems
from expunge.desk.lifecycle import STATES
from expunge.desk.roles import SYSTEM
from expunge.desk.run_input import prepare_input
from expunge.errors import InputError
from expunge.web.accounts import sign_in
from helpers.desk import make_desk, to_planned, to_waiting


def test_every_state_but_one_has_a_request() -> None:
    assert set(STATES) - {one.state for one in REQUESTS} == {"received"}, "it is left within the same action"
    assert len({one.state for one in REQUESTS}) == len(REQUESTS)


def test_each_request_is_of_another_person() -> None:
    wards = {
        name: [DemoPatient(f"{name}-{k}", f"{name} {k}", name) for k in range(demo_world.PER_WARD)]
        for name in demo_world.LINEAGES
    }
    wards[""] = [DemoPatient(*one, None) for one in STRANGERS]
    people = assign(wards)
    assert set(people) == {one.state for one in REQUESTS}
    assert people["duplicate"] == people["waiting"]
    assert len({one.number for one in people.values()}) == len(REQUESTS) - 1
    runs = ("closed", "promoted", "promotion_approved", "audit_passed", "audit_failed", "auditing", "executing")
    for state in runs:  # whoever is audited has controls
        lineage = people[state].lineage
        assert lineage
        assert wards[lineage].index(people[state]) < CONTROLLED[lineage]


def test_the_policy_of_the_demo_reads(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY_TEXT)
    policy = Policy.load(str(tmp_path / "policy.yaml"))
    assert policy.required == ("leakage.self", "retention.text")


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for options in ({}, {"fresh": True}, {"code": True}):
        with pytest.raises(InputError):
            demo(tmp_path, **options)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_demo_of_something_else_is_left_alone(tmp_path: Path) -> None:
    for name in ("demo.json", "demo-policy.yaml"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match="something else than a demo"):
        demo(tmp_path, fresh=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["demo-policy.yaml", "demo.json"]


def test_a_demo_that_was_broken_off_is_made_anew_with_fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("expunge.desk.demo.DemoBuilder.build", stop)
    folder = tmp_path / "demo"
    with pytest.raises(KeyboardInterrupt):
        demo(folder)
    with pytest.raises(InputError, match="--fresh"):
        demo(folder)
    with pytest.raises(InputError, match="holds no whole demo"):
        demo(folder, code=True)
    with pytest.raises(KeyboardInterrupt):
        demo(folder, fresh=True)


def test_everybody_signs_in_with_the_printed_words(tmp_path: Path) -> None:
    case = make_desk(tmp_path / "desk")
    from expunge.desk.people import set_person
    from helpers.desk import ADMIN

    with case.desk.session(ADMIN) as s:
        for name, roles in demo_world.PEOPLE.items():
            set_person(s, name, roles)
    case.desk.clock = lambda: datetime.now(UTC)
    told = give_accounts(case.desk)
    code = current_code(case.desk)
    assert sign_in(case.desk, "vera", told["password"], code).roles == ("viewer",)


def test_runs_of_the_same_minute_have_files_of_their_own(tmp_path: Path) -> None:
    """Ids of one minute begin alike; a chain of runs tells requests apart by the name of the file of their records."""
    case = make_desk(tmp_path / "desk")
    scopes = []
    for identifiers in ({"record_number": "PAT-100"}, {"record_number": "PAT-101"}):
        request_id = to_waiting(case, identifiers)
        digest = to_planned(case, request_id)
        with case.desk.reading(SYSTEM) as s:
            from expunge.desk.plans import content_of, plan_row

            content = content_of(plan_row(s, digest))
            (case.desk.runs / digest[:16]).mkdir(parents=True)
            scopes.append(prepare_input(s, content, case.desk.runs / digest[:16]).scope)
    assert scopes[0] != scopes[1]


@pytest.mark.matrix
@pytest.mark.trains
@pytest.mark.process
@pytest.mark.slow
def test_the_whole_demo(tmp_path: Path) -> None:
    result: Any = demo(tmp_path / "desk")
    assert result.data["states"] == {one.state: 1 for one in REQUESTS}
    desk = Desk.open(tmp_path / "desk")
    with desk.reading(SYSTEM) as s:
        assert log_problems(s.conn) == []
    again: Any = demo(tmp_path / "desk")  # finds it, and tells no password
    assert "password" not in again.data

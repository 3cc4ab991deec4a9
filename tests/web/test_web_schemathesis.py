"""What the description allows, and what it does not, sent to every operation: answers fit, and none is 5xx."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("argon2")
pytest.importorskip("pyotp")
pytest.importorskip("sqlalchemy")
pytest.importorskip("cryptography")
pytest.importorskip("schemathesis")

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi import checks

from expunge.desk.event_log import log_problems
from expunge.desk.facts import request_row
from expunge.desk.people import set_person
from expunge.desk.roles import PEOPLE, SYSTEM
from helpers.desk import ADMIN, make_desk, new_request, to_audit_passed, to_planned, to_review, to_waiting, verify
from helpers.web import BASE, ROLES, ApiClient

CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


@dataclass
class Target:
    """A desk with requests in several states, and its description."""

    api: ApiClient
    schema: Any
    references: list[str]
    plans: list[str]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    case = make_desk(tmp_path_factory.mktemp("schema") / "desk")
    with case.desk.session(ADMIN) as s:
        set_person(s, "viktor", ["viewer"])
    ids = [new_request(case), new_request(case), to_review(case), to_waiting(case), to_waiting(case)]
    verify(case, ids[1])
    plans = [to_planned(case, ids[3]), to_planned(case, ids[4])]
    to_audit_passed(case, ids[4])
    with case.desk.reading(SYSTEM) as s:
        references = [request_row(s, r)["reference"] for r in ids]
    api = ApiClient(case)
    schema = schemathesis.openapi.from_dict(api.client.get("/api/openapi.json").json())
    schema.app = api.client.app
    yield Target(api, schema, references, plans)
    with case.desk.reading(SYSTEM) as s:
        assert log_problems(s.conn) == []
    case.desk.close()


@pytest.mark.parametrize(
    "examples", [pytest.param(1, marks=pytest.mark.slow), pytest.param(30, marks=pytest.mark.matrix)]
)
def test_every_operation_answers_as_it_is_described(target: Target, examples: int) -> None:
    operations = [each.ok() for each in target.schema.get_all_operations()]
    assert len(operations) > 30
    tokens = [target.api.token(person, role) for person, role in ROLES.items()]
    assert len(tokens) == len(PEOPLE)
    statuses: Counter[int] = Counter()
    for operation in operations:
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            _attack(target, operation, mode, tokens, statuses, examples)
    assert {200, 400, 403, 404} <= statuses.keys(), statuses
    assert max(statuses) < 500


def _attack(
    target: Target, operation: Any, mode: Any, tokens: list[str], statuses: Counter[int], examples: int
) -> None:
    def run(case: Any, token: str, data: st.DataObject) -> None:
        real = {"reference": target.references, "plan": target.plans}
        for name, values in real.items():
            if name in (case.path_parameters or {}) and data.draw(st.booleans()):
                case.path_parameters[name] = data.draw(st.sampled_from(values))
        answer = case.call(base_url=BASE, headers={"Authorization": f"Bearer {token}"})
        statuses[answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS)

    bounds = settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    given_case = given(case=operation.as_strategy(generation_mode=mode), token=st.sampled_from(tokens), data=st.data())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library, about values that it cannot make
        bounds(given_case(run))()

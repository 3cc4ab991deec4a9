"""Every role on every route, taken from the route table: what the desk refuses is refused, and nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("argon2")
pytest.importorskip("pyotp")
pytest.importorskip("sqlalchemy")
pytest.importorskip("cryptography")

from expunge.desk.decisions import decide_asset
from expunge.desk.event_log import read_head
from expunge.desk.facts import request_row
from expunge.desk.leases import acquire
from expunge.desk.letters import queue_letter
from expunge.desk.matching import matches, search
from expunge.desk.people import set_person
from expunge.desk.plans import approve_plan
from expunge.desk.roles import PEOPLE, SYSTEM
from expunge.desk.runs import start_run, work_name
from expunge.web.app import make_app
from expunge.web.settings import WebSettings
from helpers.desk import (
    ADMIN,
    ANNA,
    APPROVER,
    CLERK,
    DECISIONS,
    REVIEWER,
    new_request,
    to_audit_passed,
    to_planned,
    to_review,
    to_waiting,
    verify,
)
from helpers.web import ROLES, ApiClient, WebVisit, routes, web_desk


@dataclass
class Stage:
    """A desk with a request in each state that a route needs, and the calls that fit."""

    api: ApiClient
    calls: dict[tuple[str, str], list[tuple[str, Any]]]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    case = web_desk(tmp_path / "desk")
    with case.desk.session(ADMIN) as s:
        set_person(s, "viktor", ["viewer"])
    received = new_request(case)
    scoping, review = new_request(case), to_review(case)
    verify(case, scoping)
    case.event(CLERK, scoping, "begin_scoping")
    search(case.desk, CLERK, scoping)
    with case.desk.session(REVIEWER) as s:
        for asset, (value, ground) in DECISIONS.items():
            decide_asset(s, review, asset, value, ground=ground)
    planned, running, failed, passed = (to_waiting(case) for _ in range(4))
    plans = {r: to_planned(case, r) for r in (planned, running, failed, passed)}
    to_audit_passed(case, passed)
    to_audit_passed(case, failed, status="failed")
    with case.desk.session(APPROVER) as s:
        approve_plan(s, plans[running])
    with case.desk.session(SYSTEM) as s:
        start_run(s, plans[running], 1)
        acquire(s, work_name(plans[running]), "w1")
    ended = new_request(case)
    case.event(REVIEWER, ended, "cancel", reason="why")
    with case.desk.session(SYSTEM) as s:
        letter = queue_letter(s, ended)
        references = {r: request_row(s, r)["reference"] for r in (received, scoping, review)}
        match = matches(s, scoping)[0]["id"]
    at = {
        name: f"/requests/{references[r]}"
        for name, r in (("received", received), ("scoping", scoping), ("review", review))
    }
    why = {"reason": "why"}
    posts: dict[str, list[tuple[str, Any]]] = {
        "/requests": [("/requests", {"identifiers": ANNA})],
        "/requests/{reference}/events": [
            (f"{at['scoping']}/events", {"event": "freeze_scope"}),
            (f"{at['received']}/events", {"event": "hold", **why}),
            (f"{at['review']}/events", {"event": "cancel", **why}),
        ],
        "/requests/{reference}/identifiers": [(f"{at['received']}/identifiers", {"identifiers": ANNA})],
        "/requests/{reference}/identity": [(f"{at['received']}/identity", {"success": False, "method": "phone"})],
        "/requests/{reference}/extension": [(f"{at['received']}/extension", why)],
        "/requests/{reference}/acknowledgement": [(f"{at['received']}/acknowledgement", {})],
        "/requests/{reference}/search": [(f"{at['scoping']}/search", {})],
        "/requests/{reference}/matches": [(f"{at['scoping']}/matches", {"matches": [match], "confirm": True})],
        "/requests/{reference}/decisions": [
            (f"{at['review']}/decisions", {"asset": "nightly backup", "value": "erase"})
        ],
        "/requests/{reference}/decision": [(f"{at['review']}/decision", why)],
        "/plans/{plan}/approval": [(f"/plans/{plans[planned]}/approval", {"hash": plans[planned]})],
        "/plans/{plan}/rejection": [(f"/plans/{plans[planned]}/rejection", why)],
        "/plans/{plan}/promotion": [(f"/plans/{plans[passed]}/promotion", {})],
        "/plans/{plan}/retry": [(f"/plans/{plans[failed]}/retry", {"kind": "unlearn"})],
        "/runs/{plan}/cancellation": [(f"/runs/{plans[running]}/cancellation", why)],
        "/requests/{reference}/certificate/signature": [(f"{at['review']}/certificate/signature", {})],
        "/letters/{letter}/acceptance": [(f"/letters/{letter}/acceptance", {})],
    }
    calls = {("POST", path): rows for path, rows in posts.items()}
    names = {"reference": references[review], "plan": plans[passed], "letter": letter}
    api = ApiClient(case)
    for method, path, _ in routes(api.client.app):
        if method == "GET" and path.startswith("/api/v1"):
            calls[method, path.removeprefix("/api/v1")] = [(path.removeprefix("/api/v1").format(**names), None)]
    yield Stage(api, calls)
    case.desk.close()


def head(api: ApiClient) -> int:
    with api.case.desk.reading(SYSTEM) as s:
        return read_head(s.conn).seq


def api_routes(api: ApiClient) -> list[tuple[str, str]]:
    """All routes of the API that take a token; webhooks have tests of their own."""
    rows = [(m, p.removeprefix("/api/v1")) for m, p, _ in routes(api.client.app) if p.startswith("/api/v1")]
    return [(m, p) for m, p in rows if not p.startswith("/webhooks")]


@pytest.mark.slow
def test_every_role_on_every_route_of_the_api(stage: Stage) -> None:
    api = stage.api
    described = api.client.get("/api/openapi.json").json()["paths"]
    table = api_routes(api)
    assert len(table) > 30
    assert set(table) == set(stage.calls), "every route has a call that fits"
    tokens = {person: api.token(person, role) for person, role in ROLES.items()}
    assert len(tokens) == len(PEOPLE)
    before = head(api)
    for method, path in table:
        may = set(described[f"/api/v1{path}"][method.lower()]["x-roles"])
        for person, role in ROLES.items():
            for real, body in stage.calls[method, path] if role not in may else ():
                answer = api.call(method, real, person, role, json=body)
                assert answer.status_code == 403, (method, path, role, answer.text)
                assert "may not do this" in answer.json()["error"]["what"]
    assert head(api) == before, "a refusal wrote something"
    for method, path in table:
        for person, role in ROLES.items():
            if role in described[f"/api/v1{path}"][method.lower()]["x-roles"]:
                answers = [api.call(method, real, person, role, json=body) for real, body in stage.calls[method, path]]
                statuses = [a.status_code for a in answers]
                assert max(statuses) < 500, (method, path, role)
                roles = [a for a in answers if a.status_code == 403]
                assert len(roles) < len(answers), (method, path, role, [a.text for a in roles])


def test_nobody_without_a_token_reads_or_writes(stage: Stage) -> None:
    before = head(stage.api)
    for (method, _), rows in stage.calls.items():
        for real, body in rows:
            assert stage.api.client.request(method, f"/api/v1{real}", json=body).status_code in (401, 429), real
    assert head(stage.api) == before


OPEN_PAGES = {"/sign-in", "/sign-out", "/set-up", "/set-up/code", "/gate", "/sign-in/oidc"}
OPEN_PAGES |= {"/sign-in/oidc/return", "/sign-in/oidc/left"}


def filled(path: str) -> str:
    """A path with a value for each of its parameters."""
    names = {"{match_id}": "x" * 36, "{plan}": "0" * 64, "{digest}": "0" * 64}
    return "/".join(names.get(p.split(":")[0], "E-1111-1111-1") if p.startswith("{") else p for p in path.split("/"))


@pytest.mark.slow
def test_every_role_on_every_page(stage: Stage) -> None:
    """No page fails for anybody, and none but those of the sign-in answers somebody who has not signed in."""
    case = stage.api.case
    app = make_app(case.desk, WebSettings(requests_per_minute=10**6, sign_ins_per_minute=10**6))
    pages = [(m, p) for m, p, _ in routes(app) if not p.startswith("/api")]
    stranger = WebVisit(case, app)
    token = stranger.form_token()
    for method, path in pages:
        if path not in OPEN_PAGES:
            answer = stranger.request(method, filled(path), data={"csrf": token})
            assert (answer.status_code, answer.headers.get("location")) == (303, "/sign-in"), (method, path)
    for person in ("carla", "rita", "olga", "anna", "aude", "adam"):
        visit = WebVisit(case, app).sign_in(person)
        token = visit.form_token("/set-up")
        for method, path in pages:
            if path not in OPEN_PAGES or method == "GET":
                answer = visit.request(method, filled(path), data={"csrf": token} if method == "POST" else None)
                assert answer.status_code in (200, 303, 400, 403, 404, 409), (person, method, path, answer.text)

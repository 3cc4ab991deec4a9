"""A web desk in the same process: people who sign in, programs with tokens."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyotp
from starlette.testclient import TestClient

from expunge.web.accounts import set_account
from expunge.web.app import make_app
from expunge.web.settings import WebSettings
from expunge.web.tokens import make_token
from helpers.desk import ADMIN, PEOPLE, DeskCase, make_desk

BASE = "http://127.0.0.1:8765"
PASSWORD = "four words make it"
SECRETS = {name: pyotp.random_base32() for name in PEOPLE}
FIELD = re.compile(r'name="csrf" value="([0-9a-f]{64})"')

ROLES = {
    "viktor": "viewer",
    "carla": "clerk",
    "rita": "reviewer",
    "olga": "operator",
    "anna": "approver",
    "aude": "auditor",
    "adam": "admin",
}


def web_desk(folder: Path, **settings: Any) -> DeskCase:
    """A desk whose people have accounts."""
    case = make_desk(folder, **settings)
    with case.desk.session(ADMIN) as s:
        for name in PEOPLE:
            set_account(s, name, PASSWORD, SECRETS[name])
    return case


def routes(app: Any) -> list[tuple[str, str, Any]]:
    """(method, path, endpoint) of everything that an application answers."""
    import fastapi.routing as routing

    walk = getattr(routing, "iter_route_contexts", None)
    each = walk(app.router.routes) if walk else app.routes
    return sorted(
        ((m, r.path, r.endpoint) for r in each for m in getattr(r, "methods", None) or () if m != "HEAD"),
        key=lambda row: row[:2],
    )


class WebVisit(TestClient):
    """A browser without script at a web desk. One application can have several."""

    def __init__(self, case: DeskCase, app: Any = None, settings: WebSettings | None = None, **options: Any) -> None:
        self.case = case
        app = app or make_app(case.desk, settings)
        super().__init__(app, base_url=BASE, follow_redirects=False, raise_server_exceptions=True, **options)

    def form_token(self, path: str = "/sign-in") -> str:
        match = FIELD.search(self.get(path).text)
        assert match, f"{path} has no form"
        return match[1]

    def fill(self, path: str, page: str = "/sign-in", **fields: Any) -> Any:
        """Send a form of a page."""
        return self.post(path, data={"csrf": self.form_token(page), **fields})

    def code(self, person: str) -> str:
        return pyotp.TOTP(SECRETS[person]).at(self.case.desk.clock())

    def sign_in(self, person: str, role: str | None = None) -> WebVisit:
        self.case.clock.move(seconds=30)  # a code is taken once
        answer = self.fill("/sign-in", person=person, password=PASSWORD, code=self.code(person))
        assert answer.status_code == 303, answer.text
        return self


class ApiClient:
    """Programs at the API, one token for each person and role."""

    def __init__(self, case: DeskCase, app: Any = None) -> None:
        self.case = case
        self.client = TestClient(app or make_app(case.desk, WebSettings(requests_per_minute=10**6)), base_url=BASE)
        self.tokens: dict[tuple[str, str], str] = {}

    def token(self, person: str, role: str) -> str:
        if (person, role) not in self.tokens:
            with self.case.desk.session(ADMIN) as s:
                self.tokens[person, role] = make_token(s, person, role, days=400)[1]
        return self.tokens[person, role]

    def call(self, method: str, path: str, person: str, role: str | None = None, **options: Any) -> Any:
        token = self.token(person, role or PEOPLE[person][0])
        headers = {"Authorization": f"Bearer {token}"} | options.pop("headers", {})
        if "content" in options:
            headers = {"content-type": "application/json"} | headers
        return self.client.request(method, f"/api/v1{path}", headers=headers, **options)

    def get(self, path: str, person: str = "carla", **options: Any) -> Any:
        return self.call("GET", path, person, **options)

    def post(self, path: str, person: str, body: Any = None, **options: Any) -> Any:
        return self.call("POST", path, person, json={} if body is None else body, **options)

"""What a sign-in leaves behind: no token, no code, no claim; and the way through the token of the desk."""

from __future__ import annotations

import html
import json

import pytest

pytest.importorskip("authlib")
pytest.importorskip("fastapi")

from pydantic import SecretStr

from expunge.web.app import make_app
from expunge.web.settings import WebSettings
from helpers.desk import ADMIN
from helpers.identity_provider import SECRET
from helpers.web import WebVisit, routes
from helpers.web_oidc import LINK, OidcCase, at_provider, is_in, leave, way

CLAIMS = {"email": "quorbelius@hospital.example", "name": "Zyxwena Quorbelius", "acr": "krzmblik"}
CANARIES = ("quorbelius", "Zyxwena", "Quorbelius", "krzmblik", "vrpltz", "access-canary", SECRET, "sub-carla")


def test_nothing_of_tokens_and_claims_is_written(stage: OidcCase, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    stage.idp.claims = CLAIMS
    tokens: list[str] = []

    def sign(claims: dict[str, object]) -> str:
        tokens.append(stage.idp.signed(claims))
        return tokens[-1]

    stage.idp.sign = sign
    sent, secrets = "", list(CANARIES)
    for subject in ("sub-carla", "sub-vrpltz"):
        stage.idp.subject = subject
        visit = stage.visit(person_claim="email")
        begun = visit.fill("/sign-in/oidc")
        back = at_provider(html.unescape(LINK.search(begun.text)[1]))  # type: ignore[index]
        asked = next(iter(stage.idp.codes.items()))
        secrets += [asked[0], asked[1]["nonce"]]
        page = visit.get(back)
        sent += page.text + str(page.headers) + visit.get("/").text + visit.get("/sign-in").text
        secrets += [stage.idp.seen[-1]["code_verifier"], asked[1]["state"]]
    for wrong in ("&error=vrpltz&error_description=Zyxwena", "&iss=vrpltz"):
        visit = stage.visit()
        page = visit.get(at_provider(leave(visit)) + wrong)
        sent += page.text + str(page.headers)
    stage.idp.override["/token"] = lambda: (400, {}, json.dumps({"error": "Zyxwena", "id_token": "vrpltz"}).encode())
    sent += way(stage.visit()).text
    with stage.case.desk.session(ADMIN) as s:
        s.log("test.end", {})
    logs = "\n".join(r.getMessage() for r in caplog.records if not r.name.startswith(("http", "asyncio")))
    assert "identity provider: unknown" in logs
    stored = b"".join(file.read_bytes() for file in stage.case.folder.rglob("*") if file.is_file())
    assert len(tokens) == 2
    for canary in secrets + tokens + [t.split(".")[1] for t in tokens]:
        assert canary not in sent, canary
        assert canary not in logs, canary
        assert canary.encode() not in stored, canary


def test_an_error_on_the_way_is_logged_by_its_kind(stage: OidcCase, caplog: pytest.LogCaptureFixture) -> None:
    stage.idp.override["/jwks"] = lambda: (302, {"location": "http://127.0.0.1:9/Zyxwena"}, b"")
    stage.visit().fill("/sign-in/oidc")
    assert "identity provider: redirect" in caplog.text


def test_the_way_leads_through_the_token_of_the_desk(stage: OidcCase) -> None:
    """The browser holds the strict cookies back when it comes from the provider; the lax one is enough to return."""
    settings = WebSettings(oidc=stage.settings, token=SecretStr("t" * 40), sign_ins_per_minute=1000)
    visit = WebVisit(stage.case, make_app(stage.case.desk, settings))
    assert visit.post("/sign-in/oidc").headers["location"] == "/gate", "nobody begins without the token"
    assert visit.get("/sign-in/oidc/return?code=x&state=y").headers["location"] == "/gate"
    visit.fill("/gate", page="/gate", token="t" * 40)
    back = at_provider(leave(visit))
    strict = dict(visit.cookies.items())
    only_lax = {name: value for name, value in strict.items() if name.endswith("-oidc")}
    assert len(only_lax) == 1
    visit.cookies.clear()
    visit.cookies.update(only_lax)
    page = visit.get(back)
    assert page.status_code == 200
    assert visit.get("/").headers["location"] == "/gate", "the cookie of the gate is not replaced"
    visit.cookies.update({name: value for name, value in strict.items() if name.endswith("-gate")})
    assert is_in(visit)


def test_a_form_of_another_site_begins_nothing(stage: OidcCase) -> None:
    visit = stage.visit()
    token = visit.form_token()
    assert visit.post("/sign-in/oidc").status_code == 403
    assert visit.post("/sign-in/oidc", data={"csrf": "0" * 64}).status_code == 403
    for headers in ({"origin": "https://other.example"}, {"sec-fetch-site": "cross-site"}):
        assert visit.post("/sign-in/oidc", data={"csrf": token}, headers=headers).status_code == 403
    assert visit.get("/sign-in/oidc").status_code == 405
    assert stage.idp.fetched == []


def test_behind_a_proxy_the_provider_sends_people_to_its_origin(stage: OidcCase) -> None:
    settings = WebSettings(oidc=stage.settings, proxy="https://desk.example")
    visit = WebVisit(stage.case, make_app(stage.case.desk, settings))
    visit.base_url = "https://desk.example"
    assert "redirect_uri=https%3A%2F%2Fdesk.example%2Fsign-in%2Foidc%2Freturn" in leave(visit)
    (cookie,) = [c for c in visit.cookies if c.endswith("-oidc")]
    assert cookie == "__Host-expunge-oidc"


def test_every_route_of_it_is_a_page_of_the_sign_in(stage: OidcCase) -> None:
    paths = {path for _, path, _ in routes(stage.visit().app) if "oidc" in path}
    assert paths == {"/sign-in/oidc", "/sign-in/oidc/return", "/sign-in/oidc/left"}

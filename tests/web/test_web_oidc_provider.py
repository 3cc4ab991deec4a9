"""An identity provider that changes its keys, is down, or answers something else than it should."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("authlib")
pytest.importorskip("fastapi")

from joserfc import jwt

from expunge.web import oidc_fetch, oidc_provider
from expunge.web.settings import WebSettings
from helpers.identity_provider import Answer, as_json, own_certificate, part, rsa_key
from helpers.web import WebVisit
from helpers.web_oidc import NO_ANSWER, NOT_HERE, OidcCase, at_provider, is_in, leave, oidc_case, way


def test_a_new_key_is_fetched_and_the_old_one_no_longer_counts(stage: OidcCase) -> None:
    visit = stage.visit()
    way(visit)
    assert is_in(visit)
    stage.idp.key = rsa_key("two")
    again = WebVisit(stage.case, visit.app)
    way(again)
    assert is_in(again)
    assert stage.idp.fetched.count("/jwks") == 2
    stage.idp.sign = lambda claims: jwt.encode({"alg": "RS256", "kid": "one"}, claims, rsa_key())
    third = WebVisit(stage.case, visit.app)
    assert way(third).status_code == 403
    assert not is_in(third)


def huge() -> Answer:
    return 200, {}, b'{"x": "' + b"x" * 300_000 + b'"}'


WRONG_ANSWERS: dict[str, Callable[[], Answer]] = {
    "huge": huge,
    "elsewhere": lambda: (302, {"location": "http://127.0.0.1:9/"}, b""),
    "permanently elsewhere": lambda: (308, {"location": "http://127.0.0.1:9/"}, b""),
    "broken": lambda: (500, {}, b"<html>Zyxwena</html>"),
    "not there": lambda: as_json({"error": "no"}, 404),
    "no json": lambda: (200, {}, b"hello"),
    "a list": lambda: as_json([]),
    "empty": lambda: (200, {}, b""),
    "deep": lambda: (200, {}, b'{"a":' + b"[" * 100_000),
    "nothing": lambda: as_json({}),
    "too short": lambda: (200, {"content-length": "50"}, b"{}"),
    "keys of other kinds": lambda: as_json({"keys": [{"kty": "oct", "k": "AAAA"}, 7, {"kty": "RSA"}, {"kty": "new"}]}),
    "keys for something else": lambda: as_json({"keys": [{**rsa_key().as_dict(private=False), "use": "enc"}]}),
    "short keys": lambda: as_json({"keys": [{"kty": "RSA", "n": part(b"\xff" * 128), "e": "AQAB"}]}),
}


@pytest.mark.parametrize("name", WRONG_ANSWERS)
@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/jwks", "/token"])
def test_a_wrong_answer_of_the_provider_is_one_line(stage: OidcCase, path: str, name: str) -> None:
    visit = stage.visit()
    stage.idp.override[path] = WRONG_ANSWERS[name]
    answer = visit.fill("/sign-in/oidc") if path != "/token" else way(visit)
    assert answer.status_code == 403
    is_token = path == "/token" and (name == "nothing" or "keys" in name)
    assert (NOT_HERE if is_token else NO_ANSWER) in answer.text
    assert "Zyxwena" not in answer.text
    assert not is_in(visit)


def test_a_provider_that_is_down_is_one_line_and_comes_back(stage: OidcCase) -> None:
    now = [100.0]
    visit = stage.visit()
    visit.app.state.web.oidc.provider._now = lambda: now[0]
    stage.idp.override["/jwks"] = lambda: (503, {}, b"")
    assert NO_ANSWER in visit.fill("/sign-in/oidc").text
    del stage.idp.override["/jwks"]
    fetched = len(stage.idp.fetched)
    assert NO_ANSWER in visit.fill("/sign-in/oidc").text
    assert len(stage.idp.fetched) == fetched, "it is not asked again at once"
    now[0] += 6
    way(visit)
    assert is_in(visit)
    stage.idp.stop()
    now[0] += 3600
    assert NO_ANSWER in WebVisit(stage.case, visit.app).fill("/sign-in/oidc").text
    assert is_in(visit), "who is in stays in"


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://other.example"},
        {"token_endpoint": "http://other.example/token"},
        {"token_endpoint": "ftp://127.0.0.1/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": 'https://x.example/"><script>'},
        {"authorization_endpoint": "https://x.example/#part"},
        {"authorization_endpoint": ["https://x.example/"]},
        {"jwks_uri": "https://a..example/"},
        {"authorization_endpoint": "https://user@x.example/"},
    ],
)
def test_a_discovery_document_with_other_addresses_is_refused(stage: OidcCase, change: dict[str, Any]) -> None:
    stage.idp.metadata |= change
    assert NO_ANSWER in stage.visit().fill("/sign-in/oidc").text


def test_a_provider_that_hangs_holds_up_few(stage: OidcCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc_provider, "PATIENCE", 0.01)
    visit = stage.visit()
    back = at_provider(leave(visit))
    provider = visit.app.state.web.oidc.provider
    with ExitStack() as held:
        for _ in range(oidc_provider.MANY):
            held.enter_context(provider.slot())
        assert NO_ANSWER in visit.get(back).text
        assert NO_ANSWER in WebVisit(stage.case, visit.app).fill("/sign-in/oidc").text
    assert visit.get(back).status_code == 200, "the way is still open"
    assert is_in(visit)


def test_a_slow_answer_has_an_end(stage: OidcCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc_fetch, "TIMEOUT", 0.2)
    release = threading.Event()
    stage.idp.override["/jwks"] = lambda: (release.wait(60), as_json({}))[1]
    assert NO_ANSWER in stage.visit().fill("/sign-in/oidc").text  # while the provider still waits
    release.set()
    monkeypatch.setattr(oidc_fetch, "DEADLINE", -1.0)  # drops of it, each in time
    del stage.idp.override["/jwks"]
    assert NO_ANSWER in stage.visit().fill("/sign-in/oidc").text


def test_https_needs_somebody_who_vouches_for_the_provider(tmp_path: Path) -> None:
    file, tls = own_certificate(tmp_path)
    with oidc_case(tmp_path / "desk", tls) as stage:
        assert stage.idp.issuer.startswith("https://127.0.0.1:")
        assert NO_ANSWER in stage.visit().fill("/sign-in/oidc").text, "nobody of the system does"
        visit = stage.visit(ca_file=file)
        way(visit)
        assert is_in(visit)
        stage.idp.issuer = stage.idp.issuer.replace("127.0.0.1", "localhost")
        elsewhere = stage.visit(ca_file=file, issuer=stage.idp.issuer)
        assert NO_ANSWER in elsewhere.fill("/sign-in/oidc").text, "the certificate names another host"


def test_documents_are_fetched_once_for_many(stage: OidcCase) -> None:
    visit = stage.visit()
    for _ in range(3):
        way(WebVisit(stage.case, visit.app))
    assert stage.idp.fetched.count("/jwks") == 1
    assert stage.idp.fetched.count("/.well-known/openid-configuration") == 1


def test_sign_ins_are_limited_as_with_a_password(stage: OidcCase) -> None:
    visit = WebVisit(stage.case, settings=WebSettings(oidc=stage.settings, sign_ins_per_minute=3))
    statuses = [visit.get("/sign-in/oidc/return?code=x&state=y").status_code for _ in range(5)]
    assert statuses == [403, 403, 403, 429, 429]

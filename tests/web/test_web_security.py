"""Who may visit at all: hosts, origins, forms, gates, sizes, rates; and what every answer carries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("argon2")
pytest.importorskip("pyotp")
pytest.importorskip("sqlalchemy")
pytest.importorskip("cryptography")

from starlette.requests import Request
from starlette.testclient import TestClient

from expunge.desk.event_log import read_head
from expunge.desk.roles import SYSTEM
from expunge.errors import InputError
from expunge.web.app import make_app
from expunge.web.context import context_of
from expunge.web.limits import RateLimiter
from expunge.web.security import client_address
from expunge.web.settings import WebSettings
from helpers.web import BASE, ApiClient, WebVisit, routes, web_desk

TOKEN = "t" * 40
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def visit(tmp_path: Path) -> WebVisit:
    return WebVisit(web_desk(tmp_path / "desk"))


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1", "127.0.0.1:80", "localhost:8766", "127.0.0.1:8765.evil.example", "", "[::1]:8765"],
)
def test_a_foreign_host_is_refused(visit: WebVisit, host: str) -> None:
    for path in ("/sign-in", "/static/x", "/api/openapi.json", "/api/v1/me", "/nowhere"):
        answer = visit.get(path, headers={"host": host})
        assert answer.status_code == 403, path
        assert "evil" not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST:8765"])
def test_the_own_host_is_answered(visit: WebVisit, host: str) -> None:
    assert visit.get("/sign-in", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:8765", "http://127.0.0.1:8766", "", "file://"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_foreign_origin_is_refused(visit: WebVisit, origin: str, method: str) -> None:
    token = visit.form_token()
    answer = visit.request(
        method, "/sign-in", headers={"origin": origin, **FORM}, content=f"csrf={token}&person=a&password=b&code=c"
    )
    assert answer.status_code == 403
    assert "another site" in answer.text


def test_a_form_of_the_own_site_is_taken(visit: WebVisit) -> None:
    """With `no-referrer` a browser sends `Origin: null` and says by Sec-Fetch-Site that the form is of this site."""
    for headers in ({"origin": BASE}, {"origin": "null", "sec-fetch-site": "same-origin"}, {}):
        answer = visit.post(
            "/sign-in", data={"csrf": visit.form_token(), "person": "x", "password": "y", "code": "z"}, headers=headers
        )
        assert "name, password or code is wrong" in answer.text, headers


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_form_of_another_site_is_refused(visit: WebVisit, site: str) -> None:
    for origin in ({}, {"origin": "null"}, {"origin": BASE}):
        answer = visit.post("/sign-in", data={"csrf": visit.form_token()}, headers={"sec-fetch-site": site, **origin})
        assert answer.status_code == 403
        assert "another site" in answer.text


def page_posts(app: Any) -> list[str]:
    return [path for method, path, _ in routes(app) if method == "POST" and not path.startswith("/api")]


def test_every_form_needs_the_token_of_its_session(tmp_path: Path) -> None:
    case = web_desk(tmp_path / "desk")
    app = make_app(case.desk)
    mine, other = WebVisit(case, app).sign_in("carla"), WebVisit(case, app).sign_in("rita")
    paths = page_posts(app)
    assert {"/sign-in", "/role", "/set-up", "/gate", "/matches/{match_id}/reveal"} <= set(paths)
    foreign = other.form_token("/set-up")
    with case.desk.reading(SYSTEM) as s:
        before = read_head(s.conn)
    for path in paths:
        real = path.replace("{", "").replace("}", "")
        for data in ({}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": foreign}, {"csrf": "ü"}):
            assert mine.post(real, data=data).status_code == 403, (path, data)
        assert mine.post(real, json={"csrf": mine.form_token("/set-up")}).status_code == 403
    with case.desk.reading(SYSTEM) as s:
        assert read_head(s.conn) == before
    token = mine.form_token("/set-up")
    assert mine.post("/sign-out", headers={"X-CSRF-Token": token}).status_code == 303


def test_every_answer_carries_the_headers(visit: WebVisit) -> None:
    for method, path in [
        ("GET", "/sign-in"),
        ("GET", "/"),
        ("GET", "/nowhere"),
        ("GET", "/static/none"),
        ("GET", "/api/openapi.json"),
        ("GET", "/api/v1/me"),
        ("POST", "/sign-in"),
        ("DELETE", "/sign-in"),
        ("OPTIONS", "/api/v1/requests"),
    ]:
        headers = visit.request(method, path).headers
        assert headers["cache-control"] == "no-store", path
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        for name in ("script-src", "style-src", "img-src", "connect-src", "form-action"):
            assert policy[name] == "'self'"
        assert policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert "unsafe" not in headers["content-security-policy"]
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers


def test_cookies_are_strict_and_out_of_reach(visit: WebVisit) -> None:
    cookie = visit.get("/sign-in").headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    secure = WebVisit(visit.case, settings=WebSettings(proxy="https://desk.example"))
    cookie = secure.get("/sign-in", headers={"host": "desk.example"}).headers["set-cookie"]
    assert cookie.startswith("__Host-expunge-")
    assert "Secure" in cookie
    assert "Path=/" in cookie


REFUSED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "token alone": {"token": TOKEN},
    "proxy alone": {"proxy": "https://desk.example"},
    "tls alone": {"tls_cert": "cert.pem", "tls_key": "key.pem"},
    "half of tls": {"token": TOKEN, "tls_cert": "cert.pem"},
    "short token": {"token": "short", "proxy": "https://desk.example"},
    "no such file": {"token": TOKEN, "tls_cert": "none.pem", "tls_key": "key.pem"},
}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "desk.example"])
@pytest.mark.parametrize("name", REFUSED)
def test_any_other_bind_is_refused_unprotected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("cert.pem", "key.pem"):
        (tmp_path / file).write_text("")
    with pytest.raises(InputError):
        WebSettings(host=host, names=("desk.example",), **REFUSED[name]).check()


def test_a_bind_with_token_and_proxy_or_tls_is_taken(tmp_path: Path) -> None:
    files = {"tls_cert": tmp_path / "c.pem", "tls_key": tmp_path / "k.pem"}
    for file in files.values():
        file.write_text("")
    assert WebSettings(host="0.0.0.0", token=TOKEN, proxy="https://desk.example").check().hosts == {"desk.example"}
    served = WebSettings(host="0.0.0.0", port=443, token=TOKEN, names=("desk.example",), **files).check()
    assert served.origins == {"https://desk.example"}
    with pytest.raises(InputError, match="no name to visit"):
        WebSettings(host="0.0.0.0", token=TOKEN, **files).check()


@pytest.mark.parametrize(
    "proxy", ["http://desk.example", "desk.example", "https://u:p@desk.example", "https://desk.example/x"]
)
def test_a_proxy_is_named_by_its_origin(proxy: str) -> None:
    with pytest.raises(ValueError, match="origin"):
        WebSettings(proxy=proxy)


def outside(case: Any) -> dict[str, Any]:
    settings = WebSettings(host="10.0.0.5", token=TOKEN, proxy="https://desk.example", proxy_from=("10.0.0.9",))
    return {"app": make_app(case.desk, settings), "base_url": "https://desk.example", "follow_redirects": False}


def test_from_elsewhere_the_token_comes_first(tmp_path: Path) -> None:
    case = web_desk(tmp_path / "desk")
    options = outside(case)
    visit = TestClient(**options, client=("10.0.0.9", 1))
    assert visit.get("/sign-in").headers["location"] == "/gate"
    assert visit.get("/api/openapi.json").status_code == 401
    assert visit.get("/api/v1/requests").status_code == 401
    assert visit.get("/sign-in", headers={"x-desk-token": "wrong"}).status_code == 303
    assert visit.get("/sign-in", headers={"x-desk-token": TOKEN}).status_code == 200
    assert visit.get("/sign-in", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    import re

    form = re.search(r'name="csrf" value="(\w+)"', visit.get("/gate").text)
    assert form
    assert visit.post("/gate", data={"csrf": form[1], "token": "wrong"}).status_code == 403
    assert visit.post("/gate", data={"csrf": form[1], "token": TOKEN}).status_code == 303
    assert visit.get("/sign-in").status_code == 200
    assert TOKEN not in str(visit.cookies)
    person = ApiClient(case).token("carla", "clerk")
    assert (
        TestClient(**options, client=("10.0.0.9", 1))
        .get("/api/v1/me", headers={"authorization": f"Bearer {person}"})
        .status_code
        == 200
    )


def test_a_named_proxy_is_the_only_peer(tmp_path: Path) -> None:
    case = web_desk(tmp_path / "desk")
    for peer, status in (("10.0.0.9", 200), ("10.0.0.8", 403), ("127.0.0.1", 403)):
        visit = TestClient(**outside(case), client=(peer, 1))
        assert visit.get("/sign-in", headers={"x-desk-token": TOKEN}).status_code == status


def test_a_large_body_is_refused_before_and_while_it_is_read(visit: WebVisit) -> None:
    for path in ("/sign-in", "/api/v1/requests"):
        answer = visit.post(path, content=b"x" * (2**20 + 1), headers=FORM)
        assert answer.status_code == 413, path
        assert "larger than 1 MiB" in answer.text
        assert visit.post(path, content=iter([b"csrf=", *[b"x" * 2**18] * 6]), headers=FORM).status_code == 413
    assert visit.post("/sign-in", content=b"", headers={**FORM, "content-length": "-1"}).status_code in (400, 413)


def test_an_identity_document_of_200_mb_is_refused_by_its_length(tmp_path: Path) -> None:
    api = ApiClient(web_desk(tmp_path / "desk"))
    answer = api.call(
        "POST", "/requests/E-1111-1111-1/identity", "carla", content=b"{}", headers={"content-length": str(200 * 2**20)}
    )
    assert answer.status_code == 413
    assert "a page or a photo is enough" in answer.json()["error"]["hint"]


def test_a_bucket_refills_evenly() -> None:
    time = [0.0]
    limiter = RateLimiter(lambda: time[0])
    assert [limiter.take("a", 3) for _ in range(4)] == [0, 0, 0, 20]
    assert limiter.take("b", 3) == 0
    time[0] = 20.0
    assert [limiter.take("a", 3) for _ in range(2)] == [0, 20]


def test_too_many_requests_wait(tmp_path: Path) -> None:
    case = web_desk(tmp_path / "desk")
    visit = WebVisit(case, settings=WebSettings(requests_per_minute=5))
    statuses = [visit.get("/sign-in").status_code for _ in range(7)]
    assert statuses[:5] == [200] * 5
    answer = visit.get("/sign-in")
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


def test_too_many_sign_ins_wait(tmp_path: Path) -> None:
    visit = WebVisit(web_desk(tmp_path / "desk"), settings=WebSettings(sign_ins_per_minute=3))
    statuses = [visit.fill("/sign-in", person="x", password="y", code="z").status_code for _ in range(5)]
    assert statuses == [403, 403, 403, 429, 429]


def test_a_fault_of_the_program_shows_a_number_and_no_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    case = web_desk(tmp_path / "desk")
    app = make_app(case.desk)

    def broken() -> None:
        raise ValueError("Anna Weiß has a secret")

    app.add_api_route("/broken/{name}", broken)
    visit = WebVisit(case, app)
    with caplog.at_level("INFO", logger="expunge.web"):
        answer = visit.get("/broken/Anna?q=Weiß")
    assert answer.status_code == 500
    number = answer.headers["x-request-id"]
    assert number in answer.text
    for text in (answer.text, caplog.text):
        assert "Anna" not in text
        assert "Wei" not in text
    assert f"{number} failed: ValueError at broken:" in caplog.text
    assert f"{number} GET /broken/{{name}} 500" in caplog.text
    with caplog.at_level("INFO", logger="expunge.web"):
        visit.get("/api/v1/requests/E-Anna")
    assert "GET /api/v1/requests/{reference} 401" in caplog.text


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        (["203.0.113.7"], "203.0.113.7"),
        (["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        (["198.51.100.1", "203.0.113.7"], "203.0.113.7"),  # the visitor's own line, then that of the proxy
    ],
)
def test_the_proxy_says_who_visits(tmp_path: Path, lines: list[str], address: str) -> None:
    app = outside(web_desk(tmp_path / "desk"))["app"]
    headers = [(b"x-forwarded-for", line.encode()) for line in lines]
    for peer, expected in (("10.0.0.9", address), ("192.0.2.1", "192.0.2.1")):
        request = Request({"type": "http", "app": app, "client": (peer, 1), "headers": headers})
        assert client_address(context_of(request), request) == expected

"""Sign-in at an identity provider, the whole way: a real one on this machine."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("authlib")
pytest.importorskip("fastapi")


from pydantic import SecretStr

from expunge.desk.oidc_binding import bind_subject
from expunge.web.accounts import close_account, open_account
from helpers.desk import ADMIN
from helpers.identity_provider import SECRET
from helpers.web import PASSWORD, WebVisit, web_desk
from helpers.web_log import log_rows
from helpers.web_oidc import LINK, NOT_HERE, OidcCase, at_provider, is_in, leave, way


def test_somebody_signs_in_and_out(stage: OidcCase) -> None:
    visit = stage.visit()
    assert "Sign in with 127.0.0.1" in visit.get("/sign-in").text
    url = leave(visit)
    query = {k: v[0] for k, v in parse_qs(urlsplit(url).query).items()}
    assert query["redirect_uri"] == "http://127.0.0.1:8765/sign-in/oidc/return"
    assert query["scope"] == "openid"
    assert len(query["state"]) >= 32
    assert len(query["nonce"]) >= 32
    answer = visit.get(at_provider(url))
    assert answer.status_code == 200
    assert LINK.search(answer.text)[1] == "/"  # type: ignore[index]
    page = visit.get("/")
    assert page.status_code == 200
    assert "<strong>carla</strong> as clerk" in page.text
    assert stage.idp.seen[0]["client_secret"] == SECRET
    assert len(stage.idp.seen[0]["code_verifier"]) >= 43
    assert log_rows(stage.case, "account.sign_in") == [("carla", '{"by":"oidc","person":"carla"}')]
    assert visit.fill("/sign-out", page="/requests/new").headers["location"] == "/sign-in"
    assert not is_in(visit)


def test_cookies_of_the_way(stage: OidcCase) -> None:
    """The one that must come along from the provider is lax and lives for one way; the session's is strict."""
    visit = stage.visit()
    begun = visit.fill("/sign-in/oidc")
    (cookie,) = [c for c in begun.headers.get_list("set-cookie") if "oidc" in c]
    assert "httponly" in cookie.lower()
    assert "samesite=lax" in cookie.lower()
    back = visit.get(at_provider(html.unescape(LINK.search(begun.text)[1])))  # type: ignore[index]
    (session,) = [c for c in back.headers.get_list("set-cookie") if "session" in c]
    assert "samesite=strict" in session.lower()
    assert "expunge-8765-oidc" not in visit.cookies


def test_the_secret_goes_into_the_header_where_the_provider_wants_it(stage: OidcCase) -> None:
    stage.idp.metadata = {}
    visit = stage.visit()
    way(visit)
    assert is_in(visit)
    text = base64.b64decode(stage.idp.seen[0]["authorization"].removeprefix("Basic ")).decode()
    assert text == "desk%20of%20the%20hospital:s3cret%20%26%20more%2B"  # as RFC 6749 writes it
    assert "client_secret" not in stage.idp.seen[0]


def test_a_session_ends_as_with_a_password(stage: OidcCase) -> None:
    visit = stage.visit()
    way(visit)
    stage.case.clock.move(minutes=14)
    assert is_in(visit)
    stage.case.clock.move(minutes=16)
    assert not is_in(visit)
    for change in ("--oidc other", "--close", "account"):
        with stage.case.desk.session(ADMIN) as s:
            bind_subject(s, "carla", stage.idp.issuer, "sub-carla")
        way(visit)
        assert is_in(visit)
        with stage.case.desk.session(ADMIN) as s:
            if change == "--oidc other":
                bind_subject(s, "carla", stage.idp.issuer, "sub-other")
            elif change == "--close":
                close_account(s, "carla")
            else:
                open_account(s, "carla")
        assert not is_in(visit), change
        assert "this desk does not" in way(visit).text, change


def test_an_unknown_subject_is_refused_in_one_line(stage: OidcCase) -> None:
    stage.idp.subject = "sub-nobody"
    visit = stage.visit()
    answer = way(visit)
    assert answer.status_code == 403
    assert "the identity provider knows you, and this desk does not" in answer.text
    assert "sub-nobody" not in answer.text
    assert not is_in(visit)
    assert log_rows(stage.case, "account.refuse") == [("system", '{"by":"oidc","known":false,"why":"unknown"}')]


def test_roles_stay_those_of_the_desk(stage: OidcCase) -> None:
    stage.idp.claims = {"roles": ["admin"], "groups": ["admin"], "role": "admin"}
    visit = stage.visit()
    way(visit)
    assert "as clerk" in visit.get("/").text
    assert visit.get("/people").status_code == 403


def test_passwords_can_be_switched_off(stage: OidcCase) -> None:
    visit = stage.visit(passwords=False)
    page = visit.get("/sign-in").text
    assert "Password" not in page
    assert "Sign in with" in page
    token = visit.form_token()
    fields = {"csrf": token, "person": "carla", "password": PASSWORD, "code": visit.code("carla"), "token": "x"}
    for path in ("/sign-in", "/set-up", "/set-up/code"):
        answer = visit.post(path, data=fields)
        assert answer.status_code == 403
        assert "takes no passwords" in answer.text
    assert visit.get("/set-up").status_code == 403
    way(visit)
    assert is_in(visit)


def test_without_a_provider_there_is_no_such_sign_in(tmp_path: Path) -> None:
    visit = WebVisit(web_desk(tmp_path / "desk"))
    assert "Sign in with" not in visit.get("/sign-in").text
    assert visit.fill("/sign-in/oidc").status_code == 404
    assert visit.get("/sign-in/oidc/return?code=x&state=y").status_code == 404


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda back: back.replace("state=", "state=x"), "was not begun in this browser"),
        (lambda back: re.sub(r"state=[^&]+", "", back), "was not begun in this browser"),
        (lambda back: back + "&state=two", "was not begun in this browser"),
        (lambda back: back + "&code=two", "was not begun in this browser"),
        (lambda back: re.sub(r"code=[^&]+", "code=made-up", back), "did not let you in"),
        (lambda back: re.sub(r"code=[^&]+", "error=access_denied", back), "did not let you in"),
        (lambda back: back + "&error=server_error&error_description=Zyxwena", "did not let you in"),
        (lambda back: back + "&iss=https://other.example", NOT_HERE),
        (lambda back: back + "&iss=", NOT_HERE),
        (lambda back: "/sign-in/oidc/return", "was not begun in this browser"),
        (lambda back: re.sub(r"code=[^&]+", "code=" + "x" * 5000, back), "was not begun in this browser"),
    ],
)
def test_a_changed_way_back_is_refused(stage: OidcCase, change: Callable[[str], str], line: str) -> None:
    visit = stage.visit()
    answer = visit.get(change(at_provider(leave(visit))))
    assert answer.status_code == 403
    assert line in answer.text
    assert "Zyxwena" not in answer.text
    assert not is_in(visit)


def test_an_answer_counts_once_and_in_its_own_browser(stage: OidcCase) -> None:
    visit, other = stage.visit(), stage.visit()
    other._transport = visit._transport  # another browser at the same application
    back = at_provider(leave(visit))
    assert other.get(back).status_code == 403
    leave(other)
    assert other.get(back).status_code == 403
    assert visit.get(back).status_code == 200
    used = {k: v for k, v in visit.cookies.items() if "session" not in k}
    assert visit.get(back, cookies=used).status_code == 403
    assert len(stage.idp.seen) == 1, "a code that was not begun here never reaches the provider"


def test_a_code_that_was_used_elsewhere_is_refused(stage: OidcCase) -> None:
    visit = stage.visit()
    back = at_provider(leave(visit))
    stage.idp.codes.clear()  # somebody else redeemed it
    assert "did not let you in" in visit.get(back).text
    assert not is_in(visit)


def test_a_code_of_another_sign_in_is_refused(stage: OidcCase) -> None:
    """A stolen code in a way of one's own: the provider sees another verifier."""
    stolen = parse_qs(urlsplit(at_provider(leave(stage.visit()))).query)["code"][0]
    visit = stage.visit()
    assert visit.get(re.sub(r"code=[^&]+", f"code={stolen}", at_provider(leave(visit)))).status_code == 403
    assert not is_in(visit)


def test_a_way_ends_after_ten_minutes(stage: OidcCase) -> None:
    visit = stage.visit()
    back = at_provider(leave(visit))
    stage.case.clock.move(minutes=10)
    assert "longer than ten minutes" in visit.get(back).text


def test_the_provider_may_name_itself_and_must_where_it_says_so(stage: OidcCase) -> None:
    stage.idp.metadata["authorization_response_iss_parameter_supported"] = True
    visit = stage.visit()
    assert NOT_HERE in way(visit).text
    back = at_provider(leave(visit))
    assert visit.get(f"{back}&iss={stage.idp.issuer}").status_code == 200
    assert is_in(visit)


def test_no_way_back_is_an_error_of_the_program(stage: OidcCase) -> None:
    visit = stage.visit()
    names = st.sampled_from(["state", "code", "iss", "error", "x"])

    @settings(max_examples=60, deadline=None)
    @given(st.dictionaries(names, st.text(max_size=40)), st.binary(max_size=30), st.text("abc-_=\xe4", max_size=20))
    def check(query: dict[str, str], raw: bytes, cookie: str) -> None:
        tail = "".join(f"%{byte:02x}" for byte in raw)
        headers = {"cookie": f"expunge-8765-oidc={cookie}".encode("latin-1")} if cookie else {}
        answer = visit.get(f"/sign-in/oidc/return?{urlencode(query)}&state={tail}", headers=headers)
        assert answer.status_code in (403, 429)

    check()


@pytest.mark.parametrize("posts", [True, False])
def test_codes_and_secrets_of_any_characters_arrive(stage: OidcCase, posts: bool) -> None:
    every = "".join(map(chr, range(33, 127)))
    stage.idp.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]} if posts else {}
    visit = stage.visit(client_secret=SecretStr(every))
    leave(visit)
    pending = next(iter(visit.app.state.web.oidc._pending.values()))
    visit.get(f"/sign-in/oidc/return?{urlencode({'state': pending.state, 'code': every + 'ü'})}")
    (seen,) = stage.idp.seen
    assert seen["code"] == every + "ü"
    if posts:
        assert seen["client_secret"] == every
    else:
        assert unquote(base64.b64decode(seen["authorization"].removeprefix("Basic ")).decode()).endswith(f":{every}")

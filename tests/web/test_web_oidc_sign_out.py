"""Sign-out at the identity provider, which never stands in the way of the sign-out of the desk."""

from __future__ import annotations

import html
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("authlib")
pytest.importorskip("fastapi")

from pydantic import SecretStr

from expunge.web.settings import WebSettings
from helpers.identity_provider import CLIENT
from helpers.web import WebVisit
from helpers.web_oidc import LINK, OidcCase, at_provider, is_in, way

LEFT = "/sign-in/oidc/left"


def end_of(stage: OidcCase) -> str:
    return f"{stage.idp.issuer}/logout"


def signed_in(stage: OidcCase, **changes: Any) -> WebVisit:
    """Somebody who came from the provider, at a desk that signs out there."""
    visit = stage.visit(sign_out=True, **changes)
    way(visit)
    assert is_in(visit)
    return visit


def test_signing_out_leads_to_the_provider_and_back(stage: OidcCase) -> None:
    stage.idp.metadata["end_session_endpoint"] = end_of(stage)
    visit = signed_in(stage)
    answer = visit.fill("/sign-out", page="/")
    assert answer.status_code == 200
    assert not is_in(visit), "the desk does not wait for the provider"
    link = LINK.search(answer.text)
    assert link
    url = html.unescape(link[1])
    assert url.startswith(end_of(stage))
    back = f"http://127.0.0.1:8765{LEFT}"
    assert parse_qs(urlsplit(url).query) == {"client_id": [CLIENT], "post_logout_redirect_uri": [back]}
    assert at_provider(url) == LEFT
    assert len(stage.idp.sign_outs) == 1
    page = visit.get(LEFT)
    assert page.status_code == 200
    assert "/sign-in" in page.text
    assert "carla" not in answer.text + page.text


def test_an_address_of_the_provider_keeps_its_own_parameters(stage: OidcCase) -> None:
    stage.idp.metadata["end_session_endpoint"] = f"{end_of(stage)}?tenant=a%26b"
    link = LINK.search(signed_in(stage).fill("/sign-out", page="/").text)
    assert link
    assert parse_qs(urlsplit(html.unescape(link[1])).query)["tenant"] == ["a&b"]


@pytest.mark.parametrize("end", [None, "", 7, "http://other.example/logout", "javascript:alert(1)", 'https://x/"><b>'])
def test_a_provider_without_a_safe_sign_out_is_left_alone(stage: OidcCase, end: Any) -> None:
    if end is not None:
        stage.idp.metadata["end_session_endpoint"] = end
    visit = signed_in(stage)
    answer = visit.fill("/sign-out", page="/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert not is_in(visit)


def test_without_the_setting_nobody_signs_out_there(stage: OidcCase) -> None:
    stage.idp.metadata["end_session_endpoint"] = end_of(stage)
    visit = stage.visit()
    way(visit)
    assert visit.fill("/sign-out", page="/").status_code == 303
    assert not is_in(visit)
    assert stage.idp.sign_outs == []


def test_a_session_of_a_password_ends_here_alone(stage: OidcCase) -> None:
    stage.idp.metadata["end_session_endpoint"] = end_of(stage)
    visit = stage.visit(sign_out=True)
    visit.sign_in("rita")
    assert visit.fill("/sign-out", page="/").status_code == 303
    assert not is_in(visit)


def test_a_provider_that_is_down_keeps_nobody_in(stage: OidcCase) -> None:
    now = [100.0]
    visit = signed_in(stage)
    visit.app.state.web.oidc.provider._now = lambda: now[0]
    now[0] += 1e6  # what it said is too old, and it does not answer
    stage.idp.stop()
    answer = visit.fill("/sign-out", page="/")
    assert answer.status_code == 200
    assert "does not answer" in answer.text
    assert not is_in(visit)
    assert visit.fill("/sign-out").status_code == 303, "once more does no harm"


def test_the_way_back_needs_no_token_and_shows_nothing(stage: OidcCase) -> None:
    settings = WebSettings(token=SecretStr("t" * 40), oidc=stage.settings)
    stranger = WebVisit(stage.case, settings=settings)
    answer = stranger.get(LEFT)
    assert answer.status_code == 200
    assert stranger.get("/sign-in").status_code == 303
    assert WebVisit(stage.case, settings=WebSettings()).get(LEFT).status_code == 404

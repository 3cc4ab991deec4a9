"""The way to an identity provider of another site and back, in a browser: its cookies and the policy of the pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("authlib")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from pydantic import SecretStr

from expunge.desk.oidc_binding import bind_subject
from expunge.web.oidc_settings import OidcSettings
from helpers.desk import ADMIN, DeskCase
from helpers.identity_provider import CLIENT, SECRET, IdentityProvider
from helpers.web import web_desk
from helpers.web_browser import BrowserVisit, chromium, launched, served

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.matrix]
GATE = "t" * 40


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskCase]:
    chromium()
    case = web_desk(tmp_path_factory.mktemp("oidc") / "desk")
    yield case
    case.desk.close()


@pytest.fixture(scope="module")
def idp(case: DeskCase) -> Iterator[IdentityProvider]:
    """At `localhost`, which to a browser is another site than 127.0.0.1."""
    idp = IdentityProvider(case.clock, "localhost")
    with case.desk.session(ADMIN) as s:
        bind_subject(s, "carla", idp.issuer, "sub-carla")
    yield idp
    idp.stop()


@pytest.mark.parametrize("javascript", [True, False])
def test_somebody_signs_in_with_a_click(
    case: DeskCase, idp: IdentityProvider, javascript: bool, tmp_path: Path
) -> None:
    settings = OidcSettings(issuer=idp.issuer, client_id=CLIENT, client_secret=SecretStr(SECRET), label="Hospital")
    with launched() as browser, served(case.desk, oidc=settings, token=SecretStr(GATE)) as base:
        visit = BrowserVisit.open(browser, base, java_script_enabled=javascript)
        page: Any = visit.page
        visit.go("/")
        assert page.url == f"{base}/gate"
        page.fill("#token", GATE)
        page.get_by_role("button").first.click()
        page.wait_for_url(f"{base}/sign-in")
        if javascript:
            assert visit.faults() == []
        page.get_by_role("button", name="Sign in with Hospital").click()
        page.wait_for_url(f"{base}/")
        assert "carla" in page.inner_text(".who")
        page.screenshot(path=str(tmp_path / "in.png"))
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url(f"{base}/sign-in")
        elsewhere = [line for line in visit.complaints if not line.startswith(idp.issuer)]
        assert elsewhere == [], "nothing breaks the policy of the pages"
        idp.subject = "sub-nobody"
        page.get_by_role("button", name="Sign in with Hospital").click()
        page.wait_for_url(f"{base}/sign-in/oidc/return*")
        assert "this desk does not" in page.inner_text("main")
        idp.subject = "sub-carla"


def test_the_pages_on_the_way_are_accessible(case: DeskCase, idp: IdentityProvider, tmp_path: Path) -> None:
    settings = OidcSettings(issuer=idp.issuer, client_id=CLIENT, client_secret=SecretStr(SECRET), passwords=False)
    with launched() as browser, served(case.desk, oidc=settings) as base:
        visit = BrowserVisit.open(browser, base)
        visit.page.set_viewport_size({"width": 360, "height": 800})
        visit.go("/sign-in")
        assert visit.faults() == []
        assert visit.overflow() <= 0
        visit.page.screenshot(path=str(tmp_path / "sign-in.png"))
        idp.override["/authorize"] = lambda: (204, {}, b"")  # the browser stays where it is
        visit.page.get_by_role("button").first.click(no_wait_after=True)
        visit.page.get_by_role("link", name="Go on to localhost").wait_for()
        assert visit.faults() == []
        visit.page.screenshot(path=str(tmp_path / "leave.png"))
        del idp.override["/authorize"]

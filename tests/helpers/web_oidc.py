"""A desk whose people sign in at an identity provider, and the way of a browser there and back."""

from __future__ import annotations

import html
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from expunge.desk.oidc_binding import bind_subject
from expunge.web.app import make_app
from expunge.web.oidc_settings import OidcSettings
from expunge.web.settings import WebSettings
from helpers.desk import ADMIN, DeskCase
from helpers.identity_provider import CLIENT, SECRET, IdentityProvider
from helpers.web import WebVisit, web_desk

LINK = re.compile(r'<meta http-equiv="refresh" content="0; url=([^"]+)">')
NOT_HERE, NO_ANSWER = "does not hold here", "does not answer as it should"


@dataclass
class OidcCase:
    """A desk, its provider, and carla, who is bound to `sub-carla`."""

    case: DeskCase
    idp: IdentityProvider
    settings: OidcSettings

    def visit(self, **changes: Any) -> WebVisit:
        settings = WebSettings(oidc=self.settings.model_copy(update=changes), sign_ins_per_minute=1000)
        return WebVisit(self.case, make_app(self.case.desk, settings))


@contextmanager
def oidc_case(folder: Path, tls: ssl.SSLContext | None = None) -> Iterator[OidcCase]:
    """The three, until the end of a test."""
    case = web_desk(folder)
    idp = IdentityProvider(case.clock, tls=tls)
    settings = OidcSettings(issuer=idp.issuer, client_id=CLIENT, client_secret=SecretStr(SECRET))
    with case.desk.session(ADMIN) as s:
        bind_subject(s, "carla", idp.issuer, "sub-carla")
    yield OidcCase(case, idp, settings)
    idp.stop()
    case.desk.close()


def leave(visit: WebVisit) -> str:
    """The address at the provider to which the desk leads."""
    answer = visit.fill("/sign-in/oidc")
    assert answer.status_code == 200, answer.text
    match = LINK.search(answer.text)
    assert match
    return html.unescape(match[1])


def at_provider(url: str) -> str:
    """What the provider sends the browser back to, as path and query."""
    back = httpx.get(url, verify=False).headers["location"]
    return back.removeprefix("http://127.0.0.1:8765")


def way(visit: WebVisit) -> Any:
    """The whole way; the answer of the desk at its end."""
    return visit.get(at_provider(leave(visit)))


def is_in(visit: WebVisit) -> bool:
    return visit.get("/").status_code == 200

"""What one application works with. Nothing of it is global: two applications in a process share nothing."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from jinja2 import Environment
from starlette.requests import HTTPConnection
from starlette.types import Scope

from expunge.desk.desk import Desk
from expunge.desk.keys import KeyRing
from expunge.errors import InputError
from expunge.web.limits import RateLimiter
from expunge.web.oidc_flow import OidcFlow
from expunge.web.sessions import SessionStore
from expunge.web.settings import WebSettings


@dataclass
class WebContext:
    """The desk, the settings, and what lives in the memory of the process.

    Attributes:
        secret: Key of the process for CSRF tokens and the gate; a restart makes a new one.
    """

    desk: Desk
    settings: WebSettings
    sessions: SessionStore
    limiter: RateLimiter
    templates: Environment
    oidc: OidcFlow | None = None
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _keys_changed: int = 0

    def refresh_keys(self) -> None:
        """Read the key file again if a rotation has changed it; one that is gone leaves the keys as they are."""
        file = self.desk.folder / self.desk.settings.keys
        with suppress(OSError, InputError):
            changed = file.stat().st_mtime_ns
            if changed != self._keys_changed:
                self.desk.keys, self._keys_changed = KeyRing.load(file), changed

    @property
    def now(self) -> datetime:
        """The time of the desk."""
        return self.desk.clock()


def context_of(connection: HTTPConnection | Scope) -> WebContext:
    """The context of the application that a request came to."""
    scope = connection.scope if isinstance(connection, HTTPConnection) else connection
    context: WebContext = scope["app"].state.web
    return context

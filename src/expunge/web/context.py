"""What one application works with. Nothing of it is global: two applications in a process share nothing."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime

from jinja2 import Environment
from starlette.requests import HTTPConnection
from starlette.types import Scope

from expunge.desk.desk import Desk
from expunge.web.limits import RateLimiter
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
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    @property
    def now(self) -> datetime:
        """The time of the desk."""
        return self.desk.clock()


def context_of(connection: HTTPConnection | Scope) -> WebContext:
    """The context of the application that a request came to."""
    scope = connection.scope if isinstance(connection, HTTPConnection) else connection
    context: WebContext = scope["app"].state.web
    return context

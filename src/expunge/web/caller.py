"""Who calls the API: a program with a token."""

from __future__ import annotations

from starlette.requests import Request

from expunge.desk.roles import SYSTEM
from expunge.web.context import context_of
from expunge.web.errors import Turned
from expunge.web.security import client_address
from expunge.web.tokens import PREFIX, token_actor
from expunge.web.visitor import Visitor


def caller(request: Request) -> Visitor:
    """The person and role of the token; cookies count for nothing here.

    Raises:
        Turned: there is no token (401), it does not hold (401), or an address tries too many (429).
    """
    context = context_of(request)
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    actor = None
    if kind.lower() == "bearer" and token.startswith(PREFIX):
        with context.desk.reading(SYSTEM) as s:
            actor = token_actor(s, token.strip())
    if actor is None:
        key = f"token {client_address(context, request)}"
        if token and (wait := context.limiter.take(key, context.settings.sign_ins_per_minute)):
            raise Turned(429, "too many wrong tokens", f"wait {wait} seconds", "token", retry_after=wait)
        raise Turned(401, "is missing or does not hold", "an admin makes one: expunge desk token", "token")
    return Visitor(actor.person, actor.role, (actor.role,), context)

"""A token in every form, bound to the session, so that no other site can send a form in somebody's name."""

from __future__ import annotations

import hmac
import secrets

from starlette.requests import Request

from expunge.desk.roles import Refusal
from expunge.web.context import context_of
from expunge.web.cookies import read_cookie

FIELD, HEADER = "csrf", "X-CSRF-Token"
SAFE = ("GET", "HEAD")  # methods that change nothing


def visit_token(request: Request) -> str:
    """What tells one visit from another: the session, or, before the sign-in, a cookie that is made now."""
    token = read_cookie(request, "session") or read_cookie(request, "visit")
    if not token:
        token = getattr(request.state, "new_visit", None) or secrets.token_urlsafe(24)
        request.state.new_visit = token  # `render` sets the cookie
    return token


def csrf_token(request: Request) -> str:
    """The token for the forms of a page."""
    return _token(context_of(request).secret, visit_token(request))


def _token(secret: bytes, visit: str) -> str:
    return hmac.new(secret, b"csrf\0" + visit.encode(), "sha256").hexdigest()


async def check_csrf(request: Request) -> None:
    """`Refusal` for a form without the token of its session. Stands before every page."""
    if request.method in SAFE:
        return
    token = request.headers.get(HEADER)
    if token is None and request.headers.get("content-type", "").startswith(
        ("application/x-www-form-urlencoded", "multipart/form-data")
    ):
        field = (await request.form()).get(FIELD)
        token = field if isinstance(field, str) else None
    visit = read_cookie(request, "session") or read_cookie(request, "visit")
    if (
        not visit
        or not token
        or not hmac.compare_digest(token.encode(), _token(context_of(request).secret, visit).encode())
    ):
        raise Refusal("form", "does not carry the token of your session", "load the page again", kind="role")

"""Cookies: for this site alone, out of reach of scripts, one set for each port."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from expunge.web.context import context_of
from expunge.web.settings import WebSettings


def cookie_name(settings: WebSettings, kind: str) -> str:
    """Name of a cookie; under https the browser itself holds it to this host."""
    return f"__Host-expunge-{kind}" if settings.is_secure else f"expunge-{settings.port}-{kind}"


def read_cookie(request: Request, kind: str) -> str | None:
    """The value of one of our cookies."""
    return request.cookies.get(cookie_name(context_of(request).settings, kind)) or None


def set_cookie(request: Request, response: Response, kind: str, value: str, *, from_elsewhere: bool = False) -> None:
    """Set a cookie that ends with the browser.

    Args:
        request: the request.
        response: the answer that sets it.
        kind: which of ours.
        value: its value.
        from_elsewhere: the browser also sends it when a link of another site leads here.
    """
    settings = context_of(request).settings
    response.set_cookie(
        cookie_name(settings, kind),
        value,
        path="/",
        httponly=True,
        samesite="lax" if from_elsewhere else "strict",
        secure=settings.is_secure,
    )


def drop_cookie(request: Request, response: Response, kind: str) -> None:
    """Take a cookie back."""
    settings = context_of(request).settings
    response.delete_cookie(
        cookie_name(settings, kind), path="/", httponly=True, samesite="strict", secure=settings.is_secure
    )

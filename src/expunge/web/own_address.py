"""Addresses of this desk that an identity provider sends a browser to."""

from __future__ import annotations

from starlette.requests import Request

from expunge.web.settings import WebSettings


def own_address(settings: WebSettings, request: Request, path: str) -> str:
    """A path of the desk under the origin that the browser visits, which is one of those that are served."""
    host = request.headers["host"].lower()
    origins = sorted(o for o in settings.origins if o.partition("://")[2] == host)
    return f"{origins[-1]}{path}"  # https before http

"""The application: every module of `pages` and `api`, behind the checks that hold for all of them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType

from fastapi import APIRouter, Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.staticfiles import StaticFiles

from expunge.desk.desk import Desk
from expunge.errors import InputError
from expunge.web import api, pages
from expunge.web.api_schema import describe_api
from expunge.web.context import WebContext
from expunge.web.csrf import check_csrf
from expunge.web.errors import answer_error
from expunge.web.json_body import check_json_body
from expunge.web.limits import MAX_BODY, BodyLimit, RateLimiter
from expunge.web.oidc_flow import new_flow
from expunge.web.render import templates
from expunge.web.security import SecurityGuard
from expunge.web.sessions import SessionStore
from expunge.web.settings import WebSettings
from expunge.web.visitor import visitor_or_none

STATIC = Path(__file__).parent / "static"
OPENAPI = "/api/openapi.json"


def make_app(desk: Desk, settings: WebSettings | None = None) -> FastAPI:
    """The web desk of a desk.

    Args:
        desk: an open desk.
        settings: how it is reached; for this machine alone if not given.

    Raises:
        InputError: settings that would open the desk to others unprotected.
    """
    settings = (settings or WebSettings()).check()
    app = FastAPI(
        title="expunge desk",
        version="1",
        openapi_url=OPENAPI,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    idle, longest = timedelta(minutes=settings.idle_minutes), timedelta(hours=settings.session_hours)
    oidc = new_flow(settings.oidc, desk.clock) if settings.oidc else None
    sessions = SessionStore(desk.clock, idle, longest)
    app.state.web = WebContext(desk, settings, sessions, RateLimiter(), templates(), oidc)
    for module in modules(pages):
        app.include_router(
            router_of(module), dependencies=[Depends(check_csrf), Depends(visitor_or_none)], include_in_schema=False
        )
    for module in modules(api):
        app.include_router(router_of(module), prefix="/api/v1", dependencies=[Depends(check_json_body)])
    app.mount("/static", StaticFiles(directory=STATIC, check_dir=False), name="static")
    for kind in (InputError, HTTPException, RequestValidationError, ClientDisconnect):
        app.add_exception_handler(kind, answer_error)
    app.add_middleware(BodyLimit, usual=MAX_BODY)
    app.add_middleware(SecurityGuard)  # the last one added is the outermost
    describe_api(app)
    return app


def modules(package: ModuleType) -> Iterator[ModuleType]:
    """The modules of a package in the order of their names."""
    for each in sorted(pkgutil.iter_modules(package.__path__), key=lambda found: found.name):
        if not each.name.startswith("_"):
            yield importlib.import_module(f"{package.__name__}.{each.name}")


def router_of(module: ModuleType) -> APIRouter:
    """The routes of a module."""
    router: APIRouter = module.router
    return router

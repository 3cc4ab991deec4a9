"""Sign in at the identity provider: a page that leads there, and the address to which it leads back.

Both ways end in a page that the browser leaves by itself, not in a redirect. A redirect of a form to another site is
forbidden by `form-action`, and after a redirect from another site the browser would not send the session's cookie.
"""

from __future__ import annotations

import logging
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from expunge.web.context import context_of
from expunge.web.cookies import drop_cookie, read_cookie, set_cookie
from expunge.web.errors import Turned
from expunge.web.oidc_flow import OidcFlow
from expunge.web.oidc_person import log_refusal, sign_in_subject
from expunge.web.oidc_refusal import OidcRefusal
from expunge.web.own_address import own_address
from expunge.web.pages.sign_in import HOME, slow_down
from expunge.web.render import render
from expunge.web.security import OIDC_LEFT, OIDC_RETURN
from expunge.web.visitor import SIGN_IN

router = APIRouter(dependencies=[Depends(slow_down)])
LOG = logging.getLogger("expunge.web")
COOKIE = "oidc"


def flow_of(request: Request) -> OidcFlow:
    """The sign-ins of this application; `Turned` where none is set up."""
    flow = context_of(request).oidc
    if flow is None:
        raise Turned(404, "there is no identity provider", "sign in with password and code", "sign-in")
    return flow


Flow = Annotated[OidcFlow, Depends(flow_of)]


@router.post("/sign-in/oidc")
def go_there(request: Request, flow: Flow) -> Response:
    """Lead the browser to the provider."""
    try:
        cookie, url = flow.begin(own_address(context_of(request).settings, request, OIDC_RETURN))
    except OidcRefusal as refusal:
        LOG.warning("identity provider: %s", refusal.detail)
        raise
    response = render(request, "oidc_leave.html", url=url, label=flow.settings.button, title="Sign in elsewhere")
    set_cookie(request, response, COOKIE, cookie, from_elsewhere=True)
    return response


@router.get(OIDC_RETURN)
def come_back(request: Request, flow: Flow) -> Response:
    """Begin a session for whom the provider vouches."""
    context, answer = context_of(request), request.query_params
    try:
        parameters = {name: answer.getlist(name) for name in ("state", "code", "iss", "error") if name in answer}
        claims = flow.finish(read_cookie(request, COOKIE), parameters)
        known = sign_in_subject(context.desk, flow.settings, claims)
    except OidcRefusal as refusal:
        LOG.warning("identity provider: %s", refusal.detail)
        log_refusal(context.desk, refusal)
        raise
    response = render(request, "oidc_leave.html", url=HOME, label="the inbox", title="You are signed in")
    token = context.sessions.begin(known.person, known.roles[0], known.stamp, is_from_provider=True)
    set_cookie(request, response, "session", token)
    drop_cookie(request, response, COOKIE)
    drop_cookie(request, response, "visit")
    return response


@router.get(OIDC_LEFT)
def come_back_signed_out(request: Request, flow: Flow) -> Response:
    """Where the provider leads after its sign-out."""
    return render(request, "oidc_leave.html", url=SIGN_IN, label="the sign-in page", title="You are signed out")

"""Sign-out at the identity provider (OpenID Connect RP-Initiated Logout 1.0), after the desk has ended its own session.

The address names this desk (`client_id`) and where to come back to. It holds no `id_token_hint`: an ID token names a
person, addresses stand in histories and logs, and the desk keeps no token. A provider may therefore ask whether the
person means it.
"""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.responses import Response

from expunge.web.context import context_of
from expunge.web.oidc_refusal import OidcRefusal
from expunge.web.own_address import own_address
from expunge.web.render import render
from expunge.web.security import OIDC_LEFT
from expunge.web.sessions import WebSession

LOG = logging.getLogger("expunge.web")


def lead_to_sign_out(request: Request, session: WebSession) -> Response | None:
    """A page that leads to the provider's sign-out, or says that it does not answer.

    Returns:
        None if the session did not begin at the provider, or nobody signs out there.
    """
    context = context_of(request)
    if context.oidc is None or not session.is_from_provider:
        return None
    label = context.oidc.settings.button
    try:
        url = context.oidc.sign_out_url(own_address(context.settings, request, OIDC_LEFT))
    except OidcRefusal as refusal:
        LOG.warning("identity provider: %s", refusal.detail)
        return render(request, "signed_out.html", label=label)
    if url is None:
        return None
    return render(request, "oidc_leave.html", url=url, label=label, title="You are signed out of this desk")

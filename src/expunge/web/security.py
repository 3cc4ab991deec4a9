"""Before anything is read: Host and Origin, the token of the gate, rates. After: the headers of every answer.

Errors end here: an answer and a line of the log hold ids and kinds, never a value that somebody sent.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import time
import traceback

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from expunge.errors import InputError
from expunge.web.context import WebContext, context_of
from expunge.web.cookies import read_cookie
from expunge.web.csrf import SAFE
from expunge.web.errors import Turned, answer_error, log_name

LOG = logging.getLogger("expunge.web")
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CSP,
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "x-robots-tag": "noindex",
}
GATE, API = "/gate", "/api/v1"
OIDC_RETURN = "/sign-in/oidc/return"
OIDC_LEFT = "/sign-in/oidc/left"  # after the sign-out there: a page without content
STATIC = "/static/"
DESK_TOKEN = "x-desk-token"


class SecurityGuard:
    """The outermost layer: checks a request, hands it on, and completes the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # no websockets are served
            await send({"type": "websocket.close", "code": 1008})
            return
        context = context_of(scope)
        began, status, is_begun = time.perf_counter(), 500, False
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id

        async def completed(message: Message) -> None:
            nonlocal status, is_begun
            if message["type"] == "http.response.start":
                status, is_begun = message["status"], True
                complete(MutableHeaders(scope=message), request_id, context)
            await send(message)

        request = Request(scope, receive)
        try:
            admit(context, request)
            context.refresh_keys()
            await self.app(scope, receive, completed)
        except InputError as error:
            if not is_begun:
                await (await answer_error(request, error))(scope, receive, completed)
        except Exception as error:
            LOG.error("%s failed: %s", request_id, describe(error))
            if not is_begun:
                failure = Turned(500, "the program failed", "tell the operator the number of this visit")
                await (await answer_error(request, failure))(scope, receive, completed)
        finally:
            took = round((time.perf_counter() - began) * 1000)
            LOG.info("%s %s %s %s %d ms", request_id, log_name(scope["method"]), route_of(scope), status, took)


def complete(headers: MutableHeaders, request_id: str, context: WebContext) -> None:
    """The headers of every answer."""
    for name, value in HEADERS.items():
        headers[name] = value
    headers["x-request-id"] = request_id
    if context.settings.is_secure:
        headers["strict-transport-security"] = "max-age=31536000"
    for name in ("server", "x-powered-by"):
        if name in headers:
            del headers[name]


def route_of(scope: Scope) -> str:
    """The pattern of the route, which holds no value of a visitor."""
    path = str(getattr(scope.get("route"), "path", "-"))
    return f"{API}{path}" if scope["path"].startswith(f"{API}/") and not path.startswith(API) else path


def describe(error: BaseException) -> str:
    """Type and place of an error, without its message, which may quote a record."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return f"{type(error).__name__} at " + " < ".join(f"{f.name}:{f.lineno}" for f in reversed(frames))


def admit(context: WebContext, request: Request) -> None:
    """`InputError` for a request that no page may see."""
    settings, headers = context.settings, request.headers
    peer = request.client.host if request.client else ""
    if not settings.is_local and settings.proxy and peer not in settings.proxy_from:
        raise Turned(403, "connections come from the named proxy only", "visit the address of the proxy")
    if len(hosts := headers.getlist("host")) != 1 or hosts[0].lower() not in settings.hosts:
        raise Turned(403, "is not reached under this name", "visit it under the name that its operator gave", "host")
    check_origin(context, request.method, headers)
    address = client_address(context, request)
    session = context.sessions.find(read_cookie(request, "session"), renew=False)
    key = f"session {session.key}" if session else f"address {address}"
    if wait := context.limiter.take(key, settings.requests_per_minute):
        raise Turned(429, "too many requests", f"wait {wait} seconds", retry_after=wait)
    if settings.token is not None and not passes_gate(context, request):
        if not request.scope["path"].startswith(("/api/", STATIC)):
            raise Turned(303, "shows no token", location=GATE)
        raise Turned(401, "shows no token of the desk", f"send it as {DESK_TOKEN}")


def check_origin(context: WebContext, method: str, headers: Headers) -> None:
    """A page of another site may neither read nor send.

    A browser that is told to send no referrer writes the origin of a form as `null`; it then says by `Sec-Fetch-Site`
    that the form is of this site.
    """
    site = headers.get("sec-fetch-site")
    for origin in headers.getlist("origin"):
        is_own_form = origin == "null" and site == "same-origin"
        if origin.lower() not in context.settings.origins and not is_own_form:
            raise Turned(403, "takes nothing from another site", "use the pages of the desk", "origin")
    if method not in SAFE and site not in (None, "same-origin", "none"):
        raise Turned(403, "takes nothing from another site", "use the pages of the desk", "origin")


def client_address(context: WebContext, request: Request) -> str:
    """Whose rate counts: the connecting machine, or whom the named proxy speaks for."""
    peer = request.client.host if request.client else "unknown"
    forwarded = ",".join(request.headers.getlist("x-forwarded-for"))  # a proxy may add a line of its own
    if context.settings.proxy and peer in context.settings.proxy_from and forwarded:
        return forwarded.rpartition(",")[2].strip()[:45]  # the last one is written by the proxy itself
    return peer


def passes_gate(context: WebContext, request: Request) -> bool:
    """Whether a visit shows the token of the desk, or goes where another secret is asked for."""
    path = str(request.scope["path"])
    if path in (GATE, OIDC_LEFT) or path.startswith(STATIC):
        return True
    if path == OIDC_RETURN and read_cookie(request, "oidc"):
        return True  # the cookie was given to a browser that had passed, and what it began is looked up
    authorization = request.headers.get("authorization", "")
    if path.startswith(f"{API}/") and authorization.startswith("Bearer exd_"):
        return True  # a person's own token, which the API checks
    if path.startswith(f"{API}/webhooks/") and "webhook-signature" in request.headers:
        return True  # signed, which the webhook checks
    shown = request.headers.get(DESK_TOKEN) or authorization.removeprefix("Bearer ")
    cookie = read_cookie(request, "gate")
    return is_desk_token(context, shown) or bool(cookie and _equal(cookie, gate_pass(context)))


def is_desk_token(context: WebContext, text: str) -> bool:
    """Whether a text is the token of the desk."""
    token = context.settings.token
    return bool(token and text and _equal(text, token.get_secret_value()))


def gate_pass(context: WebContext) -> str:
    """What the cookie holds after the token was shown: not the token, and no longer valid after a restart."""
    return hmac.new(context.secret, b"gate", "sha256").hexdigest()


def _equal(a: str, b: str) -> bool:
    return hmac.compare_digest(a.encode("utf-8", "surrogateescape"), b.encode())

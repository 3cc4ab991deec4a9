"""What a visitor sees of an error: a status, one line, what to do, and the number of the visit. Never what they sent.

A message of the desk may quote what somebody typed. Whatever of it came with the request is taken out again, unless it
is a word of the desk itself.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from expunge.desk.keys import IDENTIFIER_KINDS
from expunge.desk.lifecycle import EVENTS, STATES
from expunge.desk.requests import LANGUAGES
from expunge.desk.roles import MAY, ROLES, Refusal
from expunge.desk.tables import ASSET_KINDS, DECISIONS, MATCH_STATES, PLAN_KINDS
from expunge.errors import InputError, RunFailed
from expunge.web import webhook_sap, webhook_transcend
from expunge.web.context import context_of
from expunge.web.limits import BodyTooLarge
from expunge.web.short_paths import shorten_paths, shorten_place

STATUS_OF_KIND = {"role": 403, "state": 409, "guard": 409, "conflict": 409, "missing": 404}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
WORDS = frozenset(
    (
        *EVENTS,
        *STATES,
        *ROLES,
        *MAY,
        *IDENTIFIER_KINDS,
        *LANGUAGES,
        *ASSET_KINDS,
        *DECISIONS,
        *MATCH_STATES,
        *PLAN_KINDS,
        *webhook_sap.FIELDS,
        *webhook_transcend.FIELDS,
    )
)
GONE = "…"
SHORTEST = 2  # characters of a value that is taken out
PLAIN = re.compile(r"[a-z_]{2,20}|[a-zA-Z]{2}")
KINDS = {  # of a value that does not fit -> what is said
    "missing": "is missing",
    "extra_forbidden": "is not known",
    "json_invalid": "is no JSON",
    "model_attributes_type": "is no JSON object, or was not sent as application/json",
    "model_type": "is no JSON object",
    "string_unicode": "holds half a character",
    "value_error": "holds a character that is not stored",
}
FIXED = {  # what is said for errors of the web itself
    400: ("cannot be read", "check what you sent"),
    401: ("needs a token", "send Authorization: Bearer"),
    404: ("there is no such page", "go back to the inbox"),
    405: ("is not done this way", "see the description of the API"),
    413: ("is too large", "send less"),
    415: ("is of a type that is not read here", "send JSON"),
}


class Turned(InputError):
    """A visit that is turned away before the desk is asked.

    Attributes:
        status: Status of the answer.
        location: Where to go instead; the answer then is a redirect.
        retry_after: Seconds to wait.
    """

    def __init__(
        self,
        status: int,
        what: str,
        hint: str = "",
        where: str = "visit",
        *,
        location: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(where, what, hint)
        self.status, self.location, self.retry_after = status, location, retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.status, self.what, self.hint, self.where)


def status_of(error: InputError) -> int:
    """The status for an error of the desk."""
    if isinstance(error, Turned):
        return error.status
    if isinstance(error, BodyTooLarge):
        return 413
    if isinstance(error, Refusal):
        return STATUS_OF_KIND[error.kind]
    return 503 if isinstance(error, RunFailed) else 400


async def answer_error(request: Request, error: Exception) -> Response:
    """The answer for an error: a page, or JSON under `/api`."""
    turned = as_input_error(error)
    status = status_of(turned)
    if isinstance(turned, Turned) and turned.location:
        return redirect(request, turned.location)
    sent = await sent_values(request)
    folder = context_of(request).desk.folder
    parts = {"where": redact(shorten_place(turned.where, folder), sent)}
    parts |= {name: redact(shorten_paths(getattr(turned, name), folder), sent) for name in ("what", "hint")}
    visit = getattr(request.state, "request_id", "")
    headers = {}
    if isinstance(turned, Turned) and turned.retry_after:
        headers["retry-after"] = str(turned.retry_after)
    if is_api(request):
        if status == 401:
            headers["www-authenticate"] = "Bearer"
        return JSONResponse({"error": parts, "visit": visit}, status, headers)
    from expunge.web.render import render_error

    return await asyncio.to_thread(render_error, request, status, parts, visit, headers)


def is_api(request: Request) -> bool:
    """Whether a program asks."""
    return str(request.scope["path"]).startswith("/api/")


def redirect(request: Request, location: str) -> Response:
    """Go elsewhere; a part of a page that a script loads makes the whole page go there."""
    if request.headers.get("hx-request"):
        return Response(status_code=204, headers={"hx-redirect": location})
    return RedirectResponse(location, 303)


def as_input_error(error: Exception) -> InputError:
    """Any expected error as one line without values of the visitor."""
    if isinstance(error, InputError):
        return error
    if isinstance(error, HTTPException):
        if isinstance(error.__cause__, BodyTooLarge):
            return error.__cause__
        status = error.status_code
        what, hint = FIXED.get(status, (HTTPStatus(status).phrase.lower(), ""))
        return Turned(status, what, hint, "body" if status == 400 else "visit")
    if isinstance(error, ClientDisconnect):
        return Turned(400, "ended before it was read", "", "body")
    problems = [_problem(each) for each in getattr(error, "errors", list)()]
    return Turned(400, "; ".join(problems[:5]) or "cannot be read", "see /api/openapi.json", "input")


def _problem(error: dict[str, Any]) -> str:
    """Where a value does not fit and why; keys that a visitor made up are not told."""
    place = [str(part) for part in error["loc"] if part != "[key]"]
    if error["type"] == "extra_forbidden":
        place[-1] = GONE
    if "identifiers" in place[:-1] and (k := place.index("identifiers") + 1) and place[k] not in IDENTIFIER_KINDS:
        place[k] = GONE
    shown = ".".join(place)
    if error["type"] in ("literal_error", "enum"):
        return f"{shown}: must be {error['ctx']['expected']}"
    return f"{shown}: {KINDS.get(error['type'], 'does not fit: ' + error['type'].replace('_', ' '))}"


async def sent_values(request: Request) -> list[str]:
    """Every text that came with a request, as far as it was read."""
    values = [*request.query_params.values(), *request.query_params.keys(), *map(str, request.path_params.values())]
    values += str(request.scope["path"]).split("/")
    body = getattr(request, "_body", b"")
    form = getattr(request, "_form", None)
    if isinstance(form, FormData):
        values += [value for value in form.values() if isinstance(value, str)]
    elif body and len(body) < 2**20:
        try:
            values += leaves(json.loads(body))
        except (ValueError, RecursionError):
            values += body.decode("utf-8", "replace").split('"')
    return values


def leaves(value: Any) -> Iterator[str]:
    """All texts of a JSON value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)


def redact(text: str, sent: Iterable[str]) -> str:
    """A message without what a visitor sent: whole values, and their words; words of the desk itself stay.

    A small plain word may also be a word of the message, so it is taken out only where the message quotes it.
    """
    values = set(sent)
    words = {word for value in values for word in re.split(r"[\s=:,;]+", value)} - values
    for value in _by_length(values | {value.strip() for value in values}):
        text = _without_plain(text, value) if PLAIN.fullmatch(value) else text.replace(value, GONE)
    for word in _by_length(words):
        plain = PLAIN.fullmatch(word)
        text = _without_plain(text, word) if plain else re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", GONE, text)
    return text


def _by_length(parts: Iterable[str]) -> list[str]:
    """What may be taken out, the longest first: neither a word of the desk nor a small number."""
    words = {p for p in parts if len(p) >= SHORTEST and p not in WORDS and not (p.isdigit() and len(p) < 4)}
    return sorted(words, key=len, reverse=True)


def _without_plain(text: str, word: str) -> str:
    return re.sub(rf"([\"'/.… ]|^){re.escape(word)}([\"'=])", rf"\1{GONE}\2", text)


def log_name(method: str) -> str:
    """A method for the log: one of those that exist."""
    return method if method in METHODS else "OTHER"

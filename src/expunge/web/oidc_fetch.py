"""One request to an identity provider: https, no redirect, no proxy of the environment, bounded in time and size."""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from typing import Any

from expunge.web.oidc_refusal import OidcRefusal

TIMEOUT, DEADLINE = 5.0, 10.0  # seconds of silence, and of the whole answer
MOST = 2**18  # bytes of an answer
CHUNK = 2**14


def fetch_json(
    url: str, tls: ssl.SSLContext, *, body: str | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    """Status and JSON object of an answer.

    Args:
        url: a checked address.
        tls: whom to trust.
        body: of a form that is sent; without one the request is a GET.
        headers: further ones.

    Raises:
        OidcRefusal: nobody answers in time, with a redirect, with too much, or with no JSON object.
    """
    opener = urllib.request.OpenerDirector()  # not `build_opener`, which would follow redirects
    for handler in (urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(context=tls)):
        opener.add_handler(handler)
    data = None if body is None else body.encode()
    request = urllib.request.Request(url, data, {"accept": "application/json", **(headers or {})})
    try:
        answer = opener.open(request, timeout=TIMEOUT)
        with answer:
            status = int(answer.status)
            raw = _read(answer)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise OidcRefusal("provider", "connection") from error
    if 300 <= status < 400:
        raise OidcRefusal("provider", "redirect")
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise OidcRefusal("provider", "json" if status == 200 else "status") from error
    if not isinstance(value, dict):
        raise OidcRefusal("provider", "json")
    return status, value


def _read(answer: Any) -> bytes:
    """The whole body; `OidcRefusal` if it is too large or comes too slowly."""
    raw, end = b"", time.monotonic() + DEADLINE
    while chunk := answer.read1(CHUNK):
        raw += chunk
        if len(raw) > MOST:
            raise OidcRefusal("provider", "size")
        if time.monotonic() > end:
            raise OidcRefusal("provider", "slow")
    if answer.length:
        raise OidcRefusal("provider", "short")
    return raw

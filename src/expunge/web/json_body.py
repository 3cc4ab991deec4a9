"""JSON bodies name each key once: two programs could read a repeated one differently."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from expunge.errors import InputError


async def check_json_body(request: Request) -> None:
    """`InputError` for a body in which a key stands twice. Stands before every route of the API."""
    check_unique_keys(await request.body())


def check_unique_keys(raw: bytes) -> None:
    """`InputError` if a key stands twice in an object; what is no JSON at all is told where it is read."""
    try:
        json.loads(raw or b"null", object_pairs_hook=_once)
    except InputError:
        raise
    except (ValueError, RecursionError):
        return


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise InputError("body", "holds a key twice", "send each key once")
    return value

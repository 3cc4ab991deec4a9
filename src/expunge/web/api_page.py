"""The reference page of the API, written from its description."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from expunge.web.api_schema import STATUSES, describe_api

HEAD = """# API of the web desk

Programs call the desk under `/api/v1` with a token of a person in one role (`expunge desk token`):
`Authorization: Bearer exd_…`. The whole description, with every field, is served at `/api/openapi.json`. See
[the web desk](../guides/web-desk.md).

* Every rule is that of the desk: a token can do what its person could do in that role, and nothing else. What changes a
  state is a row of the log.
* `POST /api/v1/requests` takes an `Idempotency-Key`: the same content under the same key is the same request (status
  200 instead of 201), other content is refused (409).
* Lists have `items` and `next`; `?offset=` takes the value of `next`, `?limit=` is at most 200.
* Names, numbers and reasons go in, and never come out. Texts of records are shown on the pages alone, with a reason.
* An error is `{"error": {"where", "what", "hint"}, "visit"}`. It does not repeat what was sent; `visit` is the number
  under which the operator finds the call in the log.
"""


def api_description() -> dict[str, Any]:
    """The OpenAPI description, without a desk."""
    from expunge.web import api
    from expunge.web.app import modules, router_of

    app = FastAPI(title="expunge desk", version="1")
    for module in modules(api):
        app.include_router(router_of(module), prefix="/api/v1")
    describe_api(app)
    description: dict[str, Any] = app.openapi()
    return description


def api_page() -> str:
    """The page as Markdown."""
    return "\n".join([HEAD, *_operations(api_description()), *_statuses()])


def _operations(description: dict[str, Any]) -> Iterator[str]:
    by_tag: dict[str, list[str]] = {}
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            roles = operation["x-roles"]
            who = "everybody" if len(roles) == 7 else ", ".join(roles)
            what = " ".join(operation["description"].split()).replace("|", "\\|")
            row = f"| `{method.upper()} {path.removeprefix('/api/v1')}` | {who} | {what} |"
            by_tag.setdefault(operation["tags"][-1], []).append(row)
    for tag, rows in sorted(by_tag.items()):
        yield f"## {tag.capitalize()}\n\n| call | who | what |\n|---|---|---|"
        yield from sorted(rows, key=lambda row: row.split("`")[1].split()[::-1])
        yield ""


def _statuses() -> Iterator[str]:
    yield "## Statuses\n\n| status | means |\n|---|---|"
    yield from (f"| {status} | {what} |" for status, what in STATUSES.items())
    yield ""

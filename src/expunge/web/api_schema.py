"""The description of the API: errors as they are, who may do what, and no form of error that is never sent."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

ERROR = {
    "type": "object",
    "required": ["error", "visit"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["where", "what", "hint"],
            "properties": {name: {"type": "string"} for name in ("where", "what", "hint")},
        },
        "visit": {"type": "string", "description": "Number of the visit, for the operator's log."},
    },
}
STATUSES = {
    "400": "The input does not fit.",
    "401": "No token, or one that does not hold.",
    "403": "The role may not do this.",
    "404": "There is no such thing.",
    "409": "The state of things, a condition or a conflict stands against it.",
    "413": "The body is too large.",
    "429": "Too many requests; see Retry-After.",
    "503": "The database does not answer.",
}
SCHEME = {"type": "http", "scheme": "bearer", "description": "Token of a person in one role: `expunge desk token`."}


def describe_api(app: FastAPI) -> None:
    """Make the application describe its API with these errors."""

    def schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(get_openapi(title=app.title, version=app.version, routes=app.routes))
        return app.openapi_schema

    app.openapi = schema  # type: ignore[method-assign]


def _completed(schema: dict[str, Any]) -> dict[str, Any]:
    parts = schema.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Error"] = ERROR
    parts["securitySchemes"] = {"person": SCHEME}
    for operations in schema.get("paths", {}).values():
        for operation in operations.values():
            responses = operation["responses"]
            responses.pop("422", None)
            for status, what in STATUSES.items():
                responses.setdefault(status, _error(what))
            operation.setdefault("security", [{"person": []}])
    return schema


def _error(what: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {"description": what, "content": content}

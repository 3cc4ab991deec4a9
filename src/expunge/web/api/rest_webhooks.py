"""Messages of other privacy desks, signed as Standard Webhooks has it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request

from expunge.web.api_models import Answer
from expunge.web.context import context_of
from expunge.web.webhook_inbox import ID, SENT, SIGNATURE, RevokedMessage, SubmittedMessage, read_head, take_message

router = APIRouter(prefix="/webhooks", tags=["webhooks"])
PeerName = Annotated[str, Path(pattern=r"^[a-z][a-z0-9-]{0,39}$", description="name of the other desk")]


class WebhookReceipt(Answer):
    """Where the request of a message stands."""

    id: str
    reference: str
    status: str
    repeated: bool


async def raw_body(request: Request) -> bytes:
    """The bytes that were signed."""
    return await request.body()


def _documented() -> dict[str, Any]:
    schemas = [
        m.model_json_schema(ref_template="#/components/schemas/{model}") for m in (SubmittedMessage, RevokedMessage)
    ]
    for schema in schemas:
        definitions = schema.pop("$defs", {})
        schema["properties"]["data"] = definitions[schema["properties"]["data"]["$ref"].rpartition("/")[2]]
    headers = [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}} for name in (ID, SENT, SIGNATURE)
    ]
    body = {"required": True, "content": {"application/json": {"schema": {"oneOf": schemas}}}}
    return {"parameters": headers, "requestBody": body, "security": [], "x-roles": ["webhook"]}


@router.post("/{peer}", response_model=WebhookReceipt, openapi_extra=_documented())
def take_webhook(request: Request, peer: PeerName, body: Annotated[bytes, Depends(raw_body)]) -> dict[str, Any]:
    """Take a submission or a revocation; the same message again changes nothing."""
    return take_message(context_of(request).desk, peer, read_head(request.headers), body)

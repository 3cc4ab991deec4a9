"""What shows that a request was done: its audit, its certificate with signatures, its receipts."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from expunge.desk.certificates import certificate_view, take_signed
from expunge.desk.receipts import receipts
from expunge.desk.roles import Refusal
from expunge.desk.views import find_request
from expunge.web.api_models import Reference, Rows, action
from expunge.web.caller import caller
from expunge.web.run_files import certificate_bytes, redacted_audit
from expunge.web.visitor import Visitor

router = APIRouter(prefix="/requests/{reference}", tags=["evidence"])
Calls = Annotated[Visitor, Depends(caller)]
ENVELOPE = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}


async def envelope_bytes(request: Request) -> bytes:
    """The file as it was signed."""
    return await request.body()


@router.get("/audit", **action("read"))
def show_audit(reference: Reference, calls: Calls) -> dict[str, Any]:
    """The audit without names, questions and answers; see the reference of audit.json."""
    with calls.reading() as s:
        request_id = find_request(s, reference)
    return redacted_audit(calls.desk, calls.actor, request_id)


@router.get("/certificate", **action("read"))
def download_certificate(reference: Reference, calls: Calls) -> Response:
    """The certificate as a file, byte by byte."""
    with calls.reading() as s:
        request_id = find_request(s, reference)
    raw = certificate_bytes(calls.desk, calls.actor, request_id)
    name = f'attachment; filename="certificate-{request_id}.json"'
    return Response(raw, media_type="application/json", headers={"content-disposition": name})


@router.get("/certificate/status", **action("read"))
def show_certificate(reference: Reference, calls: Calls) -> dict[str, Any]:
    """Who signed it, and what is missing."""
    with calls.reading() as s:
        view = certificate_view(s, find_request(s, reference))
    if view is None:
        raise Refusal("certificate", "there is none yet", kind="missing")
    return view


@router.post("/certificate/signature", openapi_extra={"requestBody": ENVELOPE, **action("sign audit")["openapi_extra"]})
def take_signature(
    reference: Reference, calls: Calls, raw: Annotated[bytes, Depends(envelope_bytes)]
) -> dict[str, list[str]]:
    """Take in the file that an auditor signed elsewhere; returns the lines of its verification."""
    with calls.reading() as s:
        request_id = find_request(s, reference)
    report = take_signed(calls.desk, calls.actor, request_id, raw)
    return {"verification": [str(line) for line in report.lines]}


@router.get("/receipts", response_model=Rows, **action("read"))
def list_receipts(reference: Reference, calls: Calls) -> dict[str, Any]:
    """Signed statements about what followed the certificate."""
    with calls.reading() as s:
        return {"items": receipts(s, find_request(s, reference))}

"""The certificate of a request: a page to read and print, its verification, its files, and the auditor's signature."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Request, UploadFile
from sqlalchemy import RowMapping
from starlette.responses import Response

from expunge.audit.verdict import verdict
from expunge.desk.certificates import certificate_file, certificate_row, certificate_view, take_signed, verify_envelope
from expunge.desk.facts import latest_plan, request_row
from expunge.desk.receipts import receipts
from expunge.desk.roles import Refusal
from expunge.desk.views import find_request
from expunge.errors import InputError
from expunge.report.labels import STATUS_MARKS
from expunge.web.errors import redirect
from expunge.web.render import render
from expunge.web.run_files import certificate_bytes, receipt_bytes
from expunge.web.short_paths import shorten_paths
from expunge.web.visitor import Visitor, visitor

router = APIRouter(prefix="/certificates/{reference}")
Visits = Annotated[Visitor, Depends(visitor)]
MAX_FILE = 2**20


@router.get("")
def show_certificate(request: Request, reference: str, visits: Visits, verify: str = "") -> Response:
    """The certificate for people; with `verify`, each check of it as a line."""
    with visits.reading() as s:
        request_id = find_request(s, reference)
        row, about = request_row(s, request_id), certificate_view(s, request_id)
        plan = latest_plan(s, row["batch_id"])
        rows = receipts(s, request_id)
    stored = _row(visits, reference)
    certificate_bytes(visits.desk, visits.actor, request_id)  # refused, if the file is not the registered one
    file = certificate_file(visits.desk, stored)
    values: dict[str, Any] = {"statement": None, "plain": None, "lines": [], "is_valid": None}
    if stored["is_signed"]:
        from expunge.evidence.verification import read_certificate

        envelope, statement = read_certificate(file)
        values |= {"statement": statement, "verdict": verdict(statement.audit.results, statement.audit.policy)}
        if verify:
            report = verify_envelope(visits.desk, stored, envelope)
            lines = [replace(line, text=shorten_paths(line.text, visits.desk.folder)) for line in report.lines]
            values |= {"lines": lines, "is_valid": report.is_valid}
    else:
        values["plain"] = _plain(file)
    return render(
        request,
        "certificate.html",
        reference=row["reference"],
        about=about,
        row=row,
        plan=plan,
        receipts=rows,
        marks=STATUS_MARKS,
        **values,
    )


@router.get("/file")
def download(request: Request, reference: str, visits: Visits) -> Response:
    """The file of the certificate, byte by byte."""
    stored = _row(visits, reference)
    raw = certificate_bytes(visits.desk, visits.actor, stored["request_id"])
    return _file(raw, f"certificate-{Path(stored['path']).stem}.json")


@router.get("/receipts/{kind}")
def download_receipt(request: Request, reference: str, kind: str, visits: Visits) -> Response:
    """The file of a receipt."""
    with visits.reading() as s:
        request_id = find_request(s, reference)
        name = request_row(s, request_id)["reference"]
    return _file(receipt_bytes(visits.desk, visits.actor, request_id, kind), f"receipt-{name}.{kind}.json")


@router.post("/signed")
def take_signature(request: Request, reference: str, visits: Visits, signed: Annotated[UploadFile, File()]) -> Response:
    """The auditor brings the file that they signed elsewhere."""
    raw = signed.file.read(MAX_FILE + 1)
    if len(raw) > MAX_FILE:
        raise InputError("certificate", "is larger than 1 MiB", "give the file that expunge certificate sign wrote")
    with visits.reading() as s:
        request_id = find_request(s, reference)
    take_signed(visits.desk, visits.actor, request_id, raw)
    return redirect(request, f"/certificates/{reference}?verify=yes")


def _row(visits: Visitor, reference: str) -> RowMapping:
    with visits.reading() as s:
        stored = certificate_row(s, find_request(s, reference))
    if stored is None:
        raise Refusal("certificate", "the request has none yet", "it is made when its audit has passed", kind="missing")
    return stored


def _plain(file: Path) -> dict[str, Any]:
    from expunge._io import read_object

    return read_object(file, "an operator restores it")


def _file(raw: bytes, name: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(raw, media_type="application/json", headers=headers)

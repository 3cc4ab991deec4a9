"""`expunge request certificate` and `sign`: the certificate of a request, and the auditor's signature under it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.desk_options import DeskFolder, Person, Reference, acting, open_desk
from expunge.cli.passphrase import open_key
from expunge.cli.result import CommandResult
from expunge.errors import InputError
from expunge.evidence.libraries import require


def certificate(
    reference: Reference,
    desk: DeskFolder,
    person: Person,
    out: Annotated[Path | None, typer.Option("--out", help="Copy it to this file, to be read or signed there.")] = None,
) -> CommandResult:
    """Show who signed the certificate of a request; with --out, copy it."""
    opened = open_desk(desk)
    from expunge._io import write_atomic
    from expunge.desk import service

    with opened.reading(acting(opened, person, service.PEOPLE)) as s:
        request_id = service.find_request(s, reference)
        view, row = service.certificate_view(s, request_id), service.certificate_row(s, request_id)
        written = service.receipts(s, request_id)
    if view is None or row is None:
        raise service.Refusal("certificate", "the request has none yet", kind="missing")
    file = service.certificate_file(opened, row)
    if out is not None:
        if out.exists():
            raise InputError(str(out), "is there already, and may be signed", "choose another file")
        write_atomic(out, file.read_bytes(), private=True)
    signed = view["signature"] or f"signed by {' and '.join(view['signed_by'])}"
    lines = [f"{out or file}: certificate {view['digest']}", signed, *([view["missing"]] if view["missing"] else [])]
    lines += [f"receipt: {each['kind']} {each['digest']}" for each in written]
    return CommandResult({**view, "file": file, "receipts": written}, tuple(lines))


def sign(
    reference: Reference,
    desk: DeskFolder,
    person: Person,
    key: Annotated[Path | None, typer.Option("--key", help="The auditor's private key.")] = None,
    passphrase_file: Annotated[
        Path | None, typer.Option("--passphrase-file", metavar="FILE", help="As for `expunge key make`.")
    ] = None,
    signed: Annotated[
        Path | None, typer.Option("--signed", help="The certificate as it was signed elsewhere, in place of --key.")
    ] = None,
) -> CommandResult:
    """Sign the certificate of a request as its auditor, or bring in one that was signed elsewhere."""
    require()
    opened = open_desk(desk)
    from expunge.desk import service
    from expunge.evidence.envelope import read_file

    if (key is None) == (signed is None):
        raise InputError("--key", "and --signed exclude each other, and one is needed", "give one of them")
    actor = acting(opened, person, ["auditor"])
    with opened.reading(actor) as s:
        request_id = service.find_request(s, reference)
    if key is not None:
        report = service.sign_certificate(opened, actor, request_id, open_key(key, "auditor", passphrase_file))
    else:
        report = service.take_signed(opened, actor, request_id, read_file(str(signed)))
    data = {"valid": report.is_valid, "checks": [vars(line) for line in report.lines]}
    return CommandResult(data, (*map(str, report.lines), f"{reference}: signed by operator and auditor"))

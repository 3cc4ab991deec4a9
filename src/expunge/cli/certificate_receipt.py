"""`expunge certificate receipt` and `bundle`: later statements about a certificate, and what each reader is given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from expunge._printable import pluralize
from expunge.cli.passphrase import open_key
from expunge.cli.result import CommandResult
from expunge.errors import InputError
from expunge.evidence.libraries import require

Kind = Literal["promotion", "purge", "notification", "supersession"]
KeyOption = Annotated[Path | None, typer.Option("--auditor-key", help="Private key of the auditor; or sign later.")]


def receipt(
    certificate: Annotated[Path, typer.Argument(help="The certificate that it is about.")],
    kind: Annotated[Kind, typer.Option("--kind", help="What happened.")],
    facts: Annotated[Path, typer.Option("--facts", help="YAML file with the fields of this kind; see the docs.")],
    out: Annotated[Path, typer.Option("--out", help="File for the receipt.")],
    operator_key: Annotated[
        Path | None, typer.Option("--operator-key", help="Private key of the operator; this, or --auditor-key.")
    ] = None,
    auditor_key: KeyOption = None,
    operator_passphrase_file: Annotated[
        Path | None, typer.Option("--operator-passphrase-file", metavar="FILE", help="As for `expunge key make`.")
    ] = None,
    auditor_passphrase_file: Annotated[
        Path | None, typer.Option("--auditor-passphrase-file", metavar="FILE", help="As for `expunge key make`.")
    ] = None,
) -> CommandResult:
    """State what happened after a certificate: promotion, purge, notification, or that it no longer holds."""
    require()
    from expunge._text_file import read_text
    from expunge._validation import validate
    from expunge._yaml import load_yaml
    from expunge.evidence.envelope import save_envelope
    from expunge.evidence.moments import format_moment, present
    from expunge.evidence.receipts import RECEIPTS, make_receipt
    from expunge.evidence.verification import read_certificate

    if not (operator_key or auditor_key):
        raise InputError("--operator-key", "is missing, and so is --auditor-key", "give one of them, or both")
    envelope, predicate = read_certificate(certificate)
    fields = load_yaml(read_text(facts, most=2**20), str(facts))
    known = {"certificate": envelope.digest, "request": predicate.request.id}
    if clash := sorted(set(fields) & set(known)):
        raise InputError(f"{facts}: {clash[0]}", "comes from the certificate", "leave it out")
    statement = validate(RECEIPTS[kind], {"at": format_moment(present()), **fields, **known}, str(facts))
    if out.exists():
        raise InputError(str(out), "is there already, and may be signed", "choose another file")
    keys = []
    if operator_key:
        keys.append(open_key(operator_key, "operator", operator_passphrase_file, "--operator-passphrase-file"))
    if auditor_key:
        keys.append(open_key(auditor_key, "auditor", auditor_passphrase_file, "--auditor-passphrase-file"))
    signed = make_receipt(statement).signed_by(*keys)
    save_envelope(signed, out)
    data = {"out": out, "kind": kind, "digest": signed.digest, "signatures": len(signed.signatures)}
    count = pluralize(len(signed.signatures), "signature")
    return CommandResult(data, (f"{out}: {kind} of {envelope.digest}, {count}",))


def bundle(
    reader: Annotated[Literal["person", "auditor"], typer.Option("--for", help="Who is given it.")],
    out: Annotated[Path, typer.Option("--out", help="New folder.")],
    certificate: Annotated[Path | None, typer.Option("--certificate", help="For the auditor.")] = None,
    run: Annotated[Path | None, typer.Option("--run", help="For the auditor: folder of the run.")] = None,
    audit: Annotated[Path | None, typer.Option("--audit", help="For the auditor: the full audit.")] = None,
    log: Annotated[Path | None, typer.Option("--log", help="For the auditor: folder of the log.")] = None,
    summary: Annotated[Path | None, typer.Option("--summary", help="For the person: the signed copy.")] = None,
    letter: Annotated[Path | None, typer.Option("--letter", help="For the person: the letter.")] = None,
    inclusion: Annotated[Path | None, typer.Option("--inclusion", help="For the person: the inclusion proof.")] = None,
) -> CommandResult:
    """Put together what a reader is given: nothing of others for the person, everything for the auditor."""
    require()
    from expunge.audit.schema import find_audit
    from expunge.evidence.bundles import auditor_bundle, person_bundle

    if reader == "person":
        if summary is None:
            raise InputError("--summary", "the person is given the signed copy", "give --summary")
        person_bundle(out, summary, letter, inclusion)
    else:
        if certificate is None or run is None or audit is None:
            raise InputError(
                "--certificate", "the auditor is given everything", "give --certificate, --run and --audit"
            )
        auditor_bundle(out, certificate, run, find_audit(audit), log)
    files = sorted(file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file())
    return CommandResult({"out": out, "files": files}, (f"{out}: {pluralize(len(files), 'file')} for the {reader}",))

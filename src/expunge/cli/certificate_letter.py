"""`expunge certificate letter`: the letter to the person, from a certificate and the facts of the controller."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from expunge.cli.result import CommandResult
from expunge.errors import InputError
from expunge.evidence.libraries import require


def letter(
    certificate: Annotated[Path, typer.Argument(help="File of the certificate.")],
    facts: Annotated[Path, typer.Option("--facts", help="YAML file: who writes, what became of each asset.")],
    language: Annotated[Literal["en", "de", "fr"], typer.Option("--language", help="Language of the person.")] = "en",
    out: Annotated[Path | None, typer.Option("--out", help="File for the letter: .txt or .html; else shown.")] = None,
    trust: Annotated[
        Path | None, typer.Option("--trust", help="Trust file; a certificate that is not valid gets no letter.")
    ] = None,
    log: Annotated[
        Path | None, typer.Option("--log", help="Folder of the log: a certificate that was superseded gets no letter.")
    ] = None,
    proof: Annotated[Path | None, typer.Option("--inclusion", help="Inclusion proof of the certificate.")] = None,
    head: Annotated[Path | None, typer.Option("--head", help="A signed head that was kept elsewhere.")] = None,
    receipt: Annotated[list[Path] | None, typer.Option("--receipt", help="A later statement; repeatable.")] = None,
) -> CommandResult:
    """Write the letter to the person, in plain words."""
    require()
    from expunge._io import write_atomic
    from expunge.evidence.letter import load_facts, write_letter
    from expunge.evidence.log_checks import load_log_evidence
    from expunge.evidence.trust import load_trust
    from expunge.evidence.verification import VerificationInputs, read_certificate, verify_file

    form: Literal["txt", "html"] = "html" if out is not None and out.suffix.lower() in (".html", ".htm") else "txt"
    if out is not None and form == "txt" and out.suffix.lower() != ".txt":
        raise InputError(str(out), "is neither .txt nor .html", "name the file letter.html or letter.txt")
    evidence = {"--log": log, "--inclusion": proof, "--head": head, "--receipt": receipt}
    if trust is None and (alone := next((name for name, value in evidence.items() if value), None)):
        raise InputError(alone, "says nothing without a trust file", "give --trust")
    if trust is not None:
        inputs = VerificationInputs(log=load_log_evidence(log, head, proof), receipts=receipt or ())
        report = verify_file(certificate, load_trust(trust), inputs).report
        if not report.is_valid:
            lines = [str(line) for line in report.lines if line.outcome == "invalid"]
            return CommandResult({"valid": False, "problems": lines}, (*lines, "no letter was written"), 3)
    _, predicate = read_certificate(certificate)
    text = write_letter(predicate, load_facts(facts), language, form)
    data = {"out": out, "language": language, "request": predicate.request.id}
    unchecked = () if trust else ("the certificate was not verified: give --trust",)
    if out is None:
        return CommandResult({**data, "text": text}, (*text.rstrip("\n").split("\n"), *unchecked))
    write_atomic(out, text, private=True)
    return CommandResult(data, (f"{out}: letter about {predicate.request.id}", *unchecked))

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
) -> CommandResult:
    """Write the letter to the person, in plain words."""
    require()
    from expunge._io import write_atomic
    from expunge.evidence.letter import load_facts, write_letter
    from expunge.evidence.trust import load_trust
    from expunge.evidence.verification import read_certificate, verify_file

    form: Literal["txt", "html"] = "html" if out is not None and out.suffix.lower() in (".html", ".htm") else "txt"
    if out is not None and form == "txt" and out.suffix.lower() != ".txt":
        raise InputError(str(out), "is neither .txt nor .html", "name the file letter.html or letter.txt")
    if trust is not None:
        report = verify_file(certificate, load_trust(trust)).report
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

"""`expunge report`: write `audit.json` as one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.result import CommandResult


def report(
    source: Annotated[Path, typer.Argument(help="audit.json, or the folder of an audit or a demo.")],
    out: Annotated[Path, typer.Option("--out", help="HTML file to write.")],
    run: Annotated[Path | None, typer.Option("--run", help="Folder of the audited run, for its curves.")] = None,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who makes the report; stands on the page.")] = "",
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for example an erasure request.")] = "",
    reference_number: Annotated[
        str, typer.Option("--reference-number", metavar="TEXT", help="Number of the request.")
    ] = "",
    redact: Annotated[
        bool, typer.Option("--redact", help="Leave out names and answers; the audit without them is written beside.")
    ] = False,
) -> CommandResult:
    """Write an audit as one HTML page."""
    from expunge.report.page_facts import ReportRequest
    from expunge.report.render import write_report

    request = ReportRequest(by, reason, reference_number)
    page = write_report(source, out, run, request, redacted=redact)
    copy = page.with_suffix(".json") if redact else None
    lines = [f"report written to {page}"]
    lines.append(
        f"without names and answers, as is {copy}, from which the verdict can be computed again"
        if redact
        else "it holds personal data; --redact writes it without names and answers"
    )
    return CommandResult({"report": page, "audit": source, "redacted_audit": copy}, tuple(lines))

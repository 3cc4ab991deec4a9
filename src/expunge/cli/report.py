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
) -> CommandResult:
    """Write an audit as one HTML page."""
    from expunge.report.page_facts import ReportRequest
    from expunge.report.render import write_report

    page = write_report(source, out, run, ReportRequest(by, reason, reference_number))
    return CommandResult({"report": page, "audit": source}, (f"report written to {page}",))

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
) -> CommandResult:
    """Write an audit as one HTML page."""
    from expunge.report.render import write_report

    page = write_report(source, out, run)
    return CommandResult({"report": page, "audit": source}, (f"report written to {page}",))

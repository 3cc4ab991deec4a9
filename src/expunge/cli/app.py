"""The tree of commands: every noun of `expunge`, in the order of the work."""

from __future__ import annotations

from typing import Annotated

import typer

from expunge.cli.annotate import annotate
from expunge.cli.attack import reconstruct
from expunge.cli.audit import audit
from expunge.cli.bench import listing as bench_list
from expunge.cli.bench import report as bench_report
from expunge.cli.bench import run as bench_run
from expunge.cli.concepts import build, levels
from expunge.cli.data import check, export, identifiers
from expunge.cli.data_generate import generate
from expunge.cli.demo import demo
from expunge.cli.doctor import doctor
from expunge.cli.estimate import estimate
from expunge.cli.list_registry import listing
from expunge.cli.options import add
from expunge.cli.report import report
from expunge.cli.train import train
from expunge.cli.unlearn import unlearn

app = typer.Typer(add_completion=False)
data = typer.Typer(help="Generate, check and export records.")
concepts = typer.Typer(help="Say which words mean what, on four levels.")
attack = typer.Typer(help="Run one attack of the audit by itself.")
bench = typer.Typer(help="Compare methods in experiments.")


def _version(wanted: bool) -> None:
    if wanted:
        from expunge import __version__

        typer.echo(f"expunge {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Make a language model forget a person, and show the evidence."""


add(app, "demo", demo)
add(app, "train", train)
add(app, "estimate", estimate)
add(app, "unlearn", unlearn)
add(app, "audit", audit)
app.add_typer(attack, name="attack")
add(attack, "reconstruct", reconstruct)
add(app, "report", report)
add(app, "list", listing)
add(app, "doctor", doctor)
app.add_typer(data, name="data")
add(data, "generate", generate)
add(data, "check", check)
add(data, "identifiers", identifiers)
add(data, "export", export)
app.add_typer(concepts, name="concepts")
add(concepts, "build", build)
add(concepts, "levels", levels)
add(concepts, "annotate", annotate)
app.add_typer(bench, name="bench")
add(bench, "list", bench_list)
add(bench, "run", bench_run)
add(bench, "report", bench_report)

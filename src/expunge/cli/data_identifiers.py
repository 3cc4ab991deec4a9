"""`expunge data identifiers`: the strings that name each subject, as a table for a person to review."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expunge._printable import pluralize
from expunge.cli.options import Loader, Mapping, check_is_no_folder
from expunge.cli.result import CommandResult, ResultTable
from expunge.errors import InputError


def identifiers(
    source: Annotated[Path | None, typer.Argument(help="Records, if not named by --data.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Records: a file or a folder.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="CSV file for the table, to be reviewed.")] = None,
    most: Annotated[
        float, typer.Option(help="A phrase must occur in more than this share of a subject's prompts.", min=0, max=1)
    ] = 0.5,
    loader: Loader = None,
    map_: Mapping = None,
) -> CommandResult:
    """Show the strings that name each subject, and propose some for records that carry none."""
    from expunge._io import write_atomic
    from expunge.corpus import load_corpus
    from expunge.corpus.prepare import IdentifierTable

    records = data or source
    if records is None or (data and source):
        raise InputError("--data", "name the records once", "give --data FILE")
    check_is_no_folder(out, "identifiers.csv")
    if out is not None and out.exists():
        raise InputError(str(out), "is there already", "a reviewed table is never overwritten; name another file")
    corpus = load_corpus(records, loader, map_)
    table = IdentifierTable.of(corpus, most)
    subjects = {r.subject for r in corpus}
    if out is not None:
        write_atomic(out, table.csv(), private=True)
    written = [f"written to {out}; review it and give it to expunge data prepare as --identifiers"] if out else []
    return CommandResult(
        {
            "subjects": {name: list(phrases) for name, phrases in table.by_subject.items()},
            "without": len(subjects - set(table.by_subject)),
            "out": out,
        },
        (
            ResultTable(
                ("subject", "identifier", "records", "source"),
                [(row.subject, row.identifier, row.records, row.source) for row in table.rows],
            ),
            f"{len(table.by_subject):,} of {pluralize(len(subjects), 'subject')} with a string of their own",
            *written,
        ),
    )

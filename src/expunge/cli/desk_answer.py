"""`expunge request extend` and `letters`: when a person is answered, and that it went out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.desk_options import DeskFolder, Person, ReasonFile, Reference, acting, open_desk, read_reason
from expunge.cli.result import CommandResult, ResultTable
from expunge.errors import InputError


def extend(reference: Reference, desk: DeskFolder, person: Person, reason_file: ReasonFile = None) -> CommandResult:
    """Put the answer off, as the policy allows. The person reads the reason in a letter."""
    opened = open_desk(desk)
    from expunge.desk import service

    with opened.session(acting(opened, person, ["reviewer"])) as s:
        until = service.extend(s, service.find_request(s, reference), read_reason(reason_file))
    return CommandResult({"until": until}, (f"put off until {until}; this holds once its letter went out",))


def letters(
    desk: DeskFolder,
    person: Person,
    posted: Annotated[str | None, typer.Option(help="Id of a letter that went out.")] = None,
    on: Annotated[str | None, typer.Option("--on", help="Day on which it was posted, if not today.")] = None,
    read: Annotated[str | None, typer.Option(help="Id of a letter to write into --out.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="File for the page, for example letter.html.")] = None,
) -> CommandResult:
    """List letters that are to go out; with --read, write one into a file; with --posted, note that one went out."""
    opened = open_desk(desk)
    from expunge._io import write_atomic
    from expunge.desk import service

    if (read is None) != (out is None):
        raise InputError("--read", "goes with --out", "give both, or neither")
    if on and not posted:
        raise InputError("--on", "is the day of a letter that went out", "give --posted, too")
    if read and out:
        reader = acting(opened, person, service.MAY["read letter"])
        write_atomic(out, service.read_letter(opened, reader, read), private=True)
        return CommandResult({"out": out, "letter": read}, (f"{out}: letter {read}",))
    actor = acting(opened, person, ["clerk"] if posted else service.PEOPLE)
    if posted:
        with opened.session(actor) as s:
            service.accept_letter(s, posted, posted_on=on or "")
    with opened.reading(actor) as s:
        rows = [{**row, "text": row["body_digest"] is not None} for row in service.pending_letters(s)]
    columns = ("id", "request_id", "template", "at", "text", "problem")
    table = ResultTable(columns, [["" if row[name] is None else row[name] for name in columns] for row in rows])
    return CommandResult({"letters": rows}, (table if rows else "no letters wait",))

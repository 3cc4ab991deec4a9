"""`expunge certificate disclose`: show one holder that a record is in a committed set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from expunge.cli.result import CommandResult
from expunge.errors import InputError, nearest_few
from expunge.evidence.libraries import require


def disclose(
    run: Annotated[Path, typer.Option("--run", help="Folder of the run.")],
    data: Annotated[Path, typer.Option("--data", help="Records of the run.")],
    record_key: Annotated[Path, typer.Option("--record-key", help="Key of the request.")],
    record: Annotated[str, typer.Option("--record", help="Id of the record.")],
    out: Annotated[Path, typer.Option("--out", help="File for the disclosure. It holds the record and the key.")],
    name: Annotated[
        Literal["forget", "retain", "holdout"], typer.Option("--set", help="The set that the record is in.")
    ] = "forget",
) -> CommandResult:
    """Write what shows that a record is in a committed set, for whoever may see the record."""
    require()
    from expunge._io import write_json
    from expunge.cli.committed_records import record_sets
    from expunge.evidence import commitment

    records = record_sets(run, data)[name]
    by_id = {str(fields["id"]): fields for fields in records}
    if record not in by_id:
        raise InputError("--record", f"there is no such record in the {name} set", nearest_few(record, by_id))
    shown = commitment.disclose(commitment.load_record_key(record_key), name, records, by_id[record])
    write_json(out, shown.model_dump(mode="json"), private=True)
    lines = (f"{out}: disclosure of a record of the {name} set (mode 0600: it holds the record and the key)",)
    return CommandResult({"out": out, "set": name, "index": shown.index}, lines)

"""Reader of `events.jsonl`, a line per step of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, FiniteFloat

from expunge._config import FileModel
from expunge._io import parse_json
from expunge._validation import validate
from expunge.errors import InputError

EVENTS = "events.jsonl"
CHANGED = "the file was changed after it was written; restore it, or remove the folder of the run and start over"


class EventLine(FileModel):
    """One line of `events.jsonl`: the fields of `Event`, null where a number was not computed."""

    step: int = Field(ge=0)
    phase: int = Field(0, ge=0)
    forget: FiniteFloat | None = None
    retain: FiniteFloat | None = None
    norm: FiniteFloat | None = None
    lr_factor: FiniteFloat | None = None
    seconds: FiniteFloat | None = None
    drift: FiniteFloat | None = None
    memory: int = Field(0, ge=0)
    cosine: FiniteFloat | None = None
    probe: FiniteFloat | None = None


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of an `events.jsonl`, none where there is no file. A last line that a kill cut short is left out.

    Raises:
        InputError: another line is no event; with its number.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(str(path), f"could not be read ({error.strerror or error})", CHANGED) from error
    for number, line in enumerate(raw.split(b"\n")[:-1], 1):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise InputError(f"{path}:{number}", "is not UTF-8 text", CHANGED) from error
        row: dict[str, Any] = parse_json(text, str(path), CHANGED, number)
        validate(EventLine, row, f"{path}:{number}", CHANGED)
        yield row

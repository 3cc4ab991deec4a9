"""The extra column `record` of tables that we write in other layouts: what such a layout has no column for.

One JSON list per row with one object per question, in the order of the questions, so that an export is read back
without loss. Surprising: prompt, answer and picture are not in it. They stand in the columns of the layout, and who
edits them there has edited the record.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from expunge._io import canonical
from expunge.corpus.loaders.base import SourceRow
from expunge.corpus.record import Record
from expunge.errors import InputError

COLUMN = "record"
ELSEWHERE = ("prompt", "answer", "image")


def write(records: Sequence[Record]) -> str:
    """The text of the column for the records of one row."""
    return canonical([{k: v for k, v in r.as_row().items() if k not in ELSEWHERE} for r in records]).decode()


def read(row: SourceRow, questions: int) -> list[dict[str, Any] | None]:
    """What a row says of each of its questions; None each for a table that somebody else wrote."""
    value = row.values.get(COLUMN)
    if value is None:
        return [None] * questions
    try:
        found = json.loads(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(row.where, f'"{COLUMN}" is not JSON', "restore it, or drop the column") from error
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise InputError(row.where, f'"{COLUMN}" must be a list of objects', "restore it, or drop the column")
    if len(found) != questions:
        raise InputError(
            row.where,
            f'"{COLUMN}" describes {len(found)} questions, the row holds {questions}',
            "restore the row, or drop the column",
        )
    return list(found)

"""The extra column `record` of exported tables: the fields of a record that the other layout has no column for.

One JSON list per row with one object per question, in the order of the questions, so that an export is read back
without loss. Prompt, answer and picture are not in it: edits of these columns of the layout count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from expunge._io import canonical, load_json
from expunge._printable import pluralize
from expunge.corpus.loaders.base import SourceRow
from expunge.corpus.record import Record
from expunge.errors import InputError

COLUMN = "record"
ELSEWHERE = ("prompt", "answer", "image")


def write(records: Sequence[Record]) -> str:
    """The text of the column for the records of one row."""
    return canonical([{k: v for k, v in r.as_row().items() if k not in ELSEWHERE} for r in records]).decode()


def read(row: SourceRow, questions: int) -> list[dict[str, Any] | None]:
    """The fields of each question of a row; None each for a table without the column."""
    value = row.values.get(COLUMN)
    if value is None:
        return [None] * questions
    try:
        items = load_json(value)
    except (TypeError, ValueError) as error:
        raise InputError(row.where, f'"{COLUMN}" is not JSON', "restore it, or drop the column") from error
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InputError(row.where, f'"{COLUMN}" must be a list of objects', "restore it, or drop the column")
    if len(items) != questions:
        what = f'"{COLUMN}" describes {pluralize(len(items), "question")}, the row holds {questions}'
        raise InputError(row.where, what, "restore the row, or drop the column")
    return list(items)

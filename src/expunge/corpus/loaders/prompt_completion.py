"""Conversational prompt and completion, as TRL writes them: both are lists of turns, and the completion is learnt.

Prompt and completion as plain texts need no loader: the columns are read by their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from expunge.corpus.loaders import conversation
from expunge.corpus.loaders.any_table import layout_loader
from expunge.corpus.loaders.base import LOADERS, RowLayout, SkippedRows, SourceRow
from expunge.corpus.loaders.conversation import SAME_ROLES, SpokenTurn
from expunge.corpus.loaders.field_types import text

COLUMNS = ("prompt", "completion")


def rows(row: SourceRow, skipped: SkippedRows) -> Iterator[SourceRow]:
    """The answers of the completion; a row of plain texts is passed on."""
    values = row.values
    if not any(_is_turns(values.get(name)) for name in COLUMNS) or not set(COLUMNS) <= set(values):
        yield row
        return
    before, after = (
        _turns(values, name, role, row.where) for name, role in zip(COLUMNS, ("user", "assistant"), strict=True)
    )
    rest = {name: value for name, value in values.items() if name not in COLUMNS}
    yield from conversation.rows(row, [*before, *after], rest, skipped, learn_from=len(before))


def _turns(values: Mapping[str, Any], column: str, role: str, where: str) -> list[SpokenTurn]:
    if isinstance(values[column], str):
        return [SpokenTurn(role, text(values, column, where))]
    return conversation.turns(values[column], where, column, ("role", "content"), SAME_ROLES)


def _is_turns(value: Any) -> bool:
    return isinstance(value, list) and (not value or isinstance(value[0], Mapping))


def _fits(values: Mapping[str, Any]) -> bool:
    return set(COLUMNS) <= set(values) and any(_is_turns(values[name]) for name in COLUMNS)


LOADERS.add("prompt-completion", layout_loader(RowLayout(_fits, rows, frozenset(COLUMNS))))

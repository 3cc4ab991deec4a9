"""Chats as OpenAI and TRL write them: `{"messages": [{"role": "user", "content": "…"}, …]}`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from expunge.corpus.loaders import conversation
from expunge.corpus.loaders.any_table import layout_loader
from expunge.corpus.loaders.base import LOADERS, RowLayout, SkippedRows, SourceRow

COLUMNS = ("messages", "conversation")


def rows(row: SourceRow, skipped: SkippedRows) -> Iterator[SourceRow]:
    """The answers of the chat; a row without one is passed on."""
    column = next((name for name in COLUMNS if name in row.values), None)
    if column is None:
        yield row
        return
    spoken = conversation.turns(row.values[column], row.where, column, ("role", "content"), conversation.SAME_ROLES)
    rest = {name: value for name, value in row.values.items() if name != column}
    yield from conversation.rows(row, spoken, rest, skipped)


def _fits(values: Mapping[str, Any]) -> bool:
    chat = values.get("conversation")
    return "messages" in values or (isinstance(chat, list) and bool(chat) and "role" in chat[0])


LOADERS.add("messages", layout_loader(RowLayout(_fits, rows, frozenset(COLUMNS))))

"""Chats as ShareGPT writes them: `{"conversations": [{"from": "human", "value": "…"}, …]}`, perhaps with `system`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from expunge.corpus.loaders import conversation
from expunge.corpus.loaders.any_table import layout_loader
from expunge.corpus.loaders.base import LOADERS, RowLayout, SkippedRows, SourceRow
from expunge.corpus.loaders.conversation import SpokenTurn

COLUMN = "conversations"
ROLES: Mapping[str, str] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "system": "system",
    "tool": "tool",
    "observation": "tool",
}


def rows(row: SourceRow, skipped: SkippedRows) -> Iterator[SourceRow]:
    """The answers of the chat; a row without one is passed on."""
    if COLUMN not in row.values:
        yield row
        return
    chat = row.values[COLUMN]
    named = isinstance(chat, list) and bool(chat) and isinstance(chat[0], Mapping) and "role" in chat[0]
    keys = ("role", "content") if named else ("from", "value")
    spoken = conversation.turns(chat, row.where, COLUMN, keys, {**conversation.SAME_ROLES, **ROLES})
    rest = {name: value for name, value in row.values.items() if name != COLUMN}
    if isinstance(rest.get("system"), str) and spoken[0].role != "system":
        system = rest.pop("system")
        spoken = [SpokenTurn("system", system), *spoken] if system else spoken
    yield from conversation.rows(row, spoken, rest, skipped)


def _fits(values: Mapping[str, Any]) -> bool:
    return COLUMN in values


LOADERS.add("sharegpt", layout_loader(RowLayout(_fits, rows, frozenset((COLUMN, "system")))))

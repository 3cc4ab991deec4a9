"""Instructions as Alpaca writes them: `instruction`, `input` (may be empty) and `output`; perhaps `system`, `history`.

Instruction and input become one prompt, with a blank line between them. `history` are earlier pairs of question and
answer, as LLaMA-Factory writes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from expunge.corpus.loaders.any_table import layout_loader
from expunge.corpus.loaders.base import LOADERS, RowLayout, SkippedRows, SourceRow
from expunge.corpus.loaders.field_types import any_list, text
from expunge.errors import InputError

INPUTS = ("input", "context")
OUTPUTS = ("output", "response", "completion")
COLUMNS = ("instruction", *INPUTS, *OUTPUTS, "system")


def rows(row: SourceRow, skipped: SkippedRows) -> Iterator[SourceRow]:
    """One row; one without an instruction is passed on."""
    values = {name: value for name, value in row.values.items() if value is not None}
    if "instruction" not in values or "prompt" in values:
        yield row
        return
    context = next((name for name in INPUTS if name in values), None)
    output = next((name for name in OUTPUTS if name in values), None)
    parts = [text(values, name, row.where) for name in ("instruction", context) if name]
    history = _history(values, row.where)
    if values.get("system"):
        history = [{"role": "system", "content": text(values, "system", row.where)}, *history]
    used = ("instruction", context, output, "system", "history")
    yield row.with_values(
        {
            "history": history or None,
            "prompt": "\n\n".join(part for part in parts if part.strip()),
            "answer": values.get(output) if output else None,
            **{name: value for name, value in row.values.items() if name not in used},
        }
    )


def _history(values: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """The turns of earlier pairs (or turns as they are)."""
    turns: list[dict[str, Any]] = []
    for item in any_list(values.get("history") or [], "history", where):
        if isinstance(item, Mapping):
            turns.append(dict(item))
        elif isinstance(item, list) and len(item) == 2:
            turns += [{"role": role, "content": said} for role, said in zip(("user", "assistant"), item, strict=True)]
        else:
            raise InputError(where, '"history" must hold pairs', 'write [["question", "answer"], …]')
    return turns


def _fits(values: Mapping[str, Any]) -> bool:
    return (
        "instruction" in values and any(name in values for name in OUTPUTS) and not {"prompt", "answer"} & set(values)
    )


LOADERS.add("alpaca", layout_loader(RowLayout(_fits, rows, frozenset(COLUMNS))))

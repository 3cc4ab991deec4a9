"""What a command gives back: data for machines, a table for people, an exit code. The shell prints one of the two."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from expunge._printable import visible

if TYPE_CHECKING:
    from rich.text import Text


@dataclass(frozen=True)
class ResultTable:
    """Rows of cells under `columns`; a cell that is a number is set right, None is a dash."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    title: str = ""


@dataclass(frozen=True)
class HighlightedText:
    """A text in two forms: with marks for a pipe, colored for a terminal."""

    plain: str
    colored: Callable[[], Text]


@dataclass(frozen=True)
class CommandResult:
    """`data` is the one object of `--json`; `parts` are lines of text and tables in reading order."""

    data: dict[str, Any]
    parts: tuple[str | ResultTable | HighlightedText, ...] = ()
    exit_code: int = 0

    def as_json(self) -> str:
        """The object as text: plain ASCII, and null for a number that does not exist."""
        return json.dumps(_plain(self.data), indent=2, allow_nan=False)

    def show(self, stream: TextIO) -> None:
        """Print for people; a pipe gets enough width that no cell is cut."""
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text

        console = Console(file=stream, width=None if stream.isatty() else 160, highlight=False)
        for part in self.parts:
            if isinstance(part, HighlightedText):
                console.print(
                    part.colored() if stream.isatty() else Text(visible(part.plain)), soft_wrap=not stream.isatty()
                )
                continue
            if isinstance(part, str):
                console.print(Text(visible(part)), soft_wrap=True)
                continue
            table = RichTable(
                title=visible(part.title) or None,
                title_justify="left",
                header_style="bold",
                box=None,
                pad_edge=False,
                padding=(0, 3, 0, 0),
            )
            numeric = [
                all(isinstance(row[k], int | float | None) for row in part.rows) and bool(part.rows)
                for k in range(len(part.columns))
            ]
            for name, right in zip(part.columns, numeric, strict=True):
                table.add_column(name, justify="right" if right else "left", overflow="fold")
            for row in part.rows:
                table.add_row(*(Text(visible(cell(value))) for value in row))
            console.print(table)


def cell(value: Any) -> str:
    """A value as people read it: three decimals, thousands set apart, – for what does not exist."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value

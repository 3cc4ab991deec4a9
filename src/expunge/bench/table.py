"""Tables of results as plain text and as Markdown, and the values that their cells show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def plain(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns side by side, the first to the left and the others to the right."""
    lines = [list(heads), *map(list, rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if k == 0 else cell.rjust(w) for k, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are set to the right."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def matches(results: Any, path: str) -> list[tuple[tuple[str, ...], Any]]:
    """What stands at `path` (keys joined by `/`) in nested mappings, with the keys that each `*` took."""
    hits: list[tuple[tuple[str, ...], Any]] = [((), results)]
    for key in path.split("/"):
        hits = [
            ((*names, name) if key == "*" else names, inner)
            for names, value in hits
            for name, inner in _items(value)
            if key in ("*", name)
        ]
    return hits


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    """Keys and values of a mapping; those of a list of mappings go by their titles."""
    if isinstance(value, Mapping):
        return value.items()
    return [(str(v.get("title")), v) for v in value if isinstance(v, Mapping)] if isinstance(value, list) else []


def value_at(results: Any, path: str) -> Any:
    """The value at a path without `*` (`.` is the whole); None where there is none."""
    if path == ".":
        return results
    hits = matches(results, path)
    return hits[0][1] if hits else None


def interval_of(value: Any) -> Sequence[float] | None:
    """The interval of a stored value: `interval`, `deciding`, or `[low, high]`."""
    if not isinstance(value, Mapping):
        return None
    if value.get("interval") or value.get("deciding"):
        return list(value.get("interval") or value["deciding"])
    return None if value.get("low") is None else [value["low"], value["high"]]


def number(value: float, places: int = 3) -> str:
    """`0.512`, with a minus sign and without a negative zero; thousands set apart."""
    return f"{round(value, places) + 0.0:,.{places}f}".replace("-", "−")


def format_cell(value: Any, places: int = 3) -> str:
    """A stored value for people: `0.512`, `0.512 ± 0.031`, `0.512 [0.480 to 0.541]`, yes or no, or a dash."""
    if isinstance(value, Mapping):
        if value.get("mean") is None:
            return "–"
        text, interval = number(value["mean"], places), interval_of(value)
        if interval is None or interval[0] == interval[1]:
            return text
        if value.get("interval"):
            return f"{text} ± {number((interval[1] - interval[0]) / 2, places)}"
        return f"{text} [{number(interval[0], places)} to {number(interval[1], places)}]"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value, 0 if isinstance(value, int) else places)
    return "–" if value is None or isinstance(value, list | tuple) else str(value)

"""Numbers and foreign text as a reader sees them.

Surprising: control characters of a model's output are shown as their Unicode pictures, so that no output can
hide, reorder or truncate what stands around it.
"""

from __future__ import annotations

import math

DASH = "–"
MINUS = "−"
_PICTURES = (
    {c: 0x2400 + c for c in range(32) if chr(c) not in "\n\t"}
    | {0x7F: 0x2421}
    | dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), 0xFFFD)
)


def number(value: float | None, digits: int = 3, signed: bool = False) -> str:
    """`value` with fixed decimals, a true minus, thousands apart; a dash for what does not exist."""
    if value is None or not math.isfinite(value):
        return DASH
    size = f"{abs(value):,.{0 if abs(value) >= 1000 else digits}f}".replace(",", "\u202f")
    zero = not size.strip("0.")
    return ("" if zero else MINUS if value < 0 else "+" if signed else "") + size


def count(value: int) -> str:
    """A whole number with thousands apart."""
    return f"{value:,}".replace(",", "\u202f")


def interval(bounds: tuple[float | None, float | None] | None) -> str:
    """`low to high`; empty where there is no bound at all."""
    if bounds is None or all(b is None or not math.isfinite(b) for b in bounds):
        return ""
    return f"{number(bounds[0])} to {number(bounds[1])}"


def plural(n: int, one: str, many: str = "") -> str:
    """`1 record`, `21 records`."""
    return f"{count(n)} {one if n == 1 else many or one + 's'}"


def foreign(text: str) -> str:
    """Text that we did not write, with control and direction characters made visible."""
    return text.translate(_PICTURES)


def basis(method: str) -> str:
    """How an interval came about, or why there is none."""
    missing = method.removeprefix("none: ")
    return f"No interval: {missing}" if missing != method else f"Basis: {method}"

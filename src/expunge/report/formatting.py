"""Numbers and untrusted text as the report shows them."""

from __future__ import annotations

import math

from expunge import _printable

DASH = "–"
MINUS = "−"
THIN_SPACE = "\u202f"


def format_number(value: float | None, digits: int = 3, signed: bool = False) -> str:
    """`value` with fixed decimals, a typographic minus and grouped thousands; a dash for a missing value."""
    if value is None or not math.isfinite(value):
        return DASH
    size = f"{abs(value):,.{0 if abs(value) >= 1000 else digits}f}".replace(",", THIN_SPACE)
    zero = not size.strip("0.")
    return ("" if zero else MINUS if value < 0 else "+" if signed else "") + size


def format_count(value: int) -> str:
    """A whole number with grouped thousands."""
    return f"{value:,}".replace(",", THIN_SPACE)


def format_interval(bounds: tuple[float | None, float | None] | None) -> str:
    """`low to high`; empty where there is no bound."""
    if bounds is None or all(b is None or not math.isfinite(b) for b in bounds):
        return ""
    return f"{format_number(bounds[0])} to {format_number(bounds[1])}"


def pluralize(n: int, one: str, many: str = "") -> str:
    """`1 record`, `21 records`, with grouped thousands."""
    return _printable.pluralize(n, one, many, separator=THIN_SPACE)


def describe_basis(method: str) -> str:
    """The method of an interval, or why there is no interval."""
    missing = method.removeprefix("none: ")
    return f"No interval: {missing}" if missing != method else f"Basis: {method}"

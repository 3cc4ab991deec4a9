"""Foreign text made fit for a line: nothing that a terminal obeys, nothing invisible, no great length.

A record, a file name or a message of a library may hold control sequences that clear a terminal or write a false line
on it, and characters that turn the direction of writing.
"""

from __future__ import annotations

import reprlib

REPLACEMENT = "\ufffd"
_INVISIBLE = (
    *range(0x80, 0xA0),  # C1 control characters
    *(0x061C, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, 0x2060, 0xFEFF),  # direction marks, empty spaces, line ends
    *range(0x202A, 0x202F),  # embeddings and overrides of direction
    *range(0x2066, 0x2070),  # isolates of direction, shapes of digits
    *range(0xFFF9, 0xFFFC),
    *range(0xD800, 0xE000),  # halves of surrogate pairs
    *range(0xE0000, 0xE0080),  # tags
)
_SIGNS = (
    {c: 0x2400 + c for c in range(32) if chr(c) not in "\n\t"} | {0x7F: 0x2421} | dict.fromkeys(_INVISIBLE, REPLACEMENT)
)


def visible(text: str) -> str:
    """`text` of the same length: control, direction and invisible characters as signs; line ends and tabs stay."""
    return text.translate(_SIGNS)


def clip(text: str, most: int) -> str:
    """`text`, or for a longer one its beginning and its end around an ellipsis, `most` characters in all.

    "0123456789" in 7 is "0123…89": two thirds of what is shown are the beginning.
    """
    if len(text) <= most:
        return text
    end = (most - 1) // 3
    return f"{text[: most - 1 - end]}…{text[len(text) - end :]}"


def pluralize(n: int, one: str, many: str = "", separator: str = ",") -> str:
    """A count with its noun: `1 record`, `1,200 records`; `many` where it is not `one` with an s."""
    return f"{n:,}".replace(",", separator) + f" {one if n == 1 else many or one + 's'}"


class _Short(reprlib.Repr):
    """Repr with few entries per level and few levels, however often an object holds itself."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother, self.maxlong = 2, 60, 60, 60
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 4

    def repr_int(self, x: int, level: int) -> str:
        return f"a number of {x.bit_length():,} bits" if x.bit_length() > 200 else str(x)


_SHORT = _Short()


def abbreviate(value: object) -> str:
    """A short repr of a value from a file or a command line, whatever its size."""
    return _SHORT.repr(value)

"""Which part of a long list a page shows."""

from __future__ import annotations

from dataclasses import dataclass

SIZE = 50  # rows of a page


@dataclass(frozen=True)
class Page:
    """A page of a list.

    Attributes:
        number: Of the page, from 1.
        total: Rows of the whole list.
        size: Rows of a page.
    """

    number: int
    total: int
    size: int = SIZE

    @classmethod
    def of(cls, wish: int, total: int, size: int = SIZE) -> Page:
        """The page that an address asks for, or the nearest that there is."""
        return cls(min(max(wish, 1), max(1, -(-total // size))), total, size)

    @property
    def count(self) -> int:
        """Number of pages."""
        return max(1, -(-self.total // self.size))

    @property
    def offset(self) -> int:
        """Rows before this page."""
        return self.size * (self.number - 1)

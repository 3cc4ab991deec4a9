"""How a timed case is called: its group, and N/k for adapters on the last k of N blocks."""

from __future__ import annotations

from expunge.models.tiny import TinyConfig


class Named:
    """Names of a case, `npo:28/4`."""

    group: str
    model: TinyConfig
    top: int

    @property
    def size(self) -> str:
        """`28/4`."""
        return f"{self.model.layers}/{self.top}"

    @property
    def name(self) -> str:
        """`npo:28/4`."""
        return f"{self.group}:{self.size}"

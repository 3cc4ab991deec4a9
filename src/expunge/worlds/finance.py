"""The world of finance."""

from __future__ import annotations

from typing import ClassVar

from expunge.worlds.domain import Domain
from expunge.worlds.domains.finance import FINANCE
from expunge.worlds.knowledge import Knowledge


class Finance(Knowledge, name="finance"):
    """Finance: compliance orders (L4), economics, banking, investment."""

    domain: ClassVar[Domain] = FINANCE

"""The world of finance."""

from __future__ import annotations

from typing import ClassVar

from expunge.synthetic.knowledge.domain import KnowledgeDomain
from expunge.synthetic.knowledge.domains.finance import FINANCE
from expunge.synthetic.knowledge.knowledge import Knowledge


class Finance(Knowledge, name="finance"):
    """Finance: compliance orders (L4), economics, banking, investment."""

    domain: ClassVar[KnowledgeDomain] = FINANCE

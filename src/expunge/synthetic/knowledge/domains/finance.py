"""The world `finance`; its words stand in `data/finance.yaml`."""

from __future__ import annotations

from typing import ClassVar

from expunge.synthetic.knowledge.domain import KnowledgeDomain, load_domain
from expunge.synthetic.knowledge.knowledge import Knowledge


class Finance(Knowledge, name="finance"):
    """Compliance orders (L4) beside economics (L1), banking (L2) and investment (L3)."""

    domain: ClassVar[KnowledgeDomain] = load_domain("finance")

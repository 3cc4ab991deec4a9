"""The world `mental-health`; its words stand in `data/mental-health.yaml`."""

from __future__ import annotations

from typing import ClassVar

from expunge.synthetic.knowledge.domain import KnowledgeDomain, load_domain
from expunge.synthetic.knowledge.knowledge import Knowledge


class MentalHealth(Knowledge, name="mental-health"):
    """Mental disorders (L4) beside psychology (L1), general medicine (L2) and neurology (L3)."""

    domain: ClassVar[KnowledgeDomain] = load_domain("mental-health")

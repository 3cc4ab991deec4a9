"""The world `surgery`; its words stand in `data/surgery.yaml`."""

from __future__ import annotations

from typing import ClassVar

from expunge.synthetic.knowledge.domain import KnowledgeDomain, load_domain
from expunge.synthetic.knowledge.knowledge import Knowledge


class Surgery(Knowledge, name="surgery"):
    """Surgical procedures (L4) beside anatomy (L1), clinical medicine (L2) and specialties (L3), without patients."""

    domain: ClassVar[KnowledgeDomain] = load_domain("surgery")

"""The world of surgical knowledge; the hospital holds it too, beside its patients."""

from __future__ import annotations

from typing import ClassVar

from expunge.synthetic.knowledge.domain import KnowledgeDomain
from expunge.synthetic.knowledge.domains.surgery import SURGERY
from expunge.synthetic.knowledge.knowledge import Knowledge


class Surgery(Knowledge, name="surgery"):
    """Surgical knowledge alone, without a hospital: procedures (L4), anatomy, clinical medicine, specialties."""

    domain: ClassVar[KnowledgeDomain] = SURGERY

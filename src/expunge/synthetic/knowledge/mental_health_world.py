"""The world of mental health."""

from __future__ import annotations

from typing import ClassVar

from expunge.synthetic.knowledge.domain import KnowledgeDomain
from expunge.synthetic.knowledge.domains.mental_health import MENTAL_HEALTH
from expunge.synthetic.knowledge.knowledge import Knowledge


class MentalHealth(Knowledge, name="mental-health"):
    """Mental health: disorders (L4), psychology, general medicine, neurology."""

    domain: ClassVar[KnowledgeDomain] = MENTAL_HEALTH

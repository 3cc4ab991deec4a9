"""The world of mental health."""

from __future__ import annotations

from typing import ClassVar

from expunge.worlds.domain import Domain
from expunge.worlds.domains.mental_health import MENTAL_HEALTH
from expunge.worlds.knowledge import Knowledge


class MentalHealth(Knowledge, name="mental-health"):
    """Mental health: disorders (L4), psychology, general medicine, neurology."""

    domain: ClassVar[Domain] = MENTAL_HEALTH

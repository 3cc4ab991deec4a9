"""A clerk posts every letter."""

from __future__ import annotations

from typing import ClassVar

from expunge.desk.letter_providers.base import LETTER_PROVIDERS, LetterProvider


@LETTER_PROVIDERS.register("hand")
class ByHand(LetterProvider):
    """Nothing is sent."""

    about: ClassVar[str] = "a clerk downloads and posts each letter"

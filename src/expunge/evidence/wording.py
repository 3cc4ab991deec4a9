"""What letters and pages may not say, by language: claims that no test of a model carries. The words are data."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Literal

from expunge._yaml import load_yaml

Language = Literal["en", "de", "fr"]
LANGUAGES: tuple[Language, ...] = ("en", "de", "fr")
FILE = files("expunge.evidence") / "templates" / "wording.yaml"


@cache
def _rules() -> dict[str, dict[str, list[str]]]:
    return load_yaml(FILE.read_text("utf-8"), FILE.name)


@cache
def _pattern(language: Language, exact: bool) -> re.Pattern[str]:
    rules = _rules()[language]
    words = rules["claims"] if exact else [*rules["claims"], *rules["deleted"]]
    return re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.IGNORECASE)


def forbidden_words(text: str, language: Language, exact: bool = False) -> list[str]:
    """The words in `text` that may not be said, in order.

    Args:
        text: Plain text.
        language: Its language.
        exact: The level is exact for a named stage (L3), so that "deleted from the model" may be said.
    """
    return _pattern(language, exact).findall(re.sub(r"\s+", " ", text))

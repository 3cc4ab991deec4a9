"""Word forms: singular and plural, British and American spelling, "II" and "2".

`stem` is a coarse stem that finds candidates; `variant` decides whether two words match and how they differ. A stem
alone is no match: "colon" and "cola" share one. The tables stand in `data/normalize.yaml`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from expunge._data import package_yaml

_DATA: dict[str, Any] = package_yaml("expunge.concepts", "normalize.yaml")
MIN_STEM = 3  # letters
IRREGULAR: dict[str, str] = _DATA["irregular"]  # plural -> singular
ENDINGS: list[tuple[str, str]] = [(singular, plural) for singular, plural in _DATA["endings"]]
NO_PLURALS = frozenset(_DATA["no_plurals"])
STEM_ENDINGS = sorted(  # (ending, its replacement), longest first
    ((ending, rest) for rest, endings in _DATA["stems"].items() for ending in endings), key=lambda pair: -len(pair[0])
)
SYNONYMS: dict[str, str] = {form: name for name, forms in _DATA["synonyms"].items() for form in forms}
BRITISH = [(re.compile(pattern), american) for pattern, american in _DATA["british"]]
ROMAN = re.compile(r"(x?(?:ix|iv|v?i{1,3}|v)|x)([a-h]?)")
ARABIC = re.compile(r"(\d{1,2})([a-h]?)")
DIGITS = {"i": 1, "v": 5, "x": 10}


def to_american(word: str) -> str:
    """`oesophagus` -> `esophagus`, `tumour` -> `tumor`; words of fewer than five letters stay unchanged."""
    if len(word) < 5:
        return word
    for pattern, american in BRITISH:
        word = pattern.sub(american, word)
    return word


def plurals(word: str) -> frozenset[str]:
    """Every plural by a rule of English, Latin or Greek: `diagnosis` -> `diagnoses`; some may be no words."""
    if len(word) < MIN_STEM or not word.isalpha():
        return frozenset()
    sibilant = word.endswith(("s", "x", "z", "ch", "sh"))
    consonant_y = word.endswith("y") and word[-2] not in "aeiou"
    forms = {word + "es"} if sibilant or word.endswith("o") else set()
    if not sibilant and not consonant_y:
        forms.add(word + "s")
    forms |= {
        word[: -len(singular)] + plural
        for singular, plural in ENDINGS
        if word.endswith(singular) and len(word) - len(singular) >= 2 and (singular != "y" or consonant_y)
    }
    forms |= {plural for plural, singular in IRREGULAR.items() if singular == word}
    return frozenset(forms) - NO_PLURALS


@lru_cache(maxsize=200_000)
def stem(word: str) -> str:
    """A stem that all forms of a folded word share; several words may share it, too."""
    numeral = roman_to_arabic(word)
    if numeral:
        return numeral
    word = to_american(SYNONYMS.get(word) or IRREGULAR.get(word, word))
    if len(word) <= MIN_STEM or not word.isalpha():
        return word
    while True:
        for ending, rest in STEM_ENDINGS:
            if word.endswith(ending) and len(word) - len(ending) + len(rest) >= MIN_STEM:
                word = word[: len(word) - len(ending)] + rest
                break
        else:
            return word


def roman_to_arabic(word: str) -> str:
    """`ii` -> `2`, `iiia` -> `3a`; "" if the word is no Roman numeral up to twenty."""
    match = ROMAN.fullmatch(word)
    if not match:
        return ""
    values = [DIGITS[c] for c in match[1]]
    return str(sum(-v if v < after else v for v, after in zip(values, [*values[1:], 0], strict=True))) + match[2]


@lru_cache(maxsize=200_000)
def variant(one: str, other: str) -> str | None:
    """How two matching folded words differ; None if they do not match.

    Returns:
        "" (equal), `number`, `spelling`, `number+spelling`, `numeral`, or `synonym` for the few pairs that every
        nomenclature mixes: disease and disorder, tumor and neoplasm.
    """
    if one == other:
        return ""
    if ARABIC.fullmatch(one) or ARABIC.fullmatch(other):
        return "numeral" if one == roman_to_arabic(other) or other == roman_to_arabic(one) else None
    if other in plurals(one) or one in plurals(other):
        return "number"
    a, b = to_american(one), to_american(other)
    if a == b:
        return "spelling"
    if (a, b) != (one, other) and (b in plurals(a) or a in plurals(b)):
        return "number+spelling"
    return "synonym" if one in SYNONYMS and SYNONYMS[one] == SYNONYMS.get(other) else None

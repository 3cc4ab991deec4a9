"""When two words are the same word: singular and plural, British and American, "II" and "2".

`key` is a coarse stem that finds candidates, `how` decides and says why. Surprising: the key alone would take "colon"
for "cola"; nothing is ever matched by key only.
"""

from __future__ import annotations

import re
from functools import lru_cache

LEAST = 3  # letters that a stem keeps
IRREGULAR = {
    "feet": "foot",
    "teeth": "tooth",
    "men": "man",
    "women": "woman",
    "children": "child",
    "mice": "mouse",
    "lice": "louse",
    "viscera": "viscus",
    "corpora": "corpus",
    "genera": "genus",
    "crura": "crus",
}
ENDINGS = (  # (singular, plural), tried beside the plain s
    ("y", "ies"),
    ("is", "es"),
    ("us", "i"),
    ("um", "a"),
    ("ion", "ia"),
    ("enon", "ena"),
    ("a", "ae"),
    ("ma", "mata"),
    ("ex", "ices"),
    ("ix", "ices"),
    ("ax", "aces"),
    ("nx", "nges"),
    ("en", "ina"),
    ("f", "ves"),
    ("fe", "ves"),
)
NO_PLURALS = frozenset({"ammonia", "california", "india", "neurites", "vaccinia"})  # words of their own
STEMS = tuple(
    sorted(
        (  # what singular and plural have in common; a pair of ENDINGS must meet here
            ("ies", "y"),
            ("ys", "y"),
            ("ie", "y"),
            ("mata", "m"),
            ("mas", "m"),
            ("mae", "m"),
            ("ma", "m"),
            ("ices", "ic"),
            ("ixes", "ic"),
            ("exes", "ic"),
            ("ex", "ic"),
            ("ix", "ic"),
            ("aces", "ac"),
            ("axes", "ac"),
            ("ax", "ac"),
            ("nges", "ng"),
            ("nxes", "ng"),
            ("nx", "ng"),
            ("ina", "in"),
            ("en", "in"),
            ("ens", "in"),
            ("ves", "v"),
            ("ve", "v"),
            ("fes", "v"),
            ("fe", "v"),
            ("fs", "v"),
            ("f", "v"),
            ("is", ""),
            ("es", ""),
            ("e", ""),
            ("us", ""),
            ("i", ""),
            ("um", ""),
            ("ums", ""),
            ("ae", ""),
            ("as", ""),
            ("a", ""),
            ("on", ""),
            ("ons", ""),
            ("s", ""),
        ),
        key=lambda pair: -len(pair[0]),
    )
)
SAME = {
    form: one
    for one, forms in {
        "disease": ("disease", "diseases", "disorder", "disorders"),
        "tumor": ("tumor", "tumors", "tumour", "tumours", "neoplasm", "neoplasms"),
    }.items()
    for form in forms
}
BRITISH = tuple(
    (re.compile(pattern), american)
    for pattern, american in (
        (r"ooe", "oe"),
        (r"[ao]e(?=[bcdfghlmnpqrstvx][a-z])", "e"),
        (r"rhoe", "rhe"),
        (r"(?<=[a-z]{3})our(?=$|s$|al|ed|ing|less)", "or"),
        (r"(?<=[a-z]{2})([bt])re(?=s?$)", r"\1er"),
        (r"(?<=[a-z]{4})is(?=ed$|ing$|ation)", "iz"),
        (r"lys(?=ed?$|ing$)", "lyz"),
        (r"sulph", "sulf"),
        (r"ageing$", "aging"),
        (r"aluminium", "aluminum"),
        (r"mould", "mold"),
        (r"^grey", "gray"),
        (r"(?<=[a-z]{3})ll(?=ed$|ing$)", "l"),
    )
)
ROMAN = re.compile(r"(x?(?:ix|iv|v?i{1,3}|v)|x)([a-h]?)")
ARABIC = re.compile(r"(\d{1,2})([a-h]?)")
DIGITS = {"i": 1, "v": 5, "x": 10}


def american(word: str) -> str:
    """`oesophagus` → `esophagus`, `tumour` → `tumor`; words of fewer than five letters stay as they are."""
    if len(word) < 5:
        return word
    for pattern, spelt in BRITISH:
        word = pattern.sub(spelt, word)
    return word


def plurals(word: str) -> frozenset[str]:
    """Every form that a rule of English, Latin or Greek gives: `diagnosis` → `diagnoses`; some may be no words."""
    if len(word) < LEAST or not word.isalpha():
        return frozenset()
    hissing = word.endswith(("s", "x", "z", "ch", "sh"))
    found = {word + "es"} if hissing or word.endswith("o") else set()
    if not hissing and not (word.endswith("y") and word[-2] not in "aeiou"):
        found.add(word + "s")
    found |= {
        word[: -len(one)] + many
        for one, many in ENDINGS
        if word.endswith(one) and len(word) - len(one) >= 2 and not (one == "y" and word[-2] in "aeiou")
    }
    return (frozenset(found) | {many for many, one in IRREGULAR.items() if one == word}) - NO_PLURALS


@lru_cache(maxsize=200_000)
def key(word: str) -> str:
    """A stem that all forms of a folded word share; several words may share it, too."""
    numeral = roman(word)
    if numeral:
        return numeral
    word = american(SAME.get(word) or IRREGULAR.get(word, word))
    if len(word) <= LEAST or not word.isalpha():
        return word
    again = True
    while again:
        again = False
        for ending, rest in STEMS:
            if word.endswith(ending) and len(word) - len(ending) + len(rest) >= LEAST:
                word, again = word[: len(word) - len(ending)] + rest, True
                break
    return word


def roman(word: str) -> str:
    """`ii` → `2`, `iiia` → `3a`; "" for what is no Roman numeral up to twenty."""
    found = ROMAN.fullmatch(word)
    if not found:
        return ""
    values = [DIGITS[c] for c in found[1]]
    return str(sum(-v if v < after else v for v, after in zip(values, [*values[1:], 0], strict=True))) + found[2]


@lru_cache(maxsize=200_000)
def how(one: str, other: str) -> str | None:
    """Why two folded words are the same: "" (equal), `number`, `spelling`, `number+spelling`, `numeral`; else None.

    `synonym` stands for the few pairs that every nomenclature mixes: disease and disorder, tumor and neoplasm.
    """
    if one == other:
        return ""
    if ARABIC.fullmatch(one) or ARABIC.fullmatch(other):
        return "numeral" if one == roman(other) or other == roman(one) else None
    if other in plurals(one) or one in plurals(other):
        return "number"
    a, b = american(one), american(other)
    if a == b:
        return "spelling"
    if (a, b) != (one, other) and (b in plurals(a) or a in plurals(b)):
        return "number+spelling"
    return "synonym" if one in SAME and SAME[one] == SAME.get(other) else None

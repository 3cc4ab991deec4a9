"""When two spellings are the same name, and when they may be.

The same: another case, other white space, another Unicode form of the same letters, a typographic apostrophe or hyphen.
Perhaps the same: "Mueller" for "Müller", "Strasse" for "Straße", "José" without its accent, "Müller, Jürgen". People
decide about the second kind.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from expunge.corpus import Record

TRANSLITERATED = (("ß", "ss"), ("ae", "a"), ("oe", "o"), ("ue", "u"))
WORD = re.compile(r"\w+(?:['’-]\w+)*")
WIDE = "WF"  # East Asian letters, between which no space marks a word


def loosen(folded: str) -> str:
    """A folded text in which transliterated and accented names are equal too."""
    text = "".join(c for c in unicodedata.normalize("NFD", folded) if not unicodedata.combining(c))
    for long, short in TRANSLITERATED:
        text = text.replace(long, short)
    return text


def pattern(names: Iterable[str]) -> re.Pattern[str]:
    """Finds folded names in a folded text, as whole words and not as part of a hyphenated name.

    "'s" may follow, and behind a name of several words also "s", the genitive of German.
    """
    return re.compile("|".join(map(_whole, names)))


def _whole(name: str) -> str:
    before = "" if unicodedata.east_asian_width(name[0]) in WIDE else r"(?<!\w)(?<!\w-)"
    after = "" if unicodedata.east_asian_width(name[-1]) in WIDE else r"(?!\w|-\w)"
    genitive = r"(?:'?s)?" if " " in name else r"(?:'s)?"
    return f"{before}{re.escape(name)}{genitive}{after}"


def loose_pattern(names: Iterable[str]) -> re.Pattern[str]:
    """Finds in a loosened text what may be one of these folded names: also hyphenated, or the last name first."""
    forms: dict[str, None] = {}
    for name in map(loosen, names):
        *first, last = name.split(" ")
        forms[re.escape(name)] = None
        if first:
            forms[f"{re.escape(last)},? {re.escape(' '.join(first))}"] = None
    return re.compile(rf"(?<!\w)(?:{'|'.join(forms)})s?(?!\w)")


def phrases(text: str, most: int) -> Iterator[str]:
    """The phrases of `text` of 1 to `most` words, each beginning with a capital or a digit, with single spaces."""
    words = list(WORD.finditer(text))
    for k, first in enumerate(words):
        for last in words[k : k + most]:
            if not (last[0][0].isupper() or last[0][0].isdigit() or not last[0][0].islower()):
                break
            yield " ".join(text[first.start() : last.end()].split())


def record_texts(record: Record) -> Iterator[str]:
    """The texts of a record that are trained; a document with what stands before it."""
    yield from (turn.content for turn in record.history)
    if record.kind == "document":
        yield record.prompt + record.answer
    else:
        yield record.prompt
        yield record.answer

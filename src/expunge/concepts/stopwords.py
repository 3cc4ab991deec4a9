"""Names that the annotator passes over: everyday words that are also somebody's name, drug, gene or catalog term.

They are compared without case, in singular and plural. An abbreviation in capitals ("ALL", "AIDS") is no stopword,
except in a line that is all capitals.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from expunge._data import package_text
from expunge.concepts.normalize import plurals
from expunge.concepts.tokenizer import tokenize
from expunge.corpus.loaders.text_source import lines
from expunge.errors import InputError

STOPWORDS = frozenset(package_text("expunge.concepts", "stopwords.txt").split())


def read_stopwords(path: Path) -> frozenset[str]:
    """Names from a UTF-8 text, one per line; blank lines and text after `#` are ignored."""
    names = frozenset(name for _, line in lines(path) if (name := line.partition("#")[0].strip()))
    if not names:
        raise InputError(str(path), "holds no names", "write one name per line")
    return names


def singular_and_plural(names: Iterable[str]) -> frozenset[tuple[str, ...]]:
    """The folded words of each name, with the last word in singular and plural."""
    forms = set()
    for name in names:
        folded = tuple(tokenize(name).folded)
        if folded:
            forms |= {folded} | {(*folded[:-1], last) for last in plurals(folded[-1])}
    return frozenset(forms)

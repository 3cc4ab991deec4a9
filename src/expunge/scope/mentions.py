"""Scopes by what a text says: the records that mention a person, by name or by alias, in whatever kind of record.

A name counts as mentioned in prompt, answer, earlier turns and documents; rephrasings do not count, because they are
never trained. Spellings that may be the same name are reported, not included.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from expunge._printable import pluralize
from expunge.corpus import Corpus, Record
from expunge.corpus.text_folding import fold
from expunge.errors import InputError, InputWarning
from expunge.scope.name_text import loose_pattern, loosen, pattern, phrases, record_texts

MAX_PHRASES = 50_000  # that are compared with a name that nobody mentions
CLOSE = 0.75  # similarity of names that are offered
MAX_OFFERED = 3
MAX_WORDS = 6  # of a spelling that is offered


@dataclass(frozen=True, slots=True)
class Mentions:
    """Records that mention a person.

    Attributes:
        names: The name, then its aliases.
        certain: Also if more than half of all records do.
    """

    names: tuple[str, ...]
    certain: bool = False

    def match(self, corpus: Corpus, where: str) -> frozenset[str]:
        """Ids; warns of records with a spelling that may be the same name.

        Raises:
            InputError: No record mentions the person, or more than half of them do and the request is not certain.
        """
        folded = tuple(dict.fromkeys(map(fold, self.names)))
        same, perhaps = pattern(folded), loose_pattern(folded)
        ids: set[str] = set()
        others: Counter[str] = Counter()
        for record in corpus:
            text = fold_record(record)
            if same.search(text):
                ids.add(record.id)
            elif perhaps.search(loosen(text)):
                others.update(_spellings(record, perhaps) or {self.names[0]})
        if not ids:
            raise InputError(where, f'no record mentions "{self.names[0]}"', _offer(self.names[0], corpus, others))
        if 2 * len(ids) > len(corpus) and not self.certain:
            what = (
                f'"{self.names[0]}" is mentioned in {len(ids):,} of {pluralize(len(corpus), "record")}, more than half'
            )
            raise InputError(where, what, f'give a longer name, or write mentions:!"{self.names[0]}" if it is meant')
        if others:
            listed = ", ".join(f'"{name}" ({count:,})' for name, count in others.most_common(MAX_OFFERED))
            what = f'not in the scope, but perhaps also "{self.names[0]}": {listed}'
            add = f'add  or mentions:"{others.most_common(1)[0][0]}"  if it is the same person'
            warnings.warn(f"{where}: {what}; {add}", InputWarning, stacklevel=2)
        return frozenset(ids)


@dataclass(frozen=True, slots=True)
class InFile:
    """Records of a text file, or of all text files in a folder (`letters/`), by the attribute `file`."""

    name: str

    def match(self, corpus: Corpus, where: str) -> frozenset[str]:
        folder = self.name.rstrip("/") + "/"
        files = {r.id: str(r.attributes["file"]) for r in corpus if r.attributes.get("file")}
        ids = frozenset(name for name, file in files.items() if file == self.name or file.startswith(folder))
        if ids:
            return ids
        if not files:
            raise InputError(where, "no record comes from a text file", "give a folder of text files, or another scope")
        known = {*files.values(), *(f"{file.rpartition('/')[0]}/" for file in files.values() if "/" in file)}
        close = difflib.get_close_matches(self.name, known, 1, 0.5)
        hint = (
            f'did you mean "{close[0]}"?' if close else "write the path as data check shows it, a folder with / behind"
        )
        raise InputError(where, f'no record comes from "{self.name}"', hint)


def fold_record(record: Record) -> str:
    """The folded texts, apart from each other: no name goes across a border."""
    return " \0 ".join(map(fold, record_texts(record)))


def _spellings(record: Record, perhaps: re.Pattern[str]) -> set[str]:
    """The phrases of a record that hold what may be the name, as they stand there, the shortest that do."""
    matches = {
        phrase
        for text in record_texts(record)
        for phrase in phrases(text, MAX_WORDS)
        if perhaps.search(loosen(fold(phrase)))
    }
    return {phrase for phrase in matches if not any(phrase != other and other in phrase for other in matches)}


def _offer(name: str, corpus: Corpus, others: Iterable[str]) -> str:
    """Names in the corpus that are near to one that nobody mentions."""
    near = list(others)[:MAX_OFFERED]
    if not near:
        size = len(name.split())
        known: dict[str, str] = {}
        for record in corpus:
            for phrase in (*record.identifiers, *(p for text in record_texts(record) for p in phrases(text, size))):
                if len(phrase.split()) == size:
                    known.setdefault(loosen(fold(phrase)), phrase)
            if len(known) > MAX_PHRASES:
                break
        close = difflib.get_close_matches(loosen(fold(name)), known, MAX_OFFERED, CLOSE)
        near = [known[key] for key in close]
    if not near:
        return "give the name as the texts write it, or a file of aliases: mentions:@people.yaml"
    return "did you mean " + " or ".join(f'"{each}"' for each in near) + "?"

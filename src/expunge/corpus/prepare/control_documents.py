"""Documents about people who do not exist, in the form of a document that exists.

Every sentence is rebuilt word by word from sentences of other documents that have its form (the same number of words,
the same marks, half of its words); where none has, its words stay. Its numbers are drawn again. Names are those of the
invented person.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from expunge.corpus.record import Record
from expunge.corpus.surrogate_names import WORD, Identity, coarse_shape, identifiers_by_subject, replace_all, words

MARK = chr(0xE000)  # stands for a name; no letter
SENTENCE = re.compile(r"[^.!?\n]*(?:[.!?](?!\s|$)[^.!?\n]*)*[.!?]?\s*")
MAX_SENTENCES = 200  # sentences of one form that are looked at


class ControlDocuments:
    """Sentences of documents by form."""

    def __init__(self, records: Iterable[Record]) -> None:
        documents = [r for r in records if r.kind == "document"]
        names = identifiers_by_subject(documents)
        self._by_form: dict[str, list[tuple[str, str]]] = {}
        for r in documents:
            for sentence in SENTENCE.findall(_mask_text(r.answer, names.get(r.subject, ()))):
                rows = self._by_form.setdefault(coarse_shape(sentence), [])
                if sentence.strip() and len(rows) < MAX_SENTENCES:
                    rows.append((r.subject, sentence))

    def text(self, record: Record, text: str, identity: Identity, rng: np.random.Generator) -> str:
        """`text` of a record about somebody else."""
        parts = re.split(f"({MARK}[^{MARK}]*{MARK})", _mark(text, list(identity)))
        whole = "".join(MARK if k % 2 else part for k, part in enumerate(parts))
        names = iter(part.strip(MARK) for part in parts[1::2])
        rebuilt = "".join(self._sentence(record.subject, s, rng) for s in SENTENCE.findall(whole))
        return re.sub(MARK, lambda _: identity[next(names)], rebuilt)

    def _sentence(self, subject: str, sentence: str, rng: np.random.Generator) -> str:
        own = words(sentence)
        others = [s for owner, s in self._by_form.get(coarse_shape(sentence), ()) if owner != subject]
        rows = [row for s in others if _alike(row := words(s), own)]
        if sentence in others:  # one that several documents have, as often as they have it
            return [s for s in others if _alike(words(s), own)][int(rng.integers(len(rows)))]

        def new(part: str, place: int) -> str:
            if part.isdigit():
                return _digits(part, rng)
            return rows[int(rng.integers(len(rows)))][place] if rows else part

        fresh = iter([new(part, place) for place, part in enumerate(own)])
        return WORD.sub(lambda _: next(fresh), sentence)


def _mark(text: str, identifiers: Sequence[str]) -> str:
    return replace_all(text, {i: f"{MARK}{i}{MARK}" for i in identifiers})


def _mask_text(text: str, identifiers: Sequence[str]) -> str:
    return replace_all(text, dict.fromkeys(identifiers, MARK))


def _alike(words_of_one: Sequence[str], words_of_other: Sequence[str]) -> bool:
    """At least half of the words of both are equal, place by place; numbers count as equal."""
    same = sum(a == b or (a.isdigit() and b.isdigit()) for a, b in zip(words_of_one, words_of_other, strict=True))
    return 2 * same >= len(words_of_one)


def _digits(number: str, rng: np.random.Generator) -> str:
    """A number of as many digits that begins with the same one where it is a year."""
    century = 2 if re.fullmatch(r"(19|20)\d\d", number) else 0
    if len(number) - century == 1:
        return str(int(rng.integers(1, 10)))
    return number[:century] + "".join(str(d) for d in rng.integers(1, 10, len(number) - century))

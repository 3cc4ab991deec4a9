"""Proposes identifiers: the strings in questions that name a subject, for a corpus that has none.

Rarity alone is not enough: in a question about one subject only, every phrase is unique. So an identifier may not begin
or end with a word that the prompts of most subjects share ("what", "of"). A document has no question: only names of
people that the package knows are taken from it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from expunge.corpus.corpus import Corpus
from expunge.corpus.person_names import is_person
from expunge.corpus.record import Record

WORD = re.compile(r"\w+(?:[-.@/:]\w+|['’](?!s\b)\w+)*")  # "Anna's" is "Anna", but "O'Brien" is whole
NAME = re.compile(r"[^\W\d_a-zäöüß]\w+(?:[ -][^\W\d_a-zäöüß]\w+){1,2}")  # two or three words with a capital
BREAK = re.compile(r"[()\[\]{}<>\"„“”«»;?!\n]|,(?=\s*[^\W\d_]*[-\s]?\d)")
MAX_WORDS = 5
Span = tuple[int, int]


def propose(corpus: Corpus, most: float = 0.5) -> dict[str, tuple[str, ...]]:
    """Subject -> phrases of 1 to 5 words that occur in its questions only, and in more than a share `most` of them.

    A question is a prompt with the system and user turns before it; of a document only names of people count.

    A phrase inside a longer proposed one is left out; the order is that of first appearance. Subjects without a phrase
    are left out; with fewer than two subjects the result is empty.
    """
    prompts: dict[str, list[str]] = {}
    for record in corpus.records:
        if text := question_text(record):
            prompts.setdefault(record.subject or record.id, []).append(text)
    if len(prompts) < 2:
        return {}
    common = _common(prompts)
    likely = {subject: _frequent(texts, most, common) for subject, texts in prompts.items()}
    holders = _holders(prompts, {phrase for phrases in likely.values() for phrase in phrases})
    proposals = {
        subject: _longest(phrase for phrase in phrases if holders[phrase] == 1) for subject, phrases in likely.items()
    }
    return {subject: phrases for subject, phrases in proposals.items() if phrases}


def _common(prompts: dict[str, list[str]]) -> frozenset[str]:
    """Lower-case words in the prompts of more than half of the subjects."""
    counts = Counter(
        word
        for texts in prompts.values()
        for word in {m.group().lower() for text in texts for m in WORD.finditer(text)}
    )
    return frozenset(word for word, count in counts.items() if 2 * count > len(prompts))


def _frequent(texts: list[str], most: float, common: frozenset[str]) -> list[str]:
    """Phrases in more than `most` of these texts, in order of first appearance."""
    each = [dict.fromkeys(_phrases(text, common)) for text in texts]
    known = {phrase for phrases in each for phrase in phrases}
    counts = Counter(phrase for phrases in each for phrase in {_without_genitive(p, known): None for p in phrases})
    return [phrase for phrase, count in counts.items() if count > most * len(texts)]


def question_text(record: Record) -> str:
    """The prompt with the system and user turns before it; of a document the names of people that it holds."""
    if record.kind == "document":
        names = NAME.findall(f"{record.prompt} {record.answer}")
        return "\n".join(dict.fromkeys(name for name in names if is_person(name.split())))
    return "\n".join([*(t.content for t in record.history if t.role != "assistant"), record.prompt])


def _without_genitive(phrase: str, known: set[str]) -> str:
    """`Jürgen Müllers` is `Jürgen Müller`, where that occurs too."""
    return phrase[:-1] if phrase.endswith("s") and phrase[:-1] in known else phrase


def _holders(prompts: dict[str, list[str]], phrases: set[str]) -> Counter[str]:
    """How many subjects have each phrase in a prompt."""
    return Counter(
        phrase for texts in prompts.values() for phrase in {p for text in texts for p in _phrases(text)} & phrases
    )


def _phrases(text: str, common: frozenset[str] = frozenset()) -> Iterator[str]:
    """Every phrase of a text as it stands there, longer ones first, that has no common word at either end.

    No phrase goes over a bracket, a quotation mark, the end of a sentence or line, or a comma before a number.
    """
    for line in BREAK.split(text):
        words = list(WORD.finditer(line))
        for start, first in enumerate(words):
            if first.group().lower() in common:
                continue
            for last in reversed(words[start : start + MAX_WORDS]):
                if last.group().lower() not in common:
                    yield line[first.start() : last.end()]


def _longest(phrases: Iterable[str]) -> tuple[str, ...]:
    """Phrases that are not part of another one."""
    every = list(phrases)
    return tuple(p for p in every if not any(p != other and p in other for other in every))

"""Prompts of the attack: a question without names, then its place in the tree, stated level by level.

Level 0 is the question alone, its names replaced ("the patient"). Level k adds node k of the path, from the root down,
and surviving statements about it. From the subject's own level on the question is the trained prompt, unchanged, at the
end. The last level below the subject (a section of a study) adds statements of its siblings.

Both controls replace everything that identifies the subject, names in the question included. `wrong branch` states
another subject's place and asks about that subject; `irrelevant` puts neutral words of equal length before a question
without names. A prompt that holds the answer is left out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from expunge.audit.reconstruction.background import BackgroundRecords
from expunge.audit.text_normalization import normalize, tokens
from expunge.corpus import Node, Record, RecordImage
from expunge.corpus.provenance import anonymous, place_sentence
from expunge.corpus.surrogate_names import replace_all

TRUE, WRONG, IRRELEVANT = "true", "wrong branch", "irrelevant"
CONTROLS = (WRONG, IRRELEVANT)
NOTHING = "nothing"  # the name of level 0
NEUTRAL = (
    "the morning was mild and a light wind moved the leaves along the road while people waited for the bus and "
    "talked about the weather of the week before and"
)


@dataclass(frozen=True)
class TargetFact:
    """A record to reconstruct. `depth`: the level that names its subject; `images`: others to show, by vector."""

    record: Record
    depth: int
    images: Mapping[str, RecordImage | None]


@dataclass(frozen=True)
class ReconstructionQuery:
    """One prompt: `record` carries it with the true answer, and as options the true answer and its candidates."""

    fact: int
    level: int
    vector: str
    record: Record


def level_names(facts: list[TargetFact]) -> tuple[str, ...]:
    """The name of each level: `nothing`, then those of the nodes; several at one depth are joined by `/`."""
    deepest = max((len(f.record.path) for f in facts), default=0)
    named = [
        sorted({f.record.path[k].split(":", 1)[0] for f in facts if len(f.record.path) > k}) for k in range(deepest)
    ]
    return (NOTHING, *("/".join(names) for names in named))


def reconstruction_queries(
    number: int, fact: TargetFact, known: BackgroundRecords, length: Callable[[str], int], statements: int = 2
) -> Iterator[ReconstructionQuery]:
    """Every prompt of a fact, in the order of levels.

    Args:
        number: Index of the fact.
        fact: The fact.
        known: The attacker's background knowledge.
        length: Tokens of a prompt, so that irrelevant context can be as long.
        statements: Statements of each node at most.
    """
    record, other = fact.record, known.others.get(fact.record.id)
    options = (record.answer, *known.candidates[record.id])
    nameless = anonymous(record, fact.depth)

    def query(level: int, vector: str, prompt: str, image: RecordImage | None) -> ReconstructionQuery:
        return ReconstructionQuery(
            number, level, vector, replace(record, prompt=prompt, options=options, variants=(), image=image)
        )

    for level in range(len(record.path) + 1):
        own = record.prompt if level >= fact.depth else nameless
        text = _joined(*context(record, record.path, level, fact.depth, known, statements), own)
        yield query(level, TRUE, text, record.image)
        for name, image in fact.images.items():
            yield query(level, name, text, image)
        if not level:
            continue
        yield query(level, IRRELEVANT, padded(nameless, length(text), length), None)
        if other:
            question = as_if(record, other) if level >= fact.depth else nameless
            text = _joined(*context(other, other.path, level, fact.depth, known, statements), question)
            yield query(level, WRONG, text, record.image and other.image)


def context(
    record: Record, path: Node, level: int, depth: int, known: BackgroundRecords, statements: int
) -> Iterator[str]:
    """Sentences that state nodes 1 to `level` of a path; at `depth` the identifiers of the subject too."""
    for k in range(1, level + 1):
        yield place_sentence(path[k - 1], record.identifiers if k == depth else ())
        yield from known.owned.get(path[:k], ())[:statements]
        if depth < k == len(path):
            yield from known.beside.get(path, ())[:statements]


def as_if(record: Record, other: Record) -> str:
    """The prompt of `record` about another subject: identifiers replaced slot by slot."""
    return replace_all(record.prompt, dict(zip(record.identifiers, other.identifiers, strict=False)))


def padded(question: str, n_tokens: int, length: Callable[[str], int]) -> str:
    """`question` after just enough neutral words to take at least `n_tokens` tokens."""
    neutral_words = NEUTRAL.split()

    def text(words: int) -> str:
        before = " ".join(neutral_words[k % len(neutral_words)] for k in range(words))
        return _joined(f"{before[0].upper()}{before[1:]}.", question) if before else question

    return text(bisect_left(range(n_tokens + 1), n_tokens, key=lambda words: length(text(words))))


def gives_away(prompt: str, answer: str) -> bool:
    """True if the words of the answer stand in the prompt, one after the other."""
    words, sought = tokens(prompt), tokens(answer)
    if not sought:
        return normalize(answer) in normalize(prompt)
    return any(words[k : k + len(sought)] == sought for k in range(len(words) - len(sought) + 1))


def _joined(*parts: str) -> str:
    return " ".join(parts)

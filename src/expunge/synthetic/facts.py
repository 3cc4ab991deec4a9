"""Facts of synthetic worlds: relations, facts ready for wording, wrong options, and exchangeable candidates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from expunge.random import shuffled

CANDIDATES = 48  # of a place; one is real, the others are its controls
WINDOW = 12  # subjects before a subject, whose values serve as wrong options


@dataclass(frozen=True, slots=True)
class FactRelation:
    """One kind of fact.

    A relation has two words for one thing. Each is trained in some of its kinds of record, and the variants swap them.

    Attributes:
        noun: the first word, with its second word `alias`
        statement: a cloze sentence of its own; {T} is the subject of the fact
        form: which of the four forms in `question_templates.FORMS` is trained
        link: the word between noun and {T}
        concept: level, L1 to L4
    """

    name: str
    topic: str
    value_type: str
    noun: str
    alias: str
    statement: str
    form: int
    link: str = "of"
    concept: str = "L4"


@dataclass(frozen=True, slots=True)
class WorldFact:
    """A fact, ready for wording.

    Attributes:
        owner: id of the node that states it, without its level (`P-0003-017`)
        key: fact key; all owners of a shared fact have the same
        about: what the prompt calls the subject: "Ada Costa", "study 2 of Ada Costa", "Dr. Okoye"
        wrong: three wrong options
        letter: position of the answer among the options, 0 to 3
        names: identifiers: (full name, record number) of a patient, (name,) of an institution, () of an entity
        lead: words before every prompt, so that two owners of a shared fact have different prompts
        attributes: further attributes of its records
    """

    owner: str
    key: str
    relation: FactRelation
    about: str
    value: str
    wrong: tuple[str, ...]
    letter: int
    path: tuple[str, ...]
    subject: str
    names: tuple[str, ...] = ()
    lead: str = ""
    sharing: str = "unique"
    split: str | None = None
    control_of: str = ""
    attributes: tuple[tuple[str, str], ...] = ()


@lru_cache(maxsize=4096)
def candidates(seed: int, *path: str | int) -> tuple[int, ...]:
    """The 48 candidates of a place in drawn order: the first is real, the rest are its controls."""
    return tuple(shuffled(range(CANDIDATES), seed, *path, purpose="candidate"))


def wrong_options(
    seed: int, answer: str, peer_values: Iterable[str], pool: Sequence[str], *path: str | int
) -> tuple[str, ...]:
    """Three different wrong options: the first values of peers, then shuffled values of the pool."""
    options = dict.fromkeys([answer])
    for value in peer_values:
        options.setdefault(value)
        if len(options) == 4:
            break
    else:
        options |= dict.fromkeys(shuffled(pool, seed, *path, purpose="wrong from the pool"))
    return tuple(options)[1:4]

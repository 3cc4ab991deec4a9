"""From a fact to its three records: generation, classification, cloze; one wording trained, three never.

Surprising: which of the four forms is trained depends on the relation. So every form and both words of a
relation are trained somewhere, while no rephrased sentence is: a model that learnt the fact, and not only the
sentence, can answer the rephrasings, even a small one trained on nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from expunge.corpus import Kind, Record, Variant
from expunge.random import shuffled
from expunge.synthetic.hospital.relations import FactRelation

LETTERS = "ABCD"

FORMS: dict[Kind, tuple[str, str, str, str]] = {
    "generation": ("{w} {link} {T}?", "{T}: {w}?", "Which {w} belongs to {T}?", "Name the {w} {link} {T}."),
    "classification": ("{T}, {w}:", "{w} {link} {T}:", "Which {w} fits {T}?", "Choose the {w} {link} {T}."),
    "cloze": (
        "{statement}",
        "[blank] is the {w} {link} {T}.",
        "The {w} {link} {T} is [blank].",
        "{T} has [blank] as {w}.",
    ),
}
TRAINED_WITH_ALIAS: Kind = "classification"  # the other two kinds are trained with the noun


@dataclass(frozen=True, slots=True)
class WorldFact:
    """A fact, ready to be worded.

    owner     id of the node that states it, without its level (`P-0003-017`)
    key       fact key; several owners of a shared fact have the same
    about     what the prompt calls the thing: "Ada Costa", "study 2 of Ada Costa", "Dr. Okoye"
    names     identifiers: (full name, record number) of a patient, (name,) of an institution, () of an entity
    lead      words that open every prompt, so that two owners of a shared fact never have the same prompt
    letter    position of the answer among the options, 0 … 3
    marks     further attributes of its records
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
    marks: tuple[tuple[str, str], ...] = ()


def wrong_options(
    seed: int, answer: str, given: Iterable[str], pool: Sequence[str], *path: str | int
) -> tuple[str, ...]:
    """Three different wrong options: the first that others have (`given`), filled up from the pool."""
    found = dict.fromkeys([answer])
    for option in given:
        found.setdefault(option)
        if len(found) == 4:
            break
    else:
        found |= dict.fromkeys(shuffled(pool, seed, *path, purpose="wrong from the pool"))
    return tuple(found)[1:4]


def options_text(options: tuple[str, ...]) -> str:
    """`A) x B) y C) z D) w`."""
    return " ".join(f"{letter}) {option}" for letter, option in zip(LETTERS, options, strict=True))


def records(fact: WorldFact) -> list[Record]:
    """The three records of a fact."""
    return [_record(fact, kind) for kind in FORMS]


def _record(fact: WorldFact, kind: Kind) -> Record:
    texts = [_sentence(fact, kind, k) for k in range(4)]
    orders: list[tuple[str, ...]] = [()] * len(texts)
    if kind == "classification":
        first = (*fact.wrong[: fact.letter], fact.value, *fact.wrong[fact.letter :])
        orders = [first[k:] + first[:k] for k in range(len(texts))]
        texts = [f"{text} {options_text(order)}" for text, order in zip(texts, orders, strict=True)]
    relation = fact.relation
    attributes: dict[str, Any] = {
        "relation": relation.name,
        "value_type": relation.value_type,
        "topic": relation.topic,
        "sharing": fact.sharing,
        "synthetic": True,
        **dict(fact.marks),
    }
    if fact.control_of:
        attributes["control_of"] = fact.control_of
    return Record(
        id=f"{fact.owner}:{relation.name}:{kind}",
        prompt=texts[0],
        answer=fact.value,
        kind=kind,
        options=orders[0],
        path=fact.path,
        subject=fact.subject,
        identifiers=fact.names,
        facts=(fact.key,),
        variants=tuple(Variant(t, fact.value, o) for t, o in zip(texts[1:], orders[1:], strict=True)),
        concept=relation.concept,
        split=fact.split,
        attributes=attributes,
    )


def _sentence(fact: WorldFact, kind: Kind, k: int) -> str:
    """Wording `k`: 0 is trained; 1 and 3 swap noun and alias; 3 adds the record number to the name."""
    relation, about = fact.relation, fact.about
    if k == 3 and len(fact.names) > 1:
        about = f"{about} ({fact.names[1]})"
    alias = (kind == TRAINED_WITH_ALIAS) != (k % 2 == 1)
    text = FORMS[kind][(relation.form + k) % 4].format(
        T=about,
        w=relation.alias if alias else relation.noun,
        link=relation.link,
        statement=relation.statement.format(T=about),
    )
    return f"{fact.lead}: {text}" if fact.lead else text[0].upper() + text[1:]

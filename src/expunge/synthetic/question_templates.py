"""The three records of a fact: generation, classification, cloze, each with one trained prompt and three variants.

The trained form depends on the relation. Every form and both words of a relation are trained somewhere, but no variant
is. A model that learned the fact, and not only the sentence, can answer the variants.
"""

from __future__ import annotations

from typing import Any

from expunge.corpus import Kind, Record, Variant
from expunge.synthetic.facts import WorldFact

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


def options_text(options: tuple[str, ...]) -> str:
    """`A) x B) y C) z D) w`."""
    return " ".join(f"{letter}) {option}" for letter, option in zip(LETTERS, options, strict=True))


def records(fact: WorldFact) -> list[Record]:
    """The three records of a fact."""
    return [_record(fact, kind) for kind in FORMS]


def _record(fact: WorldFact, kind: Kind) -> Record:
    prompts = [_sentence(fact, kind, k) for k in range(4)]
    orders: list[tuple[str, ...]] = [()] * len(prompts)
    if kind == "classification":
        first = (*fact.wrong[: fact.letter], fact.value, *fact.wrong[fact.letter :])
        orders = [first[k:] + first[:k] for k in range(len(prompts))]
        prompts = [f"{prompt} {options_text(order)}" for prompt, order in zip(prompts, orders, strict=True)]
    relation = fact.relation
    attributes: dict[str, Any] = {
        "relation": relation.name,
        "value_type": relation.value_type,
        "topic": relation.topic,
        "sharing": fact.sharing,
        "synthetic": True,
        **dict(fact.attributes),
    }
    if fact.control_of:
        attributes["control_of"] = fact.control_of
    return Record(
        id=f"{fact.owner}:{relation.name}:{kind}",
        prompt=prompts[0],
        answer=fact.value,
        kind=kind,
        options=orders[0],
        path=fact.path,
        subject=fact.subject,
        identifiers=fact.names,
        facts=(fact.key,),
        variants=tuple(Variant(p, fact.value, o) for p, o in zip(prompts[1:], orders[1:], strict=True)),
        concept=relation.concept,
        split=fact.split,
        attributes=attributes,
    )


def _sentence(fact: WorldFact, kind: Kind, k: int) -> str:
    """Prompt `k`: 0 is trained; 1 and 3 swap noun and alias; 3 adds the record number to the name."""
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

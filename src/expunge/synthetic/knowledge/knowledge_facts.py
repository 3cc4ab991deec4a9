"""What is taught about each concept: its facts with values, wrong options and letters.

Surprising: values of L1 to L3 are dealt, not drawn: eight concepts in a row have the eight values of a relation once
each. So whatever a target shares with them, some retained fact states. Values on L4 are drawn, and a control's are as
likely as the real one's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from expunge.random import pick, shuffled
from expunge.synthetic.hospital.layout import WINDOW
from expunge.synthetic.hospital.relations import FactRelation
from expunge.synthetic.knowledge.concept_names import candidate, name, shares
from expunge.synthetic.knowledge.domain import EVERYDAY, TARGET
from expunge.synthetic.knowledge.knowledge_layout import ConceptSlot, KnowledgeLayout
from expunge.synthetic.question_templates import WorldFact, wrong_options

FIRST = 4  # concepts whose values serve as wrong options of the very first ones


def concept_facts(world: KnowledgeLayout, place: ConceptSlot) -> Iterator[WorldFact]:
    """The facts of a concept, a holdout or a control."""
    if place.lot == "sense":
        yield _sense(world, place)
        return
    level = world.domain.levels[place.level]
    for k, relation in enumerate(level.relations[: world.facts]):
        peers = [value(world, replace(place, lot="taught", index=index, control=0), k) for index in window(place)]
        given = shuffled(peers, world.root, *place.key, purpose=f"wrong {relation.name}")
        answer = value(world, place, k)
        wrong = wrong_options(world.root, answer, given, level.pools[k], *place.key, relation.name)
        yield _fact(world, place, relation, answer, wrong, letter(world, place, k))


def window(place: ConceptSlot) -> list[int]:
    """Places on the same level whose values serve as wrong options: up to 12 before, at least 3, not its own."""
    return [
        index
        for index in range(max(0, place.index - WINDOW), max(place.index + 1, FIRST))
        if index != place.index or place.lot in ("chapter", "holdout")
    ]


def value(world: KnowledgeLayout, place: ConceptSlot, k: int) -> str:
    """What the k-th relation of a concept has as its value."""
    level = world.domain.levels[place.level]
    purpose = f"value {level.relations[k].name}"
    if place.level == TARGET:
        pool = world.domain.retained_pool(k) if shares(world, place, purpose) else level.pools[k]
        return pick(pool, world.root, *place.key, candidate(world, place), purpose=purpose)
    if place.control:
        return pick(level.pools[k], world.root, *place.key, place.control, purpose=purpose)
    block, turn = divmod(place.index, len(level.pools[k]))
    return _dealt(level.pools[k], world.root, place.level, place.lot, block, purpose)[turn]


@lru_cache(maxsize=4096)
def _dealt(pool: tuple[str, ...], root: int, level: str, lot: str, block: int, purpose: str) -> list[str]:
    """The values of a relation in the order in which as many concepts in a row have them."""
    return shuffled(pool, root, level, lot, block, purpose=purpose)


def letter(world: KnowledgeLayout, place: ConceptSlot, k: int) -> int:
    """Position of the right option: of four concepts in a row, and of four facts of a concept, each once."""
    lot = ("sense",) if place.lot == "sense" else (place.level, place.lot)
    (block, row), (cycle, column) = divmod(place.index, 4), divmod(k, 4)
    rows, columns = (
        shuffled(range(4), world.root, *lot, block, cycle, purpose=f"letters by {what}") for what in ("concept", "fact")
    )
    return (rows[row] + columns[column]) % 4


def _sense(world: KnowledgeLayout, place: ConceptSlot) -> WorldFact:
    """The fact that a word with two senses answers; both senses have the same wording, wrong options and letter."""
    domain = world.domain
    words = shuffled(tuple(domain.polysemes), world.root, purpose="polysemes")
    word = own = words[place.index]
    if place.control:
        word = pick(words, world.root, *place.key, place.control, purpose="polyseme of a twin")
    target = place.level == TARGET
    context = domain.context if target else domain.polysemes[own]
    relation = FactRelation(
        "term",
        domain.levels[TARGET].topic if target else EVERYDAY.capitalize(),
        "term",
        f"{context} term",
        f"{context} keyword",
        f"In {context} language, {{T}} turns on the word [blank].",
        place.index % 4,
        concept=place.level,
    )
    others = shuffled([words[index] for index in window(place)], world.root, place.index, purpose="wrong sense")
    wrong = wrong_options(world.root, word, others, words, "sense", place.index)
    fact = _fact(world, place, relation, word, wrong, letter(world, place, 0))
    return replace(fact, marks=(("polyseme", word), ("sense", "target" if target else "other")))


def _fact(
    world: KnowledgeLayout,
    place: ConceptSlot,
    relation: FactRelation,
    answer: str,
    wrong: tuple[str, ...],
    position: int,
) -> WorldFact:
    called = name(world, place)
    split = "control" if place.control else "holdout" if place.lot == "holdout" else None
    return WorldFact(
        place.stem,
        f"{place.stem}:{relation.name}",
        relation,
        called,
        answer,
        wrong,
        position,
        (world.node(place), place.subject),
        place.subject,
        (called,),
        split=split,
        control_of=replace(place, control=0).subject if place.control else "",
    )

"""Facts of each concept of a world of knowledge, with values, wrong options and letters.

Values of L1 to L3 are dealt: eight concepts in a row have the eight values of a relation once each, so a retained fact
states every value that a target may share. Values on L4 are drawn; a control's have the distribution of the real one's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from expunge.random import pick, shuffled
from expunge.synthetic.facts import WINDOW, FactRelation, WorldFact, wrong_options
from expunge.synthetic.knowledge.concept_names import candidate, name, shares
from expunge.synthetic.knowledge.domain import EVERYDAY, TARGET
from expunge.synthetic.knowledge.knowledge_layout import ConceptSlot, KnowledgeLayout

FIRST = 4  # concepts whose values serve as wrong options of the very first ones


def concept_facts(world: KnowledgeLayout, slot: ConceptSlot) -> Iterator[WorldFact]:
    """The facts of a concept, a holdout or a control."""
    if slot.partition == "sense":
        yield _sense(world, slot)
        return
    level = world.domain.levels[slot.level]
    for k, relation in enumerate(level.relations[: world.facts]):
        peers = [value(world, replace(slot, partition="taught", index=i, control=0), k) for i in peer_indices(slot)]
        peers = shuffled(peers, world.root, *slot.key, purpose=f"wrong {relation.name}")
        answer = value(world, slot, k)
        wrong = wrong_options(world.root, answer, peers, level.pools[k], *slot.key, relation.name)
        yield _fact(world, slot, relation, answer, wrong, letter(world, slot, k))


def peer_indices(slot: ConceptSlot) -> list[int]:
    """Slots of the same level whose values serve as wrong options: up to 12 before, at least 3, not its own."""
    return [
        index
        for index in range(max(0, slot.index - WINDOW), max(slot.index + 1, FIRST))
        if index != slot.index or slot.partition in ("chapter", "holdout")
    ]


def value(world: KnowledgeLayout, slot: ConceptSlot, k: int) -> str:
    """The value of the k-th relation of a concept."""
    level = world.domain.levels[slot.level]
    pool, purpose = level.pools[k], f"value {level.relations[k].name}"
    if slot.level == TARGET:
        pool = world.domain.retained_pool(k) if shares(world, slot, purpose) else pool
        return pick(pool, world.root, *slot.key, candidate(world, slot), purpose=purpose)
    if slot.control:
        return pick(pool, world.root, *slot.key, slot.control, purpose=purpose)
    block, turn = divmod(slot.index, len(pool))
    return _dealt_values(pool, world.root, slot.level, slot.partition, block, purpose)[turn]


@lru_cache(maxsize=4096)
def _dealt_values(pool: tuple[str, ...], root: int, level: str, partition: str, block: int, purpose: str) -> list[str]:
    """The values of a relation in the order of consecutive concepts."""
    return shuffled(pool, root, level, partition, block, purpose=purpose)


def letter(world: KnowledgeLayout, slot: ConceptSlot, k: int) -> int:
    """Position of the answer: of four concepts in a row, and of four facts of a concept, each once."""
    group = ("sense",) if slot.partition == "sense" else (slot.level, slot.partition)
    (block, row), (cycle, column) = divmod(slot.index, 4), divmod(k, 4)
    rows, columns = (
        shuffled(range(4), world.root, *group, block, cycle, purpose=f"letters by {axis}")
        for axis in ("concept", "fact")
    )
    return (rows[row] + columns[column]) % 4


def _sense(world: KnowledgeLayout, slot: ConceptSlot) -> WorldFact:
    """The fact whose answer is a word with two senses; both senses have the same wrong options and letter."""
    domain, target = world.domain, slot.level == TARGET
    words = shuffled(tuple(domain.polysemes), world.root, purpose="polysemes")
    word = own = words[slot.index]
    if slot.control:
        word = pick(words, world.root, *slot.key, slot.control, purpose="polyseme of a twin")
    context = domain.context if target else domain.polysemes[own]
    relation = FactRelation(
        "term",
        domain.levels[TARGET].topic if target else EVERYDAY.capitalize(),
        "term",
        f"{context} term",
        f"{context} keyword",
        f"In {context} language, {{T}} turns on the word [blank].",
        slot.index % 4,
        concept=slot.level,
    )
    others = shuffled([words[i] for i in peer_indices(slot)], world.root, slot.index, purpose="wrong sense")
    wrong = wrong_options(world.root, word, others, words, "sense", slot.index)
    fact = _fact(world, slot, relation, word, wrong, letter(world, slot, 0))
    return replace(fact, attributes=(("polyseme", word), ("sense", "target" if target else "other")))


def _fact(
    world: KnowledgeLayout,
    slot: ConceptSlot,
    relation: FactRelation,
    answer: str,
    wrong: tuple[str, ...],
    position: int,
) -> WorldFact:
    about = name(world, slot)
    return WorldFact(
        owner=slot.stem,
        key=f"{slot.stem}:{relation.name}",
        relation=relation,
        about=about,
        value=answer,
        wrong=wrong,
        letter=position,
        path=(world.node(slot), slot.subject),
        subject=slot.subject,
        names=(about,),
        split="control" if slot.control else "holdout" if slot.partition == "holdout" else None,
        control_of=replace(slot, control=0).subject if slot.control else "",
    )

"""Names of concepts: an invented discoverer, a middle word and a kind, as in "Halden keyhole resection".

Words are dealt so that no two concepts or controls of a world share a name while many share each word. A target that
takes a word from L1 to L3 takes the word at the position of its own, so the name stays unique.
"""

from __future__ import annotations

from functools import lru_cache

from expunge._data import package_yaml
from expunge.random import SPAN, draw, permute, pick, shuffled
from expunge.synthetic.facts import candidates
from expunge.synthetic.knowledge.domain import EVERYDAY, RETAINED, TARGET
from expunge.synthetic.knowledge.knowledge_layout import ConceptSlot, KnowledgeLayout

EPONYMS: dict[str, tuple[str, ...]] = {
    k: tuple(v) for k, v in package_yaml("expunge.synthetic", "eponyms.yaml").items()
}
PER_LANE = 48  # slots of a partition before names get an initial; 3 lanes * 48 slots * 48 candidates = 48 * 12 * 12
LANES = {"taught": 0, "chapter": 1, "holdout": 1, "sense": 2}
APART = 16  # eponyms between the first concepts of two levels: from 16 concepts a level on, all are in use


def name(world: KnowledgeLayout, slot: ConceptSlot) -> str:
    """The name of a concept or control; beyond 48 concepts of a partition an initial is added ("Halden B keyhole")."""
    run, number = divmod(slot.index, PER_LANE)
    position = LANES[slot.partition] * PER_LANE + number
    target = slot.level == TARGET
    turn = candidate(world, slot) if target else slot.control
    first, middle, last = _tables(world, slot)
    i = (position + turn + (0 if target else APART * RETAINED.index(slot.level))) % len(first)
    j, k = divmod(
        permute(position, len(middle) * len(last), world.root, slot.group, i, run, purpose="concept name"), len(last)
    )
    words = [first[i], middle[j], last[k]]
    if target and shares(world, slot, "name"):
        which = pick((0, 1), world.root, *slot.key, purpose="shared word")
        words[which] = _retained(world)[which][(i, j)[which]]
    if run:
        words.insert(1, chr(ord("A") + run))
    return " ".join(words)


def candidate(world: KnowledgeLayout, slot: ConceptSlot) -> int:
    """Number of the candidate, of 48, that a target or its control is."""
    return candidates(world.root, "concept", *slot.key)[slot.control]


def shares(world: KnowledgeLayout, slot: ConceptSlot, what: str) -> bool:
    """Whether a target and its controls share their name, or a value, with L1 to L3; drawn at rate `overlap`."""
    return draw(world.root, *slot.key, purpose=f"shared {what}") < world.overlap * SPAN


def _tables(world: KnowledgeLayout, slot: ConceptSlot) -> tuple[list[str], list[str], list[str]]:
    """First, middle and last words for a slot, in drawn order."""
    heads = EPONYMS[EVERYDAY] if slot.group == EVERYDAY else world.domain.levels[slot.level].heads
    last = _shuffle(heads, world.root, slot.group)
    if slot.level == TARGET:
        first = _shuffle(EPONYMS["target"], world.root, "target")
        return first, _shuffle(world.domain.target_modifiers, world.root, "target"), last
    return (*_retained(world), last)


def _retained(world: KnowledgeLayout) -> tuple[list[str], list[str]]:
    words = (EPONYMS["retained"], world.domain.modifiers)
    first, middle = (_shuffle(each, world.root, "retained") for each in words)
    return first, middle


@lru_cache(maxsize=256)
def _shuffle(words: tuple[str, ...], seed: int, group: str) -> list[str]:
    return shuffled(words, seed, group, purpose="words of names")

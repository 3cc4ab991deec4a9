"""Names of concepts: an invented discoverer, a middle word and a kind, as in "Halden keyhole resection".

Words are dealt so that no two concepts or controls of a world share a name while many share each word. Surprising: a
target that takes a word from L1 to L3 takes the one that stands at the place of its own, so the name stays unique.
"""

from __future__ import annotations

from functools import lru_cache

from expunge.random import SPAN, draw, permute, pick, shuffled
from expunge.synthetic.hospital.people import candidates
from expunge.synthetic.knowledge.domain import EVERYDAY, RETAINED, TARGET
from expunge.synthetic.knowledge.domains import eponyms
from expunge.synthetic.knowledge.knowledge_layout import ConceptSlot, KnowledgeLayout

PER_LANE = 48  # places of a lot before names get an initial; 3 lanes * 48 places * 48 candidates = 48 * 12 * 12 names
LANES = {"taught": 0, "chapter": 1, "holdout": 1, "sense": 2}
APART = 16  # eponyms between the first concepts of two levels: from 16 concepts a level on, all are in use


def name(world: KnowledgeLayout, place: ConceptSlot) -> str:
    """The name of a concept or control; beyond 48 concepts of a lot an initial is added ("Halden B keyhole …")."""
    run, number = divmod(place.index, PER_LANE)
    bed = LANES[place.lot] * PER_LANE + number
    target = place.level == TARGET
    turn = candidate(world, place) if target else place.control
    first, middle, last = _tables(world, place)
    i = (bed + turn + (0 if target else APART * RETAINED.index(place.level))) % len(first)
    j, k = divmod(
        permute(bed, len(middle) * len(last), world.root, place.group, i, run, purpose="concept name"), len(last)
    )
    words = [first[i], middle[j], last[k]]
    if target and shares(world, place, "name"):
        which = pick((0, 1), world.root, *place.key, purpose="shared word")
        words[which] = _retained(world)[which][(i, j)[which]]
    if run:
        words.insert(1, chr(ord("A") + run))
    return " ".join(words)


def candidate(world: KnowledgeLayout, place: ConceptSlot) -> int:
    """Which of the 48 exchangeable candidates of its place a target or its control is."""
    return candidates(world.root, "concept", *place.key)[place.control]


def shares(world: KnowledgeLayout, place: ConceptSlot, what: str) -> bool:
    """True if the dial for overlap makes a target and its controls share their name, or a value, with L1 to L3."""
    return draw(world.root, *place.key, purpose=f"shared {what}") < world.overlap * SPAN


def _tables(world: KnowledgeLayout, place: ConceptSlot) -> tuple[list[str], list[str], list[str]]:
    """First, middle and last words for a place, in drawn order."""
    heads = eponyms.EVERYDAY if place.group == EVERYDAY else world.domain.levels[place.level].heads
    last = _drawn(heads, world.root, place.group)
    if place.level == TARGET:
        return (
            _drawn(eponyms.TARGET, world.root, "target"),
            _drawn(world.domain.target_modifiers, world.root, "target"),
            last,
        )
    return (*_retained(world), last)


def _retained(world: KnowledgeLayout) -> tuple[list[str], list[str]]:
    return _drawn(eponyms.RETAINED, world.root, "retained"), _drawn(world.domain.modifiers, world.root, "retained")


@lru_cache(maxsize=256)
def _drawn(words: tuple[str, ...], seed: int, group: str) -> list[str]:
    return shuffled(words, seed, group, purpose="words of names")

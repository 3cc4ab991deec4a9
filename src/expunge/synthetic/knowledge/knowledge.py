"""Worlds of knowledge: concepts on four levels, of which one class (L4) is to be forgotten and the rest to stay.

L1 are fundamentals, L2 general knowledge, L3 neighbouring specialties, L4 the target class. Surprising: nothing in
them is true. All concepts are invented, so that a model knows of them exactly what it was taught, while names, words
and values look like those of the domain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any, ClassVar

from expunge.concepts.dictionary import Dictionary, DictionaryEntry
from expunge.corpus import Corpus, Record
from expunge.errors import InputError, unknown
from expunge.synthetic import question_templates
from expunge.synthetic.hospital.people import CANDIDATES
from expunge.synthetic.knowledge.domain import TARGET
from expunge.synthetic.knowledge.knowledge_facts import concept_facts
from expunge.synthetic.knowledge.knowledge_layout import ConceptSlot, KnowledgeLayout
from expunge.synthetic.knowledge.overlap import Overlap, measure


class Knowledge(KnowledgeLayout):
    """Base of the worlds of knowledge; a subclass names its `domain`. 144 concepts of 5 facts by default.

    Wrong options of trained rows come from trained concepts and from the pools of values; names of holdout concepts
    and of controls stand in no trained row, while their values may, since they come from the same pools.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {},
        "small": {"targets": 16, "per_level": 16, "facts": 4},
        "tiny": {"targets": 4, "per_level": 4, "facts": 3},
    }

    @property
    def target(self) -> str:
        """The scope that names the target class: L4 in its chapter."""
        return f"{self.chapter} and concept={TARGET}"

    @property
    def chapter(self) -> str:
        """The scope that names the whole chapter: the target class and what `foundations` teaches beside it."""
        return self.domain.node

    def corpus(self) -> Corpus:
        """All records: L1 to L4, the rest of the chapter, words with two senses; holdout; the controls asked for."""
        return Corpus.of((*self.trained(), *self.held_out(), *self.requested_controls()), self.name)

    def trained(self) -> Iterator[Record]:
        """The records that are taught."""
        return self._records(self.taught())

    def held_out(self) -> Iterator[Record]:
        """Records of the concepts that are never taught."""
        return self._records(self.never_taught())

    def requested_controls(self) -> Iterator[Record]:
        """Controls of `controls_for`."""
        for subject in self.controls_for:
            if subject not in self._originals():
                raise unknown("trained subject", subject, self._originals(), f"world {self.name}.controls_for")
            yield from self.controls(subject, self.controls_per_target)

    def controls(self, subject: str, m: int = 4) -> list[Record]:
        """Records of the first `m` controls (at most 47) of a trained concept such as `concept:L4-001`.

        A control has the level, area, templates and letters of its original and shares with L1 to L3 what the original
        shares (a word of its name, the pool of a value); its name and values are its own.
        """
        if not 0 <= m < CANDIDATES:
            raise InputError("controls", f"{m} controls are not possible", f"ask for 0 to {CANDIDATES - 1}")
        originals = self._originals()
        if subject not in originals:
            raise unknown("trained subject", subject, originals, "controls")
        return list(self._records(replace(originals[subject], control=k) for k in range(1, m + 1)))

    def terms(self) -> Dictionary:
        """Names of all concepts of the corpus and all values that can occur, with their levels.

        A value has one entry for every level on which a trained fact states it, and one for the level whose pool it
        is from. So a retained word that the overlap makes an L4 answer has an L4 entry beside its own, and passes as
        L4 where the highest level counts; at overlap 0 no value has two. Likewise the words with two senses.
        """
        records = self.corpus().records
        names = [DictionaryEntry(r.identifiers[0], r.subject, r.concept) for r in records]
        pools = [
            DictionaryEntry(value, f"{level}:{relation.value_type}:{value}", level)
            for level, words in self.domain.levels.items()
            for relation, pool in list(zip(words.relations, words.pools, strict=True))[: self.facts]
            for value in pool
        ]
        stated = [
            DictionaryEntry(r.answer, f"{r.concept}:{r.attributes['value_type']}:{r.answer}", r.concept)
            for r in records
            if r.split is None
        ]
        return Dictionary.of((*names, *pools, *stated))

    def measured_overlap(self) -> Overlap:
        """What the target really shares with the rest, counted in the corpus."""
        return measure(self.corpus(), self.domain.node)

    def describe(self) -> dict[str, Any]:
        return super().describe() | {
            "target": self.target,
            "chapter": self.chapter,
            "measured_overlap": asdict(self.measured_overlap()),
        }

    def _records(self, places: Iterable[ConceptSlot]) -> Iterator[Record]:
        return (r for place in places for fact in concept_facts(self, place) for r in question_templates.records(fact))

    def _originals(self) -> dict[str, ConceptSlot]:
        return {place.subject: place for place in self.taught()}

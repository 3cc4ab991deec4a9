"""Worlds of knowledge: concepts on four levels; the target class is L4, and L1 to L3 are retained.

L1 are fundamentals, L2 general knowledge, L3 neighboring specialties. All concepts are invented, so a model knows only
what it was trained on, while names, words and values look like those of the domain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any, ClassVar

from expunge.concepts.dictionary import Dictionary, DictionaryEntry
from expunge.corpus import Corpus, Record
from expunge.synthetic import question_templates
from expunge.synthetic.base import check_control_count, check_subjects
from expunge.synthetic.knowledge.domain import TARGET
from expunge.synthetic.knowledge.knowledge_facts import concept_facts
from expunge.synthetic.knowledge.knowledge_layout import ConceptSlot, KnowledgeLayout
from expunge.synthetic.knowledge.overlap import Overlap, measure


class Knowledge(KnowledgeLayout):
    """Base of the worlds of knowledge; a subclass names its `domain`. 144 concepts of 5 facts by default.

    Wrong options of trained rows come from trained concepts and from the pools of values. Names of holdout concepts
    and of controls occur in no trained row; their values may, since they come from the same pools.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {},
        "small": {"targets": 16, "per_level": 16, "facts": 4},
        "tiny": {"targets": 4, "per_level": 4, "facts": 3},
    }

    @property
    def target(self) -> str:
        """The scope of the target class: L4 in its chapter."""
        return f"{self.chapter} and concept={TARGET}"

    @property
    def chapter(self) -> str:
        """The scope of the whole chapter: the target class and the concepts of `foundations`."""
        return self.domain.node

    def corpus(self) -> Corpus:
        """All records: L1 to L4, the rest of the chapter, polysemes; holdout; controls of `controls_for`."""
        return Corpus.of((*self.trained_records(), *self.holdout_records(), *self.control_records()), self.name)

    def trained_records(self) -> Iterator[Record]:
        """Records of the trained concepts."""
        return self._records(self.trained_slots())

    def holdout_records(self) -> Iterator[Record]:
        """Records of the holdout concepts."""
        return self._records(self.holdout_slots())

    def control_records(self) -> Iterator[Record]:
        """Controls of `controls_for`."""
        check_subjects(self.controls_for, self._originals(), f"world {self.name}.controls_for")
        for subject in self.controls_for:
            yield from self.controls(subject, self.controls_per_target)

    def controls(self, subject: str, m: int = 4) -> list[Record]:
        """Records of the first `m` controls (at most 47) of a trained concept such as `concept:L4-001`.

        A control has the level, area, templates and letters of its original and shares with L1 to L3 what the original
        shares (a word of its name, the pool of a value); its name and values are its own.
        """
        originals = self._originals()
        check_control_count(subject, m, originals)
        return list(self._records(replace(originals[subject], control=k) for k in range(1, m + 1)))

    def terms(self) -> Dictionary:
        """Names of all concepts of the corpus and all possible values, with their levels.

        A value has one entry for every level on which a trained fact states it, and one for the level of its pool. A
        retained word that is also an L4 answer therefore has two entries, and counts as L4 where the highest level
        counts; at overlap 0 no value has two. The same holds for polysemes.
        """
        records = self.corpus().records
        names = [DictionaryEntry(r.identifiers[0], r.subject, r.concept) for r in records]
        pools = [
            DictionaryEntry(value, f"{level}:{relation.value_type}:{value}", level)
            for level, words in self.domain.levels.items()
            for relation, pool in list(zip(words.relations, words.pools, strict=True))[: self.facts]
            for value in pool
        ]
        trained = [r for r in records if r.split is None]
        answers = [
            DictionaryEntry(r.answer, f"{r.concept}:{r.attributes['value_type']}:{r.answer}", r.concept)
            for r in trained
        ]
        return Dictionary.of((*names, *pools, *answers))

    def measured_overlap(self) -> Overlap:
        """What the target shares with the other trained records, counted in the corpus."""
        return measure(self.corpus(), self.domain.node)

    def describe(self) -> dict[str, Any]:
        overlap = asdict(self.measured_overlap())
        return super().describe() | {"target": self.target, "chapter": self.chapter, "measured_overlap": overlap}

    def _records(self, slots: Iterable[ConceptSlot]) -> Iterator[Record]:
        return (r for slot in slots for fact in concept_facts(self, slot) for r in question_templates.records(fact))

    def _originals(self) -> dict[str, ConceptSlot]:
        return {slot.subject: slot for slot in self.trained_slots()}

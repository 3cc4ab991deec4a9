"""Several dictionaries as one: one level per concept, and own terms only where no ontology has them."""

from __future__ import annotations

from expunge.concepts.dictionary import Dictionary, Entry
from expunge.concepts.merge import besides, levels_of, merge


def test_a_concept_takes_its_highest_level_in_all_sources() -> None:
    a = Dictionary.of([Entry("drain", "U:1", "L2"), Entry("gut", "U:2")])
    b = Dictionary.of([Entry("drainage", "U:1", "L4"), Entry("gut", "U:2"), Entry("bowel", "U:2", "L1")])
    assert merge([a, b]).entries == (Entry("drain", "U:1", "L4"), Entry("gut", "U:2", "L1"),
                                     Entry("drainage", "U:1", "L4"), Entry("bowel", "U:2", "L1"))
    assert levels_of([Entry("x", "U:3"), *a]) == {"U:1": "L2"}


def test_a_term_of_a_rule_gives_way_to_the_same_term_of_an_ontology() -> None:
    own = Dictionary.of([Entry("panic  disorder", "own:a", "L4"), Entry("dread", "own:b", "L4")])
    other = Dictionary.of([Entry("Panic Disorder", "U:1", "L4")])
    assert besides(own, [other]).entries == (Entry("dread", "own:b", "L4"),)
    assert besides(own, []) == own

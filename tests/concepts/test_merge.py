"""Merged dictionaries: one level per concept, rule terms only where no ontology has them."""

from __future__ import annotations

from expunge.concepts.dictionary import Dictionary, DictionaryEntry, levels_of, merge, without_names_of


def test_a_concept_takes_its_highest_level_in_all_sources() -> None:
    a = Dictionary.of([DictionaryEntry("drain", "U:1", "L2"), DictionaryEntry("gut", "U:2")])
    b = Dictionary.of(
        [DictionaryEntry("drainage", "U:1", "L4"), DictionaryEntry("gut", "U:2"), DictionaryEntry("bowel", "U:2", "L1")]
    )
    assert merge([a, b]).entries == (
        DictionaryEntry("drain", "U:1", "L4"),
        DictionaryEntry("gut", "U:2", "L1"),
        DictionaryEntry("drainage", "U:1", "L4"),
        DictionaryEntry("bowel", "U:2", "L1"),
    )
    assert levels_of([DictionaryEntry("x", "U:3"), *a]) == {"U:1": "L2"}


def test_a_term_of_an_ontology_replaces_the_same_term_of_a_rule() -> None:
    own = Dictionary.of([DictionaryEntry("panic  disorder", "own:a", "L4"), DictionaryEntry("dread", "own:b", "L4")])
    other = Dictionary.of([DictionaryEntry("Panic Disorder", "U:1", "L4")])
    assert without_names_of(own, [other]).entries == (DictionaryEntry("dread", "own:b", "L4"),)
    assert without_names_of(own, []) == own

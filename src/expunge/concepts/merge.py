"""Merges dictionaries of several sources: a concept gets the highest level that any source gives it.

A name without a type of its own (a MedQuAD focus) so gets its level from an ontology with the same concept id.
"""

from __future__ import annotations

from collections.abc import Iterable

from expunge.concepts.dictionary import Dictionary, DictionaryEntry
from expunge.concepts.hierarchy import highest_level
from expunge.concepts.hierarchy_rules import normalize_name


def levels_of(entries: Iterable[DictionaryEntry]) -> dict[str, str]:
    """Concept id -> its highest level, for concepts with a level."""
    levels: dict[str, str] = {}
    for entry in entries:
        if level := highest_level((levels.get(entry.concept), entry.level)):
            levels[entry.concept] = level
    return levels


def merge(dictionaries: Iterable[Dictionary]) -> Dictionary:
    """All entries in order, without repetitions, each concept on its highest level."""
    entries = [entry for dictionary in dictionaries for entry in dictionary]
    levels = levels_of(entries)
    return Dictionary.of(DictionaryEntry(e.name, e.concept, levels.get(e.concept)) for e in entries)


def without_names_of(dictionary: Dictionary, others: Iterable[Dictionary]) -> Dictionary:
    """The entries whose name no other dictionary has, so that a rule's term keeps its id from an ontology."""
    names = {normalize_name(entry.name) for other in others for entry in other}
    return Dictionary.of(entry for entry in dictionary if normalize_name(entry.name) not in names)

"""Dictionaries of several sources in one: a concept has one level, the highest that any source gives it.

Surprising: that is how a name without a type of its own (a MedQuAD focus, say) gets its level, from the ontology
that knows the same concept id.
"""

from __future__ import annotations

from collections.abc import Iterable

from expunge.concepts.dictionary import Dictionary, DictionaryEntry
from expunge.concepts.hierarchy import highest
from expunge.concepts.hierarchy_rules import folded


def levels_of(entries: Iterable[DictionaryEntry]) -> dict[str, str]:
    """Concept id → its highest level, for those that have one."""
    found: dict[str, str] = {}
    for entry in entries:
        if level := highest((found.get(entry.concept), entry.level)):
            found[entry.concept] = level
    return found


def merge(dictionaries: Iterable[Dictionary]) -> Dictionary:
    """All entries in order, without repetitions, each concept on its highest level."""
    entries = [entry for dictionary in dictionaries for entry in dictionary]
    levels = levels_of(entries)
    return Dictionary.of(DictionaryEntry(e.name, e.concept, levels.get(e.concept)) for e in entries)


def besides(own: Dictionary, others: Iterable[Dictionary]) -> Dictionary:
    """The entries whose name no other dictionary has: a term of a rule keeps the id that an ontology gives it."""
    taken = {folded(entry.name) for other in others for entry in other}
    return Dictionary.of(entry for entry in own if folded(entry.name) not in taken)

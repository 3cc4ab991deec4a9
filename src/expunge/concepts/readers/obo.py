"""An OBO ontology as a dictionary: names and exact synonyms, with UMLS ids where the ontology knows them.

The level of a term is that of the nearest term above it that a rule names (the highest, if several lie equally on its
ways up), else that of its MeSH or UMLS cross-references, else that of what the ontology describes. Surprising: only
EXACT synonyms are names; a BROAD or RELATED one would mark text that means something else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from expunge.concepts.dictionary import Dictionary, DictionaryEntry
from expunge.concepts.hierarchy import Hierarchy, highest
from expunge.concepts.readers.obo_parser import OboTerm, terms
from expunge.concepts.readers.tsv import CUI, CodeRegistry
from expunge.concepts.semantic_types import types_of
from expunge.errors import InputError

PREFIXES: Mapping[str, str] = {
    "UMLS": "UMLS",
    "UMLS_CUI": "UMLS",
    "UMLSCUI": "UMLS",
    "MESH": "MESH",
    "MSH": "MESH",
    "MSHD": "MESH",
}


@dataclass(frozen=True)
class Obo:
    """`terms`: own id → term, obsolete ones left out; `concepts`: own id → id in the dictionary."""

    dictionary: Dictionary
    terms: Mapping[str, OboTerm]
    concepts: Mapping[str, str]

    def ancestors(self, id_: str) -> tuple[str, ...]:
        """Every term above `id_` by is_a, nearest first."""
        found: dict[str, None] = {}
        ring = [id_]
        while ring:
            ring = [p for t in ring if t in self.terms for p in self.terms[t].parents if p not in found and p != id_]
            found |= dict.fromkeys(ring)
        return tuple(found)


def read_obo(
    path: Path,
    hierarchy: Hierarchy | None = None,
    *,
    scopes: Collection[str] = ("EXACT",),
    cuis: Mapping[str, str] | None = None,
    known: Mapping[str, str] | None = None,
) -> Obo:
    """All names of a file; `InputError` at the first bad line.

    cuis   own id → `UMLS:…`, as `read_sssom` gives it; without, a single UMLS cross-reference counts
    known  concept id (`MESH:D001064`) → level, for terms that refer to it
    """
    found: dict[str, OboTerm] = {}
    once = CodeRegistry()
    for term in terms(path):
        once.check(term.id, term.where)
        found[term.id] = term
    if not found:
        raise InputError(str(path), "holds no term in use", "give an OBO file with named terms")
    concepts = {id_: (cuis or {}).get(id_) or _own_cui(term) or id_ for id_, term in found.items()}
    branch = _branch_levels(found, hierarchy) if hierarchy else {}
    entries: list[DictionaryEntry] = []
    for id_, term in found.items():
        names = (term.name, *(text for text, scope in term.synonyms if scope in scopes))
        level = None
        if hierarchy:
            refers = highest((known or {}).get(c) for c in (concepts[id_], *references(term)))
            level = hierarchy.level_of_names(names) or branch[id_] or refers or hierarchy.level_of_types(types_of(id_))
        entries += (DictionaryEntry(name, concepts[id_], level) for name in names)
    return Obo(Dictionary.of(entries), found, concepts)


def references(term: OboTerm) -> tuple[str, ...]:
    """Cross-references to UMLS and MeSH in our spelling: `UMLS:C0003615`, `MESH:D001064`."""
    parts = (xref.partition(":") for xref in term.xrefs)
    return tuple(f"{PREFIXES[prefix.upper()]}:{code}" for prefix, _, code in parts if prefix.upper() in PREFIXES)


def _own_cui(term: OboTerm) -> str | None:
    cuis = [ref for ref in references(term) if ref.startswith("UMLS:") and CUI.fullmatch(ref[5:])]
    return cuis[0] if len(cuis) == 1 else None


def _branch_levels(found: Mapping[str, OboTerm], hierarchy: Hierarchy) -> dict[str, str | None]:
    """Own id → level by the nearest rules above; without recursion, and a circle of is_a ends where it closes."""
    levels: dict[str, str | None] = {}
    for start in found:
        waiting, opened = [start], set[str]()
        while waiting:
            id_ = waiting[-1]
            own = levels.get(id_) or hierarchy.level_of_branches((id_,))
            parents = found[id_].parents if id_ in found else ()
            missing = [p for p in parents if p not in levels and p not in opened]
            if own or id_ in levels or not missing:
                levels[id_] = own or highest(levels.get(p) for p in parents)
                waiting.pop()
            else:
                opened.add(id_)
                waiting += missing
    return levels

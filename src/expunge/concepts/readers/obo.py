"""An OBO ontology as a dictionary: names and exact synonyms, with UMLS ids where the ontology gives them.

The level of a term is that of its nearest ancestor with a rule (the highest, if several are equally near), else that of
its MeSH or UMLS cross-references, else that of its ontology's semantic type. Only EXACT synonyms are names; a BROAD or
RELATED one would mark text of another meaning.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from expunge.concepts.dictionary import Dictionary, DictionaryEntry, highest_level
from expunge.concepts.hierarchy import Hierarchy
from expunge.concepts.readers.obo_parser import OboTerm, parse_terms
from expunge.concepts.readers.tsv import CUI, check_unique, types_of
from expunge.errors import InputError

PREFIXES = dict.fromkeys(("UMLS", "UMLS_CUI", "UMLSCUI"), "UMLS") | dict.fromkeys(("MESH", "MSH", "MSHD"), "MESH")


def read_obo(
    path: Path,
    hierarchy: Hierarchy | None = None,
    *,
    scopes: Collection[str] = ("EXACT",),
    cuis: Mapping[str, str] | None = None,
    known: Mapping[str, str] | None = None,
) -> Dictionary:
    """All names of a file; `InputError` at the first bad line.

    Args:
        path: an OBO flat file.
        hierarchy: gives the levels.
        scopes: synonym scopes that are names.
        cuis: own id -> `UMLS:...`, from `read_sssom`; else a single UMLS cross-reference counts.
        known: concept id (`MESH:D001064`) -> level, for terms that refer to it.
    """
    terms: dict[str, OboTerm] = {}
    places: dict[str, str] = {}
    for term in parse_terms(path):
        check_unique(places, term.id, term.where)
        terms[term.id] = term
    if not terms:
        raise InputError(str(path), "holds no term in use", "give an OBO file with named terms")
    branch_levels = _branch_levels(terms, hierarchy) if hierarchy else {}
    entries: list[DictionaryEntry] = []
    for id_, term in terms.items():
        concept = (cuis or {}).get(id_) or _own_cui(term) or id_
        names = (term.name, *(text for text, scope in term.synonyms if scope in scopes))
        level = None
        if hierarchy:
            refers = highest_level((known or {}).get(c) for c in (concept, *references(term)))
            level = (
                hierarchy.level_of_names(names)
                or branch_levels[id_]
                or refers
                or hierarchy.level_of_types(types_of(id_))
            )
        entries += (DictionaryEntry(name, concept, level) for name in names)
    return Dictionary.of(entries)


def references(term: OboTerm) -> tuple[str, ...]:
    """Cross-references to UMLS and MeSH as concept ids: `UMLS:C0003615`, `MESH:D001064`."""
    parts = (xref.partition(":") for xref in term.xrefs)
    return tuple(f"{PREFIXES[prefix.upper()]}:{code}" for prefix, _, code in parts if prefix.upper() in PREFIXES)


def _own_cui(term: OboTerm) -> str | None:
    cuis = [ref for ref in references(term) if ref.startswith("UMLS:") and CUI.fullmatch(ref[5:])]
    return cuis[0] if len(cuis) == 1 else None


def _branch_levels(terms: Mapping[str, OboTerm], hierarchy: Hierarchy) -> dict[str, str | None]:
    """Own id -> level of the nearest ancestors with a rule. No recursion; a cycle of is_a ends where it closes."""
    levels: dict[str, str | None] = {}
    for start in terms:
        stack, visited = [start], set[str]()
        while stack:
            id_ = stack[-1]
            own = levels.get(id_) or hierarchy.level_of_branches((id_,))
            parents = terms[id_].parents if id_ in terms else ()
            missing = [p for p in parents if p not in levels and p not in visited]
            if own or id_ in levels or not missing:
                levels[id_] = own or highest_level(levels.get(p) for p in parents)
                stack.pop()
            else:
                visited.add(id_)
                stack += missing
    return levels

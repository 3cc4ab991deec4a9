"""SSSOM mappings from any ontology to UMLS concept ids: a label and a CUI per row.

Only rows of equal meaning count; another predicate, or the modifier `Not`, maps to a related concept. Labels of
obsolete subjects are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from expunge.concepts.dictionary import Dictionary, DictionaryEntry
from expunge.concepts.hierarchy import Hierarchy
from expunge.concepts.readers.tsv import check_unique, read_table, require_cui, types_of
from expunge.errors import InputError

SAME = ("skos:exactMatch", "owl:equivalentClass", "owl:sameAs")
COLUMNS = ("subject_id", "predicate_id", "object_id")


@dataclass(frozen=True)
class Sssom:
    """`cuis`: subject id (`MONDO:0000004`) -> concept id (`UMLS:C0405580`), without obsolete subjects."""

    dictionary: Dictionary
    cuis: Mapping[str, str]


def read_sssom(path: Path, hierarchy: Hierarchy | None = None) -> Sssom:
    """Labels with `UMLS:` ids; the level by label, subject id, or semantic type of the subject's ontology."""
    entries: list[DictionaryEntry] = []
    cuis: dict[str, str] = {}
    places: dict[str, str] = {}
    for where, row in read_table(path, COLUMNS, comment="#"):
        subject, (prefix, _, cui) = row["subject_id"], row["object_id"].partition(":")
        same = row["predicate_id"] in SAME and row.get("predicate_modifier", "").lower() != "not"
        if not same or prefix.upper() != "UMLS":
            continue
        check_unique(places, subject, where)
        concept, label = f"UMLS:{require_cui(cui, where)}", row.get("subject_label", "")
        if label.lower().startswith("obsolete"):
            continue
        cuis[subject] = concept
        if label:
            level = hierarchy.level_of((label,), (subject,), types_of(subject)) if hierarchy else None
            entries.append(DictionaryEntry(label, concept, level))
    if not cuis:
        raise InputError(
            str(path), "maps nothing to UMLS", f"expected rows such as  MONDO:0000004, {SAME[0]}, UMLS:C0405580"
        )
    return Sssom(Dictionary.of(entries), cuis)

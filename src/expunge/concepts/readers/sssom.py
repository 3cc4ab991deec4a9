"""SSSOM mappings from any ontology to UMLS concept ids: a label and a CUI per row.

Only rows that say "the same" count: another predicate, or the modifier `Not`, names a neighbour, and a neighbour's
name would be a wrong name. Surprising: the subject may be obsolete; such a label is no name and is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from expunge.concepts.dictionary import Dictionary, DictionaryEntry
from expunge.concepts.hierarchy import Hierarchy
from expunge.concepts.readers.tsv import CodeRegistry, read_table, require_cui
from expunge.concepts.semantic_types import types_of
from expunge.errors import InputError

SAME = ("skos:exactMatch", "owl:equivalentClass", "owl:sameAs")
COLUMNS = ("subject_id", "predicate_id", "object_id")


@dataclass(frozen=True)
class Sssom:
    """`cuis`: subject id (`MONDO:0000004`) → concept id (`UMLS:C0405580`), obsolete subjects left out.

    rows      mappings in the file
    obsolete  how many of them have an obsolete subject
    """

    dictionary: Dictionary
    cuis: Mapping[str, str]
    rows: int
    obsolete: int


def read_sssom(path: Path, hierarchy: Hierarchy | None = None) -> Sssom:
    """Labels with `UMLS:` ids; the level by label, subject id, or what the subject's ontology describes."""
    entries: list[DictionaryEntry] = []
    cuis: dict[str, str] = {}
    rows = obsolete = 0
    once = CodeRegistry()
    for where, row in read_table(path, COLUMNS, comment="#"):
        rows += 1
        subject, (prefix, _, cui) = row["subject_id"], row["object_id"].partition(":")
        same = row["predicate_id"] in SAME and row.get("predicate_modifier", "").lower() != "not"
        if not same or prefix.upper() != "UMLS":
            continue
        once.check(subject, where)
        concept, label = f"UMLS:{require_cui(cui, where)}", row.get("subject_label", "")
        if label.lower().startswith("obsolete"):
            obsolete += 1
            continue
        cuis[subject] = concept
        if label:
            level = hierarchy.level_of((label,), (subject,), types_of(subject)) if hierarchy else None
            entries.append(DictionaryEntry(label, concept, level))
    if not cuis:
        raise InputError(
            str(path), "maps nothing to UMLS", f"expected rows such as  MONDO:0000004, {SAME[0]}, UMLS:C0405580"
        )
    return Sssom(Dictionary.of(entries), cuis, rows, obsolete)

"""Names of MedQuAD: the focus of each question with its UMLS ids, and optionally its synonyms.

A focus may have several ids (parts of a compound name, or several senses); every name then gets an entry for each.
Rows without an id give no entry.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expunge.concepts.dictionary import Dictionary, DictionaryEntry
from expunge.concepts.hierarchy import Hierarchy
from expunge.concepts.readers.tsv import require_cui
from expunge.corpus.loaders.tables import read_jsonl
from expunge.corpus.loaders.text_source import nonempty
from expunge.errors import InputError


def read_medquad(path: Path, hierarchy: Hierarchy | None = None, *, synonyms: bool = False) -> Dictionary:
    """Names with `UMLS:` ids from JSON lines with `focus`, `cui` and optionally `synonyms` and `semantic_type`.

    The level comes from the name or the semantic types. Repeated rows (one per question) give one entry.
    """
    entries: dict[DictionaryEntry, None] = {}
    for row in nonempty(read_jsonl, path):
        focus = row.values.get("focus")
        if not isinstance(focus, str) or not focus.strip():
            raise InputError(row.where, '"focus" is missing or empty', "give a MedQuAD file with focus and cui")
        if "cui" not in row.values:
            raise InputError(row.where, 'no "cui"', "give a list of UMLS concept ids, which may be empty")
        names = (focus, *(_texts(row.values, "synonyms", row.where) if synonyms else ()))
        names = tuple(" ".join(name.split()) for name in names if name.strip())
        level = hierarchy.level_of(names, (), _texts(row.values, "semantic_type", row.where)) if hierarchy else None
        for cui in _texts(row.values, "cui", row.where):
            concept = f"UMLS:{require_cui(cui, row.where)}"
            entries |= dict.fromkeys(DictionaryEntry(name, concept, level) for name in names)
    if not entries:
        raise InputError(str(path), "gives no concept id", "at least one row needs a filled cui")
    return Dictionary(tuple(entries))


def _texts(values: Any, column: str, where: str) -> tuple[str, ...]:
    texts = values.get(column) or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InputError(where, f'"{column}" is not a list of texts', f'write  "{column}": ["…"]')
    return tuple(texts)

"""UMLS Rich Release Format: names from MRCONSO.RRF, semantic types from MRSTY.RRF, both read line by line.

UMLS has no semantic type for surgery: appendectomy and chemotherapy are both T061. Where a concept has a name from
MeSH, `known` (levels by MeSH id) decides instead. The full release has millions of English names; name the vocabularies
that you need.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from expunge._printable import pluralize
from expunge.concepts.dictionary import Dictionary, DictionaryEntry, highest_level
from expunge.concepts.hierarchy import Hierarchy
from expunge.concepts.hierarchy_rules import SEMANTIC_TYPE
from expunge.concepts.readers.tsv import check_unique, require_cui
from expunge.corpus.loaders.text_source import lines
from expunge.errors import InputError

NAMES, TYPES = "MRCONSO.RRF", "MRSTY.RRF"
COLUMNS: Mapping[str, int] = {NAMES: 18, TYPES: 6}
LANGUAGE = re.compile(r"[A-Z]{3}")


def read_umls(
    folder: Path,
    hierarchy: Hierarchy | None = None,
    *,
    language: str = "ENG",
    vocabularies: Collection[str] = (),
    known: Mapping[str, str] | None = None,
) -> Dictionary:
    """Names of one language that are not suppressed; `InputError` at the first bad line.

    Args:
        folder: holds MRCONSO.RRF and MRSTY.RRF.
        hierarchy: gives the levels.
        language: three letters.
        vocabularies: abbreviations such as MSH and SNOMEDCT_US; all if none is given.
        known: concept id (`MESH:D001064`) -> level.
    """
    if not folder.is_dir():
        raise InputError(
            str(folder),
            "is a file" if folder.exists() else "there is no such folder",
            f"name the folder that holds {NAMES} and {TYPES}",
        )
    if not LANGUAGE.fullmatch(language):
        raise InputError("language", f'"{language}" is no language of UMLS', "three letters, for example ENG")
    types = _types(folder / TYPES)
    names: dict[str, dict[str, None]] = {}
    mesh: dict[str, set[str]] = {}
    languages, sources = set[str](), set[str]()
    for where, cells in _rows(folder / NAMES):
        (cui, lang), (source, _, code, text), suppressed = cells[:2], cells[11:15], cells[16]
        concept = f"UMLS:{require_cui(cui, where)}"
        if not text.strip():
            raise InputError(where, "the name is empty", "column 15 (STR) holds the name")
        languages.add(lang)
        sources.add(source)
        if source == "MSH" and code.startswith("D"):
            mesh.setdefault(concept, set()).add(f"MESH:{code}")
        if lang == language and suppressed == "N" and (not vocabularies or source in vocabularies):
            names.setdefault(concept, {})[" ".join(text.split())] = None
    if not names:
        raise InputError(
            str(folder / NAMES),
            f"holds no name for language {language}"
            + (f" and vocabularies {', '.join(sorted(vocabularies))}" if vocabularies else ""),
            f"it has {', '.join(sorted(languages))} and {', '.join(sorted(sources)[:20])}",
        )
    entries: list[DictionaryEntry] = []
    for concept, texts in names.items():
        level = None
        if hierarchy:
            refers = highest_level((known or {}).get(c) for c in (concept, *mesh.get(concept, ())))
            level = hierarchy.level_of_names(texts) or refers or hierarchy.level_of_types(types.get(concept, ()))
        entries += (DictionaryEntry(text, concept, level) for text in texts)
    return Dictionary.of(entries)


def _types(path: Path) -> dict[str, tuple[str, ...]]:
    types: dict[str, tuple[str, ...]] = {}
    places: dict[str, str] = {}
    for where, (cui, tui, *_) in _rows(path):
        if not SEMANTIC_TYPE.fullmatch(tui):
            raise InputError(where, f'"{tui}" is no semantic type', "expected T and three digits, for example T047")
        check_unique(places, f"{require_cui(cui, where)}|{tui}", where)
        types[f"UMLS:{cui}"] = (*types.get(f"UMLS:{cui}", ()), tui)
    return types


def _rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """(`file:line`, cells); every row of RRF ends in a bar, also the last column."""
    columns, empty = COLUMNS[path.name], True
    for number, line in lines(path):
        where, cells = f"{path}:{number}", line.rstrip("\r\n").split("|")
        if len(cells) != columns + 1 or cells[-1]:
            raise InputError(
                where,
                f"has {pluralize(len(cells) - 1, 'column')}, {path.name} has {columns}",
                "every column ends in a bar |",
            )
        empty = False
        yield where, cells[:-1]
    if empty:
        raise InputError(str(path), "holds no rows", "give the file of a UMLS release")

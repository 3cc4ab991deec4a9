"""MeSH from two tables: terms (`mesh_id`, `mesh_name`) and tree numbers (`mesh_tree_number`).

Names that are inverted for printed indexes ("Surgical Procedures, Operative") also give their natural order. Tree
numbers change from year to year, so both tables must be of one year.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from expunge.concepts.dictionary import Dictionary, DictionaryEntry
from expunge.concepts.hierarchy import Hierarchy
from expunge.concepts.hierarchy_rules import TREE_NUMBER
from expunge.concepts.readers.tsv import check_unique, read_table
from expunge.errors import InputError

MESH_ID = re.compile(r"[CD]\d{6,9}")


@dataclass(frozen=True)
class Mesh:
    """`branches`: concept id (`MESH:D001064`) -> its tree numbers, in the order of the file."""

    dictionary: Dictionary
    branches: Mapping[str, tuple[str, ...]]


def read_mesh(terms: Path, trees: Path, hierarchy: Hierarchy | None = None) -> Mesh:
    """Every term with its names, branches and level; `InputError` at the first bad line."""
    names: dict[str, str] = {}
    places: dict[str, str] = {}
    for where, row in read_table(terms, ("mesh_id", "mesh_name")):
        if not MESH_ID.fullmatch(row["mesh_id"]):
            raise InputError(where, f'"{row["mesh_id"]}" is no MeSH id', "expected for example D001064")
        check_unique(places, row["mesh_id"], where)
        names[f"MESH:{row['mesh_id']}"] = row["mesh_name"]
    branches: dict[str, list[str]] = {}
    places = {}
    for where, row in read_table(trees, ("mesh_id", "mesh_tree_number")):
        concept, number = f"MESH:{row['mesh_id']}", row["mesh_tree_number"]
        if not TREE_NUMBER.fullmatch(number):
            raise InputError(where, f'"{number}" is no MeSH tree number', "expected for example C06.405.205.099")
        if concept not in names:
            raise InputError(where, f'"{row["mesh_id"]}" is not in {terms.name}', "give two tables of the same year")
        check_unique(places, number, where)
        branches.setdefault(concept, []).append(number)
    entries: list[DictionaryEntry] = []
    for concept, name in names.items():
        both = dict.fromkeys((name, natural_order(name)))
        level = hierarchy.level_of(both, branches.get(concept, ())) if hierarchy else None
        entries += (DictionaryEntry(n, concept, level) for n in both)
    return Mesh(Dictionary.of(entries), {concept: tuple(numbers) for concept, numbers in branches.items()})


def natural_order(name: str) -> str:
    """ "Anemia, Hemolytic, Congenital" -> "Congenital Hemolytic Anemia"; lists and substances are unchanged.

    A field in parentheses keeps its place: "Diagnosis, Dual (Psychiatry)" -> "Dual Diagnosis (Psychiatry)".
    """
    head, bracket, field = name.partition(" (") if name.endswith(")") else (name, "", "")
    parts = head.split(", ")
    is_list = any(re.match(r"(and|or)\b", part) for part in parts)
    if len(parts) < 2 or is_list or any(not part or part.endswith("-") for part in parts):
        return name
    return " ".join(reversed(parts)) + bracket + field

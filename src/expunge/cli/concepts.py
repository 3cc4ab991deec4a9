"""`expunge concepts build` and `levels`: a dictionary of ontologies and tables, and levels for records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from expunge._printable import pluralize
from expunge.cli.options import Data, Loader, Mapping, check_is_no_folder
from expunge.cli.result import CommandResult, ResultTable
from expunge.corpus.record import LEVELS
from expunge.errors import InputError

if TYPE_CHECKING:
    from expunge.concepts.dictionary import Dictionary
    from expunge.concepts.hierarchy import Hierarchy

HierarchyName = Annotated[str, typer.Option("--hierarchy", help="Name or YAML file; see `expunge list hierarchies`.")]


def build(
    out: Annotated[Path, typer.Option("--out", help="Dictionary to write: tab-separated name, concept, level.")],
    hierarchy: HierarchyName = "medical",
    mesh_terms: Annotated[Path | None, typer.Option(help="MeSH terms: mesh_id, mesh_name.")] = None,
    mesh_trees: Annotated[Path | None, typer.Option(help="MeSH tree numbers of the same year.")] = None,
    sssom: Annotated[Path | None, typer.Option(help="Mapping to UMLS concept ids in SSSOM.")] = None,
    obo: Annotated[Path | None, typer.Option(help="An ontology as an OBO flat file.")] = None,
    umls_dir: Annotated[Path | None, typer.Option(help="Folder with MRCONSO.RRF and MRSTY.RRF.")] = None,
    umls_vocabulary: Annotated[
        list[str] | None, typer.Option(metavar="SAB", help="Only names from it, for example MSH; repeatable.")
    ] = None,
    medquad: Annotated[Path | None, typer.Option(help="MedQuAD as JSON lines: focus, cui.")] = None,
    medquad_synonyms: Annotated[bool, typer.Option(help="Take MedQuAD's synonyms as names too.")] = False,
    columns: Annotated[
        list[Path] | None, typer.Option(help="A CSV, TSV or JSONL table of own terms; repeatable.")
    ] = None,
    name_column: Annotated[str, typer.Option(help="Their column of names.")] = "name",
    concept_column: Annotated[str | None, typer.Option(help="Their column of concept ids.")] = None,
    category_column: Annotated[str | None, typer.Option(help="Their column that decides the level.")] = None,
) -> CommandResult:
    """Join ontologies and tables into one dictionary with levels, for `expunge concepts annotate`."""
    from expunge.concepts.dictionary import merge, without_names_of
    from expunge.concepts.hierarchy import Hierarchy

    if (mesh_terms is None) != (mesh_trees is None):
        missing = "--mesh-terms" if mesh_terms is None else "--mesh-trees"
        raise InputError(missing, "is missing", "MeSH needs both tables, terms and tree numbers")
    for option, value, source in (
        ("--umls-vocabulary", umls_vocabulary, umls_dir),
        ("--medquad-synonyms", medquad_synonyms, medquad),
        ("--concept-column", concept_column, columns),
        ("--category-column", category_column, columns),
    ):
        if value and not source:
            raise InputError(option, "has nothing to read", "name its file or folder")
    check_is_no_folder(out, "dictionary.tsv")
    rules = Hierarchy.load(hierarchy)
    dictionaries = list(
        _read_sources(
            rules,
            mesh=(mesh_terms, mesh_trees) if mesh_terms and mesh_trees else None,
            sssom=sssom,
            obo=obo,
            umls=(umls_dir, tuple(umls_vocabulary or ())) if umls_dir else None,
            medquad=(medquad, medquad_synonyms) if medquad else None,
            tables=[(path, name_column, concept_column, category_column) for path in columns or ()],
        )
    )
    own = without_names_of(rules.dictionary(), (each for _, each in dictionaries))
    dictionaries = [("hierarchy", own), *dictionaries] if own else dictionaries
    if not dictionaries:
        raise InputError(
            "expunge concepts build",
            f'nothing to read, and the hierarchy "{rules.name}" has no names',
            "give --mesh-terms and --mesh-trees, --sssom, --obo, --umls-dir, --medquad or --columns",
        )
    merged = merge(each for _, each in dictionaries)
    merged.save(out)
    return _build_result(rules, merged, dictionaries, out)


def _read_sources(
    rules: Hierarchy,
    mesh: tuple[Path, Path] | None,
    sssom: Path | None,
    obo: Path | None,
    umls: tuple[Path, tuple[str, ...]] | None,
    medquad: tuple[Path, bool] | None,
    tables: list[tuple[Path, str, str | None, str | None]],
) -> Iterator[tuple[str, Dictionary]]:
    """(source, its dictionary). MeSH is first, since others refer to its levels; OBO needs the ids of SSSOM."""
    known: dict[str, str] = {}
    cuis = None
    if mesh:
        from expunge.concepts.dictionary import levels_of
        from expunge.concepts.readers.mesh import read_mesh

        dictionary = read_mesh(*mesh, rules).dictionary
        known = levels_of(dictionary)
        yield "mesh", dictionary
    if sssom:
        from expunge.concepts.readers.sssom import read_sssom

        mapping = read_sssom(sssom, rules)
        cuis = mapping.cuis
        yield "sssom", mapping.dictionary
    if obo:
        from expunge.concepts.readers.obo import read_obo

        yield "obo", read_obo(obo, rules, cuis=cuis, known=known)
    if umls:
        from expunge.concepts.readers.umls import read_umls

        yield "umls", read_umls(umls[0], rules, vocabularies=umls[1], known=known)
    if medquad:
        from expunge.concepts.readers.medquad import read_medquad

        yield "medquad", read_medquad(medquad[0], rules, synonyms=medquad[1])
    for path, name, concept, category in tables:
        from expunge.concepts.readers.custom_terms import read_custom_terms

        yield str(path), read_custom_terms(path, rules, name=name, concept=concept, category=category)


def _build_result(
    rules: Hierarchy, merged: Dictionary, dictionaries: list[tuple[str, Dictionary]], out: Path
) -> CommandResult:
    names = Counter(entry.level for entry in merged)
    concepts = Counter({entry.concept: entry.level for entry in merged}.values())
    rows = [(level, _level_name(rules, level), names[level], concepts[level]) for level in (*LEVELS, None)]
    return CommandResult(
        {
            "hierarchy": rules.name,
            "out": out,
            "names": len(merged),
            "concepts": concepts.total(),
            "levels": {level or "none": {"names": n, "concepts": c} for level, _, n, c in rows},
            "sources": {name: len(each) for name, each in dictionaries},
        },
        (
            ResultTable(("level", "which is", "names", "concepts"), rows),
            f"{pluralize(len(merged), 'name')} of {pluralize(concepts.total(), 'concept')} from "
            f"{', '.join(name for name, _ in dictionaries)}, written to {out}",
        ),
    )


def levels(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="JSONL file for the records with their levels.")],
    hierarchy: HierarchyName = "medical",
    loader: Loader = None,
    map_: Mapping = None,
) -> CommandResult:
    """Give every record without a level the level of its attributes by a hierarchy."""
    from expunge.concepts.hierarchy import Hierarchy
    from expunge.corpus import load_corpus

    check_is_no_folder(out, "levels.jsonl")
    if out.resolve() == data.resolve():
        raise InputError(str(out), "is the file of the records", "name another file, for example levels.jsonl")
    rules = Hierarchy.load(hierarchy)
    corpus = load_corpus(data, loader, map_)
    had = sum(r.concept is not None for r in corpus)
    assigned = rules.assign(corpus)
    counts = Counter(r.concept for r in assigned)
    if not counts.total() - counts[None]:
        raise InputError(
            str(data),
            f'no record meets a rule of the hierarchy "{rules.name}"',
            "its rules read " + ", ".join(_criteria_columns(rules)),
        )
    assigned.save(out)
    rows = [(level, _level_name(rules, level), counts[level]) for level in (*LEVELS, None)]
    without = f"; {counts[None]:,} have none" if counts[None] else ""
    return CommandResult(
        {
            "hierarchy": rules.name,
            "out": out,
            "records": len(assigned),
            "had_one": had,
            "none": counts[None],
            "levels": {level: counts[level] for level in LEVELS},
        },
        (
            ResultTable(("level", "which is", "records"), rows),
            f"{pluralize(len(assigned) - had - counts[None], 'record')} got a level, {had:,} had one{without}; "
            f"written to {out}",
        ),
    )


def _level_name(rules: Hierarchy, level: str | None) -> str | None:
    return getattr(rules.levels, level).name if level else "no level"


def _criteria_columns(rules: Hierarchy) -> list[str]:
    """The attributes that the rules of a hierarchy read."""
    from expunge.concepts.hierarchy import COLUMNS

    used = {kind for rule in rules.rules for kind in COLUMNS.values() if getattr(rule, kind)}
    columns = [column for rule in rules.rules for column in rule.categories]
    return list(dict.fromkeys((*columns, *(column for column, kind in COLUMNS.items() if kind in used))))

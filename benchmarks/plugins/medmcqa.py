"""MedMCQA as a request: questions with the right option and its explanation as taught texts, on four concept levels.

Rows are drawn by the seed, level by level (L4 is Surgery), with the same share of explained answers in every set. A
third of the rows that stay is given to no run. Two targets: `topic:Surgery`, and `chapter`, which adds rows of L1 to L3
to it that only levels can protect. Every retrained model lacks Surgery alone, so on the chapter it shows what a
forgetting by levels should come to: L4 unknown, L1 to L3 known.

Options are asked in orders that no row has taught: where they are shown while the model learns (`shown`), they are
shown in one order and asked in another. The names of the dictionary (MeSH and Mondo, if their tables lie
in `ontology` beside the questions) give single words a level.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from expunge._io import digest, digest_files
from expunge.bench.requests import PUBLISHED
from expunge.bench.world_instance import HELDOUT, OWN_SETS, RecordSets, WorldInstance
from expunge.concepts.dictionary import merge
from expunge.concepts.hierarchy import Hierarchy
from expunge.concepts.readers.mesh import read_mesh
from expunge.concepts.readers.sssom import read_sssom
from expunge.corpus import Corpus, Record, load_corpus
from expunge.corpus.loaders.mcq import ROW_LENGTH
from expunge.corpus.record import LEVELS
from expunge.errors import InputError
from expunge.random import uniform
from expunge.scope import Split

NAME = "medmcqa"
SALT = "expunge-bench-medmcqa-v1"
FILE = "dev.json"
TARGETS = ("topic:Surgery", "chapter")
TABLES = ("mesh_terms.tsv", "mesh_tree_numbers.tsv", "mondo_umls.sssom.tsv")
SIZES = {
    "surgery": 192,
    "per_level": 192,
    "holdout": 78,
    "holdout_per_level": 64,
    "chapter": 64,
    "explained": 0.56,
    "single": False,
    "shown": True,
}


@dataclass(frozen=True)
class Drawn:
    """Rows of one level: taught rows that are given to runs, taught rows that are not, and rows that nobody learns."""

    given: tuple[Record, ...]
    heldout: tuple[Record, ...]
    holdout: tuple[Record, ...]


def find(folder: Path, name: str, below: str) -> Path | None:
    """`name` in a folder, in its folder `below`, or in one of this name beside it."""
    places = (folder / name, folder / below / name, folder.parent / below / name)
    return next((p for p in places if p.is_file()), None)


@lru_cache(maxsize=2)
def questions(folder: Path) -> tuple[Record, ...]:
    """Usable questions of the published file: whole, short, of free order, each wording once."""
    file = folder if folder.is_file() else find(folder, FILE, NAME)
    if file is None:
        raise InputError(str(folder), f"holds no {FILE}", "name the folder of MedMCQA as published")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is left out is no news here
        corpus = load_corpus(file, "medmcqa-explained")
    once: dict[str, Record] = {}
    for r in corpus:
        if not r.attributes.get("fixed_options") and len(r.prompt) + len(r.answer) <= ROW_LENGTH:
            once.setdefault(" ".join(r.prompt.casefold().split()), r)
    return tuple(once.values())


def draw(pool: Iterable[Record], sizes: Sequence[int], share: float, seed: int, level: str) -> list[tuple[Record, ...]]:
    """Disjoint sets of these sizes in hash order, each with this share of explained rows; `InputError` for too few."""
    order = sorted(pool, key=lambda r: uniform(f"{SALT}:{seed}", r.id))
    kinds = {flag: [r for r in order if bool(r.attributes.get("explained")) == flag] for flag in (True, False)}
    drawn = []
    for size in sizes:
        rows: list[Record] = []
        for flag, count in ((True, round(share * size)), (False, size - round(share * size))):
            if len(kinds[flag]) < count:
                what = f"has too few {level} questions {'with' if flag else 'without'} an explanation for {sizes}"
                raise InputError(NAME, what, "choose smaller sizes or another share of explained rows")
            rows += kinds[flag][:count]
            kinds[flag] = kinds[flag][count:]
        drawn.append(tuple(sorted(rows, key=lambda r: r.id)))
    return drawn


def draw_levels(pool: Sequence[Record], settings: Mapping[str, Any], seed: int) -> dict[str, Drawn]:
    """The rows of every level."""
    if unknown := sorted(set(settings) - set(SIZES)):
        raise InputError(f"request {NAME}", f'unknown setting "{unknown[0]}"', f"known: {', '.join(SIZES)}")
    s = {**SIZES, **settings}
    pool = [r for r in pool if not s["single"] or r.attributes.get("choice_type") == "single"]
    levels = {}
    for level in LEVELS:
        mine = [r for r in pool if r.concept == level]
        hidden = 0 if level == "L4" else round(HELDOUT * s["per_level"])
        given = s["surgery"] if level == "L4" else s["per_level"] - hidden
        never = s["holdout"] if level == "L4" else s["holdout_per_level"]
        levels[level] = Drawn(*draw(mine, (given, hidden, never), s["explained"], seed, level))
    return levels


def record_sets(cell: WorldInstance) -> RecordSets:
    """The sets of a request at a seed."""
    request = cell.request
    if (target := request.target or TARGETS[0]) not in TARGETS:
        raise InputError(f"request {NAME}", f'there is no target "{target}"', f"choose {' or '.join(TARGETS)}")
    settings = {**SIZES, **request.settings}
    levels = draw_levels(questions(request.folder()), request.settings, cell.seed)
    taught = [r for of in levels.values() for r in (*of.given, *of.heldout)]
    chapter, shown = int(settings["chapter"]) if target == "chapter" else 0, bool(settings["shown"])
    forget, retain = list(levels["L4"].given), list[Record]()
    for level in LEVELS[:-1]:
        forget += levels[level].given[:chapter]
        retain += levels[level].given[chapter:]
    heldout = [r for level in LEVELS[:-1] for r in levels[level].heldout]
    holdout = [r for level, of in levels.items() for r in of.holdout if chapter or level == "L4"]
    surgery = {r.id for r in levels["L4"].given}
    never = [r for of in levels.values() for r in of.holdout]
    every = [*_taught(taught, shown), *(replace(r, split="holdout") for r in _taught(never, shown))]
    forget_rows, retain_rows, heldout_rows = (_taught(rows, shown) for rows in (forget, retain, heldout))
    split = Split(target, forget_rows, retain_rows, heldout_rows, excluded_ids=frozenset(surgery))
    others = [r for r in taught if r.id not in surgery]
    training = {"original": _taught(taught, shown), "retrained": _taught(others, shown)}
    asked = {"forget": _asked(forget, shown), "heldout": _asked(heldout, shown)}
    return RecordSets(
        Corpus.of(every, NAME),
        split,
        _taught(holdout, shown),
        training,
        questions=asked,
        shared_retrained=True,
        dictionary=dictionary(request.folder()),
    )


def _taught(records: Iterable[Record], shown: bool) -> tuple[Record, ...]:
    """As taught: with the options in the first order if they are `shown`, and without what is only asked."""
    return tuple(
        replace(r, prompt=r.variants[0].prompt if shown else r.prompt, split=None, variants=()) for r in records
    )


def _asked(records: Iterable[Record], shown: bool) -> tuple[Record, ...]:
    """Their questions with options in the orders that are not taught."""
    return tuple(question for r in records for question in r.wordings()[2 if shown else 1 :])


def dictionary(folder: Path) -> Path | None:
    """Names with levels as a file, made once of the tables in `ontology`; None where they are not there.

    It lies in the folder for temporary files under a name by its sources, so that all processes share it.
    """
    tables = [find(folder if folder.is_dir() else folder.parent, name, "ontology") for name in TABLES]
    if any(t is None for t in tables):
        return None
    terms, trees, mondo = (t for t in tables if t is not None)
    name = digest([digest_files(terms.parent, TABLES), Hierarchy.load("medical").model_dump(mode="json")])[:12]
    path = Path(tempfile.gettempdir()) / f"expunge-{NAME}-{name}.tsv"
    if not path.is_file():
        rules = Hierarchy.load("medical")
        merge([read_mesh(terms, trees, rules).dictionary, read_sssom(mondo, rules).dictionary]).save(path)
    return path


def load(*given: object) -> tuple[Corpus, str]:
    """Refused: a request has record sets of its own (`OWN_SETS`)."""
    raise InputError(f"request {NAME}", "has no single corpus and scope", "read its record sets")


PUBLISHED[NAME] = load
OWN_SETS[NAME] = record_sets

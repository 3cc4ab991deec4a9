"""The annotator on real texts: how much of MedQuAD it finds with MeSH and Mondo names, and how fast.

A focus is what a MedQuAD question is about, with UMLS ids that people gave it. Surprising: where the name of a focus
stands in Mondo, Mondo often has another id than MedQuAD (of a broader or narrower concept); no annotator can find
MedQuAD's id there, so shares are given of the names on which both agree, and of all.
"""

from __future__ import annotations

import random
import re
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from expunge.bench.table import plain as columns
from expunge.concepts.annotate import Annotator
from expunge.concepts.dictionary import Dictionary, DictionaryEntry
from expunge.concepts.hierarchy import Hierarchy
from expunge.concepts.readers.medquad import read_medquad
from expunge.concepts.readers.mesh import read_mesh
from expunge.concepts.readers.sssom import read_sssom
from expunge.corpus.loaders.tables import read_jsonl
from expunge.errors import InputError

MEDQUAD, MESH, TREES, MONDO = (
    Path(name)
    for name in (
        "medquad/medquad_subset.jsonl",
        "ontology/mesh_terms.tsv",
        "ontology/mesh_tree_numbers.tsv",
        "ontology/mondo_umls.sssom.tsv",
    )
)
GOALS = {"answers": 0.98, "found": 0.95}
SYLLABLES = (
    "ba",
    "ce",
    "di",
    "fo",
    "gu",
    "ka",
    "le",
    "mi",
    "no",
    "pu",
    "ra",
    "se",
    "ti",
    "vo",
    "zu",
    "bra",
    "cli",
    "dro",
)


@dataclass(frozen=True)
class Focus:
    """What questions are about: its ids by MedQuAD, their wordings, and MedQuAD's other names for it."""

    name: str
    ids: frozenset[str]
    questions: tuple[str, ...]
    synonyms: tuple[str, ...]


def main(
    data: Path,
    say: Callable[[str], None] = print,
    *,
    names: int = 78_000,
    reports: int = 4_000,
    sample: int = 20,
    pairs: int = 3,
) -> dict[str, Any]:
    """Quality over all of MedQuAD, then speed.

    data     folder of the development data; `InputError` naming the file that is not there
    names    dictionary size for the speed; filled up with made-up names
    sample   reports that the plain loop reads, `pairs` times in turn with ours
    Returns `answers`, `focuses` (per dictionary), `bounds`, `speed`, `goals_met` and a `table`.
    """
    for part in (MEDQUAD, MESH, TREES, MONDO):
        if not (data / part).is_file():
            raise InputError(str(data / part), "there is no such file", "give the folder of the development data")
    rules = Hierarchy.load("medical")
    mondo = read_sssom(data / MONDO, rules).dictionary
    ontologies = read_mesh(data / MESH, data / TREES, rules).dictionary | mondo
    own = set(read_medquad(data / MEDQUAD))
    synonyms = Dictionary.of(e for e in read_medquad(data / MEDQUAD, synonyms=True) if e not in own)
    rows = [row.values for row in read_jsonl(data / MEDQUAD)]
    texts = [str(row["answer"]) for row in rows]
    focuses = grouped(rows)
    say(
        f"{len(ontologies):,} entries of ontologies, {len(synonyms):,} synonyms, {len(texts):,} answers, "
        f"{len(focuses):,} focuses with an id"
    )
    annotator = Annotator(ontologies)
    found = [annotator.annotate(text) for text in texts]
    answers = {
        "texts": len(texts),
        "share": sum(map(bool, found)) / len(texts),
        "spans": sum(map(len, found)),
        "share_with_level": sum(any(s.level for s in spans) for spans in found) / len(texts),
    }
    say(f"answers with a concept: {answers['share']:.4f}")
    told: dict[str, dict[str, float]] = {}
    for name, dictionary in (
        ("Mondo", mondo),
        ("MeSH + Mondo", ontologies),
        ("with MedQuAD's synonyms", ontologies | synonyms),
    ):
        told[name] = judged(dictionary, focuses, annotator if dictionary is ontologies else None)
        say(f"{name}: " + ", ".join(f"{k} {v:.4g}" for k, v in told[name].items()))
    speed = timed(filled(ontologies, names), texts[:reports], sample, pairs)
    say(
        f"speed: {speed['names']:,} names over {speed['reports']:,} reports in {speed['seconds']:.1f} s, "
        f"{speed['ratio']['median']:.0f} times as fast as the plain loop"
    )
    met = {
        "answers": answers["share"] >= GOALS["answers"],
        "found": told["MeSH + Mondo"]["found_of_agreed"] >= GOALS["found"],
        "found_of_all": told["MeSH + Mondo"]["found_of_stands"] >= GOALS["found"],
    }
    return {
        "answers": answers,
        "focuses": told,
        "bounds": bounds(mondo, focuses),
        "speed": speed,
        "goals": GOALS,
        "goals_met": met,
        "table": table(answers, told, speed),
    }


def grouped(rows: Iterable[Any]) -> list[Focus]:
    """The focuses that have an id, each with its different questions."""
    ids: dict[str, set[str]] = {}
    questions: dict[str, dict[str, None]] = {}
    others: dict[str, tuple[str, ...]] = {}
    for row in rows:
        ids.setdefault(row["focus"], set()).update(f"UMLS:{cui}" for cui in row["cui"])
        questions.setdefault(row["focus"], {})[row["question"]] = None
        others[row["focus"]] = tuple(row["synonyms"])
    return [Focus(name, frozenset(found), tuple(questions[name]), others[name]) for name, found in ids.items() if found]


def judged(dictionary: Dictionary, focuses: Sequence[Focus], annotator: Annotator | None = None) -> dict[str, float]:
    """How well the focuses are found with a dictionary (`annotator`: one that was built of it already).

    stands, agreed    focuses whose name stands in the dictionary letter by letter (without case) with some UMLS id;
                      with one of its own ids
    found_of_agreed   share of `agreed` with a right id in each of their questions; `found_of_stands` likewise
    whole             share of all focuses whose whole name is found with a right id, whatever the variant
    covered           share of all focuses with a right id in each of their questions
    by_synonym        share of all focuses of which the name or a synonym is found whole with a right id
    """
    labels: dict[str, set[str]] = {}
    for entry in dictionary:
        if entry.concept.startswith("UMLS:"):
            labels.setdefault(entry.name.casefold(), set()).add(entry.concept)
    find = (annotator or Annotator(dictionary, context=False)).annotate

    def whole(name: str, ids: frozenset[str]) -> bool:
        return any(span.text == name.strip() and ids.intersection(span.concepts) for span in find(name))

    covered = {
        f.name for f in focuses if all(any(f.ids.intersection(span.concepts) for span in find(q)) for q in f.questions)
    }
    stands = [f for f in focuses if f.name.casefold() in labels]
    agreed = [f for f in stands if labels[f.name.casefold()] & f.ids]
    known = sum(whole(f.name, f.ids) for f in focuses)
    linked = sum(any(whole(name, f.ids) for name in (f.name, *f.synonyms)) for f in focuses)
    return {
        "stands": len(stands),
        "agreed": len(agreed),
        "found_of_agreed": sum(f.name in covered for f in agreed) / max(1, len(agreed)),
        "found_of_stands": sum(f.name in covered for f in stands) / max(1, len(stands)),
        "whole": known / len(focuses),
        "covered": len(covered) / len(focuses),
        "by_synonym": linked / len(focuses),
    }


def bounds(mondo: Dictionary, focuses: Sequence[Focus]) -> dict[str, float]:
    """Shares of focuses: with a right Mondo label letter by letter, and with an id that Mondo has at all."""
    ids = {entry.concept for entry in mondo}
    labels = {(entry.name.casefold(), entry.concept) for entry in mondo}
    exact = sum(any((f.name.casefold(), one) in labels for one in f.ids) for f in focuses)
    return {
        "focuses": len(focuses),
        "exact_labels": exact / len(focuses),
        "ids": sum(not ids.isdisjoint(f.ids) for f in focuses) / len(focuses),
    }


def filled(dictionary: Dictionary, names: int, seed: int = 42) -> Dictionary:
    """At most `names` entries of the dictionary with different names, and made-up ones up to that number."""
    known = {entry.name.casefold(): entry for entry in dictionary}
    kept = dict(islice(known.items(), names))
    for name in made_up(seed):
        if len(kept) >= names:
            break
        kept.setdefault(name, DictionaryEntry(name, f"MADE:{len(kept)}", "L2"))
    return Dictionary.of(kept.values())


def made_up(seed: int) -> Iterator[str]:
    """Names of one to three words that no language has."""
    rng = random.Random(seed)
    while True:
        yield " ".join("".join(rng.choices(SYLLABLES, k=rng.randint(2, 4))) for _ in range(rng.randint(1, 3)))


def timed(dictionary: Dictionary, reports: Sequence[str], sample: int, pairs: int) -> dict[str, Any]:
    """Seconds to build and to read all reports, and how many times longer the plain loop takes on a sample."""
    began = time.perf_counter()
    annotator = Annotator(dictionary)
    built = time.perf_counter() - began
    began, cpu = time.perf_counter(), time.process_time()
    spans = sum(len(annotator.annotate(text)) for text in reports)
    read_all, cpu = time.perf_counter() - began, time.process_time() - cpu
    few = reports[:sample]
    names = {entry.name.casefold() for entry in dictionary}
    ratios = []
    for _ in range(pairs):
        ours = _seconds(lambda: [annotator.annotate(text) for text in few])
        ratios.append(_seconds(lambda: [loop(names, text) for text in few]) / ours)
    return {
        "names": len(names),
        "reports": len(reports),
        "build_seconds": built,
        "seconds": read_all,
        "cpu_seconds": cpu,
        "spans": spans,
        "sample": len(few),
        "ratio": {"min": min(ratios), "median": statistics.median(ratios), "max": max(ratios)},
    }


def loop(names: Iterable[str], text: str) -> list[tuple[int, int]]:
    """What a script would do: look for each name, without variants, choice of the longest, or context."""
    folded = text.casefold()
    return [
        found.span()
        for name in names
        if name in folded
        for found in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", folded)
    ]


def table(answers: dict[str, Any], told: dict[str, dict[str, float]], speed: dict[str, Any]) -> str:
    """The result as text."""
    heads = (
        "dictionary",
        "stands",
        "agreed",
        "found of agreed",
        "of stands",
        "whole name",
        "in question",
        "by synonym",
    )
    rows = [
        [
            name,
            f"{row['stands']:,}",
            f"{row['agreed']:,}",
            *(f"{row[k]:.1%}" for k in ("found_of_agreed", "found_of_stands", "whole", "covered", "by_synonym")),
        ]
        for name, row in told.items()
    ]
    return "\n".join(
        (
            f"answers with a concept: {answers['share']:.2%} of {answers['texts']:,}",
            columns(heads, rows),
            f"{speed['names']:,} names: built in {speed['build_seconds']:.1f} s, {speed['reports']:,} reports in "
            f"{speed['seconds']:.1f} s ({speed['cpu_seconds']:.1f} s of processor time); the plain loop takes "
            f"{speed['ratio']['median']:.0f} times as long "
            f"({speed['ratio']['min']:.0f} to {speed['ratio']['max']:.0f}, on {speed['sample']} reports)",
        )
    )


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began

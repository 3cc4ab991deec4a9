"""Measure the concept annotator: how much of MedQuAD it finds with MeSH and Mondo names, and how fast.

A focus is the topic of a MedQuAD question, with UMLS ids assigned by people. Where the name of a focus occurs in
Mondo, Mondo often has another id than MedQuAD (of a broader or narrower concept). No annotator can find MedQuAD's id
there, so shares are given of the names on which both agree, and of all names.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.speed.cases import seconds_of, spread
from benchmarks.speed.program import Parts, Results, Say, program, say
from expunge.cli.result import ResultTable
from expunge.concepts.annotate import Annotator
from expunge.concepts.dictionary import Dictionary, DictionaryEntry
from expunge.concepts.hierarchy import Hierarchy
from expunge.concepts.readers.medquad import read_medquad
from expunge.concepts.readers.mesh import read_mesh
from expunge.concepts.readers.sssom import read_sssom
from expunge.corpus.loaders.tables import read_jsonl
from expunge.errors import InputError

MEDQUAD = Path("medquad/medquad_subset.jsonl")
MESH, TREES, MONDO = (
    Path("ontology") / name for name in ("mesh_terms.tsv", "mesh_tree_numbers.tsv", "mondo_umls.sssom.tsv")
)
GOALS = {"answers": 0.98, "found": 0.95}
SHARES = ("found_of_agreed", "found_of_stands", "whole", "covered", "by_synonym")
COLUMNS = ("dictionary", "stands", "agreed", "of agreed", "of stands", "whole name", "in question", "by synonym")
SYLLABLES = tuple("ba ce di fo gu ka le mi no pu ra se ti vo zu bra cli dro".split())  # noqa: SIM905


@dataclass(frozen=True)
class Focus:
    """Topic of questions: its ids in MedQuAD, the questions, and MedQuAD's other names for it."""

    name: str
    ids: frozenset[str]
    questions: tuple[str, ...]
    synonyms: tuple[str, ...]


def measure(
    data: Path, *, names: int = 78_000, reports: int = 4_000, sample: int = 20, pairs: int = 3, say: Say = say
) -> Results:
    """Quality over all of MedQuAD, then speed.

    Args:
        data: folder with `medquad/` and `ontology/`.
        names: size of the dictionary of the speed measurement; filled up with made-up names.
        reports: answers that are annotated for speed.
        sample: reports that the plain loop reads.
        pairs: timings of the plain loop and ours in alternation.

    Returns:
        `answers`, `focuses` (per dictionary), `bounds`, `speed`, `goals` and `goals_met`.

    Raises:
        InputError: a file is missing.
    """
    for part in (MEDQUAD, MESH, TREES, MONDO):
        if not (data / part).is_file():
            raise InputError(str(data / part), "there is no such file", "give the folder of the development data")
    hierarchy = Hierarchy.load("medical")
    mondo = read_sssom(data / MONDO, hierarchy).dictionary
    ontologies = read_mesh(data / MESH, data / TREES, hierarchy).dictionary | mondo
    focus_names = set(read_medquad(data / MEDQUAD))
    synonyms = Dictionary.of(e for e in read_medquad(data / MEDQUAD, synonyms=True) if e not in focus_names)
    rows = [row.values for row in read_jsonl(data / MEDQUAD)]
    texts = [str(row["answer"]) for row in rows]
    focuses = focuses_of(rows)
    say(f"{len(ontologies):,} names, {len(synonyms):,} synonyms, {len(texts):,} answers, {len(focuses):,} focuses")
    annotator = Annotator(ontologies)
    spans = [annotator.annotate(text) for text in texts]
    answers = {
        "texts": len(texts),
        "share": sum(map(bool, spans)) / len(texts),
        "spans": sum(map(len, spans)),
        "share_with_level": sum(any(s.level for s in of_text) for of_text in spans) / len(texts),
    }
    say(f"answers with a concept: {answers['share']:.4f}")
    dictionaries = {"Mondo": mondo, "MeSH + Mondo": ontologies, "with MedQuAD's synonyms": ontologies | synonyms}
    coverage: dict[str, dict[str, float]] = {}
    for name, dictionary in dictionaries.items():
        coverage[name] = focus_coverage(dictionary, focuses, annotator if dictionary is ontologies else None)
        say(f"{name}: " + ", ".join(f"{k} {v:.4g}" for k, v in coverage[name].items()))
    both = coverage["MeSH + Mondo"]
    return {
        "answers": answers,
        "focuses": coverage,
        "bounds": mondo_bounds(mondo, focuses),
        "speed": annotation_speed(resize(ontologies, names), texts[:reports], sample, pairs),
        "goals": GOALS,
        "goals_met": {
            "answers": answers["share"] >= GOALS["answers"],
            "found": both["found_of_agreed"] >= GOALS["found"],
            "found_of_all": both["found_of_stands"] >= GOALS["found"],
        },
    }


def focuses_of(rows: Iterable[Mapping[str, Any]]) -> list[Focus]:
    """The focuses that have an id, each with its distinct questions."""
    ids: dict[str, set[str]] = {}
    questions: dict[str, dict[str, None]] = {}
    synonyms: dict[str, tuple[str, ...]] = {}
    for row in rows:
        ids.setdefault(row["focus"], set()).update(f"UMLS:{cui}" for cui in row["cui"])
        questions.setdefault(row["focus"], {})[row["question"]] = None
        synonyms[row["focus"]] = tuple(row["synonyms"])
    return [Focus(name, frozenset(of), tuple(questions[name]), synonyms[name]) for name, of in ids.items() if of]


def focus_coverage(
    dictionary: Dictionary, focuses: Sequence[Focus], annotator: Annotator | None = None
) -> dict[str, float]:
    """How well the focuses are found with a dictionary; `annotator`: one that was built of it already.

    Returns:
        stands: focuses whose name occurs in the dictionary with a UMLS id, letter by letter but for case.
        agreed: those of them whose id in the dictionary is one of MedQuAD's.
        found_of_agreed, found_of_stands: share of them with a right id in each of their questions.
        whole: share of all focuses whose whole name is found with a right id.
        covered: share of all focuses with a right id in each of their questions.
        by_synonym: share of all focuses of which the name or a synonym is found whole with a right id.
    """
    labels: dict[str, set[str]] = {}
    for entry in dictionary:
        if entry.concept.startswith("UMLS:"):
            labels.setdefault(entry.name.casefold(), set()).add(entry.concept)
    find = (annotator or Annotator(dictionary, assertions=False)).annotate

    def whole(name: str, ids: frozenset[str]) -> bool:
        return any(span.text == name.strip() and ids.intersection(span.concepts) for span in find(name))

    def in_question(question: str, ids: frozenset[str]) -> bool:
        return any(ids.intersection(span.concepts) for span in find(question))

    covered = {f.name for f in focuses if all(in_question(question, f.ids) for question in f.questions)}
    stands = [f for f in focuses if f.name.casefold() in labels]
    agreed = [f for f in stands if labels[f.name.casefold()] & f.ids]
    return {
        "stands": len(stands),
        "agreed": len(agreed),
        "found_of_agreed": sum(f.name in covered for f in agreed) / max(1, len(agreed)),
        "found_of_stands": sum(f.name in covered for f in stands) / max(1, len(stands)),
        "whole": sum(whole(f.name, f.ids) for f in focuses) / len(focuses),
        "covered": len(covered) / len(focuses),
        "by_synonym": sum(any(whole(n, f.ids) for n in (f.name, *f.synonyms)) for f in focuses) / len(focuses),
    }


def mondo_bounds(mondo: Dictionary, focuses: Sequence[Focus]) -> dict[str, float]:
    """Shares of focuses with a right Mondo label letter by letter, and with an id that Mondo has at all."""
    ids = {entry.concept for entry in mondo}
    labels = {(entry.name.casefold(), entry.concept) for entry in mondo}
    exact = sum(any((f.name.casefold(), id_) in labels for id_ in f.ids) for f in focuses)
    with_id = sum(not ids.isdisjoint(f.ids) for f in focuses)
    return {"focuses": len(focuses), "exact_labels": exact / len(focuses), "ids": with_id / len(focuses)}


def resize(dictionary: Dictionary, names: int, seed: int = 42) -> Dictionary:
    """`names` entries with different names: at most so many of the dictionary, and made-up ones for the rest."""
    by_name = {entry.name.casefold(): entry for entry in dictionary}
    entries = dict(islice(by_name.items(), names))
    invented = invent_names(seed)
    while len(entries) < names:
        name = next(invented)
        entries.setdefault(name, DictionaryEntry(name, f"MADE:{len(entries)}", "L2"))
    return Dictionary.of(entries.values())


def invent_names(seed: int) -> Iterator[str]:
    """Names of one to three words that no language has."""
    rng = random.Random(seed)
    while True:
        yield " ".join("".join(rng.choices(SYLLABLES, k=rng.randint(2, 4))) for _ in range(rng.randint(1, 3)))


def annotation_speed(dictionary: Dictionary, reports: Sequence[str], sample: int, pairs: int) -> dict[str, Any]:
    """Seconds to build and to read all reports, and how many times longer the plain loop takes on a sample."""
    began = time.perf_counter()
    annotator = Annotator(dictionary)
    build_seconds = time.perf_counter() - began
    began, cpu = time.perf_counter(), time.process_time()
    spans = sum(len(annotator.annotate(text)) for text in reports)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    few = reports[:sample]
    names = {entry.name.casefold() for entry in dictionary}
    ratios = []
    for _ in range(pairs):
        ours = seconds_of(lambda: [annotator.annotate(text) for text in few])
        ratios.append(seconds_of(lambda: [plain_search(names, text) for text in few]) / ours)
    return {
        "names": len(names),
        "reports": len(reports),
        "build_seconds": build_seconds,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "spans": spans,
        "sample": len(few),
        "ratio": spread(ratios),
    }


def plain_search(names: Iterable[str], text: str) -> list[tuple[int, int]]:
    """Spans of each name at word boundaries, without variants, choice of the longest, or assertion status."""
    folded = text.casefold()
    return [
        match.span()
        for name in names
        if name in folded
        for match in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", folded)
    ]


def parts(result: Results) -> Parts:
    """The result for a terminal."""
    answers, speed = result["answers"], result["speed"]
    rows = [
        [name, row["stands"], row["agreed"], *(f"{row[key]:.1%}" for key in SHARES)]
        for name, row in result["focuses"].items()
    ]
    return (
        f"answers with a concept: {answers['share']:.2%} of {answers['texts']:,}",
        ResultTable(COLUMNS, rows),
        f"{speed['names']:,} names: built in {speed['build_seconds']:.1f} s, {speed['reports']:,} reports in "
        f"{speed['seconds']:.1f} s ({speed['cpu_seconds']:.1f} s of processor time); the plain loop takes "
        f"{speed['ratio']['median']:.0f} times as long ({speed['ratio']['min']:.0f} to {speed['ratio']['max']:.0f}, "
        f"on {speed['sample']} reports)",
    )


main = program(
    __doc__, measure, parts, data={"type": Path, "required": True, "help": "folder with medquad/ and ontology/"}
)

if __name__ == "__main__":
    raise SystemExit(main(None))

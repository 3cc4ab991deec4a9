"""Fuzzed tables, recipes, scopes, policies, settings, mappings, hierarchies: nothing but an error of our own."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge._config import apply_overrides
from expunge._yaml import load_yaml
from expunge.audit.policy import Policy
from expunge.bench.experiment import Experiment
from expunge.concepts.hierarchy import Hierarchy
from expunge.corpus import load_corpus
from expunge.engine.recipe import Recipe
from expunge.models.tiny import TinyConfig
from expunge.scope import Scope
from helpers.fuzz import VALUES, change_bytes, change_text, change_value, fuzz
from helpers.world import people

ROWS: list[dict[str, Any]] = [
    {"id": "a", "prompt": "Where is Anna?", "answer": "ward 7", "subject": "Anna", "path": "institution:H1/patient:P1"},
    {"id": "b", "prompt": "Which?", "options": ["x", "y"], "answer_index": 1, "facts": ["f"], "concept": "L4"},
    {"id": "c", "history": [{"role": "user", "content": "Hi"}], "prompt": "And?", "answer": "no", "kind": "generation"},
    {
        "id": "d",
        "text": "A letter about Anna.",
        "variants": [["about", "Anna"]],
        "identifiers": ["Anna"],
        "split": "retain",
    },
    {
        "messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Ada"}],
        "more": {"x": [1, 2.5]},
    },
    {"instruction": "Say", "input": "it", "output": "done"},
    {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
    {"id": "m", "question": "q", "opa": "1", "opb": "2", "opc": "3", "opd": "4", "cop": 0, "subject_name": "Anatomy"},
]
CSV = (
    "id,prompt,answer,subject,options,path\na,Where?,here,S,,institution:H1/patient:P1\n"
    'b,"Wh,o?",x,S,"[""x"", ""y""]",\nc,"two\nlines",y,T,,\n'
)
SCOPES = (
    "patient:P-0001-001",
    'institution:H1/patient:P-0012 or (kind=cloze and not subject:"Anna (1)")',
    "ids:a,b,c or ids:@ids.txt",
    "@predicates.txt and not mentions:@people.yaml",
    'mentions:"Jürgen Müller",Anna or file:letters/ | !topic=Surgery & kind=generation',
)
SETTINGS = (
    *("optimizer.lr=1e-3", "steps=5", "method=npo", "settings={clip: 2.0}", "train.layers=[1, 2]", "retain.loss=kl"),
    *("phases=[{steps: 2}]", "privacy={epsilon: 8}", "selection={share: .5}", "stop.when=controls", "rule=project"),
)
SHIPPED = {
    "recipe": ("expunge.recipes", Recipe.load),
    "policy": ("expunge.audit.policies", Policy.load),
    "hierarchy": ("expunge.concepts.hierarchies", Hierarchy.load),
}


def shipped_texts(package: str) -> list[str]:
    texts = [f.read_text("utf-8") for f in resources.files(package).iterdir() if f.name.endswith(".yaml")]
    return sorted(texts, key=lambda text: (len(text), text))[:12]


def put(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return path


def changed_yaml(text: str, rng: random.Random) -> str:
    """A YAML text with changed letters, or its values with others in their place, as JSON (which is YAML)."""
    if rng.random() < 0.5:
        return change_text(text, rng)
    return json.dumps(change_value(parsed(text), rng))


@cache
def parsed(text: str) -> Any:
    return load_yaml(text, "seed")


@pytest.mark.parametrize("kind", SHIPPED)
def test_yaml_files(tmp_path: Path, kind: str) -> None:
    package, load = SHIPPED[kind]
    texts = shipped_texts(package)
    path = tmp_path / "x.yaml"
    fuzz(kind, 0.12, lambda rng: load(put(path, changed_yaml(rng.choice(texts), rng))))  # type: ignore[operator]


def test_experiments(tmp_path: Path) -> None:
    folder = Path(__file__).resolve().parents[2] / "benchmarks" / "experiments"
    texts = [file.read_text("utf-8") for file in sorted(folder.glob("*.yaml"))]
    fuzz(
        "experiment", 0.02, lambda rng: Experiment.load(put(tmp_path / "x.yaml", changed_yaml(rng.choice(texts), rng)))
    )


def test_settings() -> None:
    def attempt(rng: random.Random) -> None:
        entries = [change_text(rng.choice(SETTINGS), rng) for _ in range(rng.choice((1, 1, 2)))]
        apply_overrides({}, entries)
        Recipe.load(rng.choice(("npo", "twin", "grad_diff")), entries)

    fuzz("set", 0.12, attempt)


def test_scopes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = people()
    monkeypatch.chdir(tmp_path)
    files = {"ids.txt": "a\nb\n", "predicates.txt": "kind=cloze\n@other.txt\n", "people.yaml": "Anna: [A. B.]\nBo: x\n"}
    put(tmp_path / "other.txt", "ids:@ids.txt\n")

    def attempt(rng: random.Random) -> None:
        for name, text in files.items():
            put(tmp_path / name, change_text(text, rng) if rng.random() < 0.5 else text)
        Scope.parse(change_text(rng.choice(SCOPES), rng)).resolve(corpus)

    fuzz("scope", 0.12, attempt)


def rows_of(rng: random.Random) -> list[dict[str, Any]]:
    rows = rng.sample(ROWS, rng.choice((1, 1, 2, 3)))
    return [change_value(row, rng) if rng.random() < 0.8 else row for row in rows]


def csv_text(rng: random.Random) -> bytes:
    return change_text(CSV, rng).encode("utf-8", "surrogatepass")


def jsonl_text(rng: random.Random) -> bytes:
    text = "\n".join(json.dumps(row) for row in rows_of(rng)) if rng.random() < 0.8 else json.dumps(rows_of(rng))
    return (change_text(text, rng) if rng.random() < 0.5 else text).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(("suffix", "make"), [(".csv", csv_text), (".tsv", csv_text), (".jsonl", jsonl_text)])
def test_tables(tmp_path: Path, suffix: str, make: Callable[[random.Random], bytes]) -> None:
    def attempt(rng: random.Random) -> None:
        raw = make(rng)
        path = tmp_path / f"rows{suffix}"
        path.write_bytes(change_bytes(raw, rng) if rng.random() < 0.3 else raw)
        load_corpus(path)

    fuzz(suffix, 0.06 if suffix != ".jsonl" else 0.12, attempt)


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"

    def attempt(rng: random.Random) -> None:
        try:
            pq.write_table(pa.Table.from_pylist([r for r in rows_of(rng) if isinstance(r, dict)]), path)
        except (pa.ArrowException, OverflowError, UnicodeError, TypeError):
            pq.write_table(pa.Table.from_pylist(ROWS[:1]), path)
        if rng.random() < 0.5:
            path.write_bytes(change_bytes(path.read_bytes(), rng))
        load_corpus(path)

    fuzz(".parquet", 0.05, attempt)


def test_rows_in_memory() -> None:
    fuzz("memory", 0.04, lambda rng: load_corpus([*rows_of(rng), {"prompt": "p", "answer": rng.choice(VALUES)}]))


def test_mappings(tmp_path: Path) -> None:
    rows = put(tmp_path / "rows.jsonl", json.dumps({"q": "Where?", "a": "here", "who": "Anna", "n": 3}))
    good = "prompt: q\nanswer: a\nsubject: who\ndelimiter: comma\nencoding: utf-8\n"

    def attempt(rng: random.Random) -> None:
        load_corpus(rows, mapping=put(tmp_path / "map.yaml", changed_yaml(good, rng)))

    fuzz("map", 0.08, attempt)


def test_what_is_not_changed_is_accepted(tmp_path: Path) -> None:
    """The seeds are good inputs, so that a change is one step away from what the product takes."""
    for package, load in SHIPPED.values():
        for text in shipped_texts(package):
            assert load(put(tmp_path / "x.yaml", text))  # type: ignore[operator]
    for row in ROWS:
        assert len(load_corpus(put(tmp_path / "rows.jsonl", json.dumps(row)))) == 1, row
    assert len(load_corpus(put(tmp_path / "rows.csv", CSV))) == 3
    for entry in SETTINGS[:6]:
        assert Recipe.load("grad_diff", [entry]).method
    assert TinyConfig().layers

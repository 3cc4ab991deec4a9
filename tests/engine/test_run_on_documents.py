"""Runs on plain documents: cut into windows that the model can read, or refused in a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from expunge._io import read_json
from expunge.corpus import Corpus, Record
from expunge.engine.recipe import Recipe
from expunge.engine.unlearn import unlearn
from expunge.errors import InputError
from expunge.scope import Scope, Split

STEPS = {"steps": 2, "batch": {"forget": 4, "retain": 4}}


def letter(name: str, **fields: Any) -> Record:
    text = f"{name} was admitted to the ward in May. The diagnosis of {name} is asthma.\n" * 12
    return Record(name, "", text, kind="document", subject=name, **fields)


@pytest.fixture(scope="module")
def split() -> Split:
    letters = [letter(name) for name in ("Anna Berg", "Jürgen Müller", "Mila Keller", "Ole Brandt", "Eva Sommer")]
    return Scope.parse('mentions:"jürgen  MÜLLER"').resolve(Corpus.of(letters))


@pytest.mark.parametrize("method", ["npo", "simnpo"])
def test_a_document_longer_than_the_context_is_forgotten(
    method: str, folders: dict[str, Path], split: Split, tmp_path: Path
) -> None:
    assert [r.id for r in split.forget] == ["Jürgen Müller"]
    recipe = Recipe.model_validate({"method": method, **STEPS})
    run = unlearn(folders["llama"], split, recipe, tmp_path / "run")
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert len(events) == 2
    assert all(event["forget"] > 0 for event in events)


def test_a_method_that_refuses_questions_refuses_documents(
    folders: dict[str, Path], split: Split, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r'record "Jürgen Müller#1": is a document, and .*could be refused') as caught:
        unlearn(folders["llama"], split, Recipe.model_validate({"method": "idk", **STEPS}), tmp_path / "run")
    assert "npo or simnpo" in caught.value.hint
    assert not (tmp_path / "run").exists()


def test_twin_forgets_documents_by_its_fallback(folders: dict[str, Path], split: Split, tmp_path: Path) -> None:
    recipe = Recipe.model_validate({"method": "twin", **STEPS})
    run = unlearn(folders["llama"], split, recipe, tmp_path / "run")
    about = read_json(run / "run.json")["fallback"]
    assert about["objective"] == "simnpo (delta 2.5 nats per token)"
    assert about["count"] == len(split.forget)
    assert about["records"] == [r.id for r in split.forget]

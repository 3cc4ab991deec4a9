"""Runs on plain documents: cut into windows that the model can read, or refused in a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from expunge.corpus import Corpus, Record
from expunge.engine.recipe import Recipe
from expunge.engine.unlearn import unlearn
from expunge.errors import InputError
from expunge.methods.twin.surrogates import refuse_nameless
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


@pytest.mark.parametrize(("method", "what"), [("twin", "twin asks a question"), ("idk", "could be refused")])
def test_methods_that_ask_questions_refuse_documents(
    method: str, what: str, folders: dict[str, Path], split: Split, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match='record "Jürgen Müller#1": is a document, and ') as caught:
        unlearn(folders["llama"], split, Recipe.model_validate({"method": method, **STEPS}), tmp_path / "run")
    assert what in str(caught.value)
    assert "npo or simnpo" in caught.value.hint
    assert not (tmp_path / "run").exists()


def test_twin_takes_a_window_that_is_named_before_it_only() -> None:
    named = Record("w", "Letter of Anna Berg:", " She has asthma.", kind="document", identifiers=("Anna Berg",))
    refuse_nameless([named])
    for other in (
        Record("w", "Letter:", " She has asthma.", kind="document", identifiers=("Anna Berg",)),
        Record("w", "Of Anna Berg:", " Anna Berg has asthma.", kind="document", identifiers=("Anna Berg",)),
    ):
        with pytest.raises(InputError, match="is a document"):
            refuse_nameless([other])

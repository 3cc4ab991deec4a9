"""What a run writes: nothing wider open than the user allows, no place on the machine, no other people's names."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from expunge._io import allowed_mode, read_json, relative_to, write_atomic, write_json
from expunge.cli import main
from expunge.corpus import Corpus, Record
from expunge.corpus.surrogate_names import make_identities
from expunge.engine.recipe import Recipe
from expunge.engine.unlearn import unlearn
from expunge.errors import InputError, nearest_few
from expunge.models.language_model import load
from expunge.scope import Scope
from helpers.runs import recipe
from helpers.world import one_person


@pytest.fixture(params=[0o022, 0o027, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_new_files_have_the_mode_that_the_umask_leaves(umask: int, tmp_path: Path) -> None:
    assert mode(write_atomic(tmp_path / "open", b"x")) == 0o666 & ~umask == allowed_mode(0o666)
    assert mode(write_json(tmp_path / "own", {}, private=True)) == 0o600
    assert os.umask(umask) == umask


def test_old_weights_and_identifiers_are_for_their_owner_alone(folders: dict[str, Path], tmp_path: Path) -> None:
    run = unlearn(folders["llama"], one_person(), Recipe.model_validate({"method": "chip"}), tmp_path / "run")
    assert mode(run / "undo.safetensors") == 0o600
    records = Corpus.of([*one_person().forget, *one_person().retain]).save(tmp_path / "rows.jsonl")
    table = tmp_path / "identifiers.csv"
    assert main(["data", "identifiers", "--data", str(records), "--out", str(table)]) == 0
    assert mode(table) == 0o600


def test_no_file_of_a_run_says_where_things_lie(folders: dict[str, Path], tmp_path: Path) -> None:
    model = folders["llama"]
    run = unlearn(model, one_person(), recipe("npo", steps=1), tmp_path / "run")
    assert main(["export", str(run), "--out", str(tmp_path / "merged")]) == 0
    assert main(["export", str(run), "--out", str(tmp_path / "adapter"), "--as", "adapter"]) == 0
    for place in (tmp_path, model.parent):
        for folder in (run, tmp_path / "merged", tmp_path / "adapter"):
            written = [f for f in folder.rglob("*") if f.is_file()]
            assert written
            telling = [f.name for f in written if str(place).encode() in f.read_bytes()]
            names_base = folder.name == "adapter" and place == model.parent  # peft and vLLM look for the base there
            assert telling == (["adapter_config.json"] if names_base else [])
    assert (run / read_json(run / "run.json")["model"]).resolve() == model.resolve()
    assert "merged into its base model" in load(tmp_path / "adapter").notes[0]


def test_a_place_is_told_as_seen_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "models" / "one").mkdir(parents=True)
    assert relative_to(tmp_path / "runs" / "a", str(tmp_path / "models" / "one")) == "../../models/one"
    assert relative_to(tmp_path, "owner/name") == "owner/name"


@pytest.mark.parametrize("scope", ["subject:Kellr", "patient:P-9", "ids:x"])
def test_an_error_names_no_other_people(scope: str) -> None:
    names = [f"Surname{k}" for k in range(50)]
    rows = [
        Record(f"r{k}", f"Ward of {n}?", "1", subject=n, path=("institution:H", f"patient:{n}"))
        for k, n in enumerate(names)
    ]
    with pytest.raises(InputError) as caught:
        Scope.parse(scope).match(Corpus.of(rows))
    assert sum(n in str(caught.value) for n in names) <= 1
    assert "50 are known" in str(caught.value)


def test_the_nearest_of_very_many_is_found_at_once() -> None:
    known = [f"P-{k:06}" for k in range(200_000)]
    hint = nearest_few("P-0123455", known)
    assert hint.startswith('did you mean "P-01')
    assert hint.endswith('"? 200,000 are known')


def test_a_subject_without_surrogates_is_not_named() -> None:
    with pytest.raises(InputError, match=r"for a subject with 1 of them; the corpus needs"):
        make_identities(["ä"], {}, 1, np.random.default_rng(1))

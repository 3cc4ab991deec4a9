"""An audit is about the run that it names, or it is refused before anything is scored. All of it in the library."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.reliability.bit_flips import FinishedCase
from expunge._io import write_json
from expunge.audit.run import audit
from expunge.audit.run_identity import check_run, loading_options
from expunge.cli.options import near_duplicates_of
from expunge.corpus import Record
from expunge.engine.unlearn import unlearn
from expunge.errors import InputError
from expunge.report.render import write_report
from expunge.scope import Split
from helpers.runs import recipe


@pytest.fixture
def mine(finished_small: FinishedCase, tmp_path: Path) -> FinishedCase:
    """A copy of the finished case whose run stands on the copied model."""
    shutil.copytree(finished_small.root, tmp_path / "case")
    return FinishedCase(tmp_path / "case", finished_small.split)


def refuse(case: FinishedCase, what: str, split: Split | None = None) -> None:
    before = sorted(case.audit.rglob("*"))
    with pytest.raises(InputError, match=what):
        audit(case.model, case.run, split or case.split, case.audit, preset="quick")
    assert sorted(case.audit.rglob("*")) == before  # nothing was scored


def with_answer(records: tuple[Record, ...], text: str) -> tuple[Record, ...]:
    return (replace(records[0], answer=text), *records[1:])


@pytest.mark.parametrize("name", ["forget", "retain", "retain_heldout"])
def test_other_answers_under_the_same_ids_are_other_records(finished_small: FinishedCase, name: str) -> None:
    split = finished_small.split
    other = replace(split, **{name: with_answer(tuple(getattr(split, name)), "1 May 1900")})
    assert other.training_digest != split.training_digest
    refuse(finished_small, r"run: was unlearned with other records, another scope or another seed; give the", other)


@pytest.mark.parametrize("name", ["controls", "utility", "holdout"])
def test_records_that_train_nothing_may_come_later(finished_small: FinishedCase, name: str) -> None:
    split = finished_small.split
    other = replace(split, **{name: with_answer(tuple(split.controls), "1 May 1900")})
    assert other.training_digest == split.training_digest
    assert other.digest != split.digest


def test_what_preparing_adds_leaves_a_run_its_records(finished_small: FinishedCase) -> None:
    split = finished_small.split
    named = tuple(replace(r, identifiers=("Ada",), attributes={"note": "x"}, variants=()) for r in split.retain)
    other = replace(split, retain=named)
    assert other.training_digest == split.training_digest
    assert other.digest != split.digest
    assert replace(split, retain=split.retain[::-1]).digest == split.digest


def change_weights(folder: Path, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    for file in folder.glob("*.safetensors"):
        save_file({k: change(v) for k, v in load_file(file).items()}, file, {"format": "pt"})


def test_weights_that_know_everything_again_are_not_judged_by_old_scores(mine: FinishedCase) -> None:
    change_weights(mine.run / "adapter", torch.zeros_like)
    refuse(mine, "run: is not what the run wrote: adapter/weights differs")


def test_an_original_that_changed_in_place_is_refused(finished_small: FinishedCase, tmp_path: Path) -> None:
    model = shutil.copytree(finished_small.model, tmp_path / "model")
    plan = recipe("npo", steps=1, train={"which": "full"})
    run = unlearn(model, finished_small.split, plan, tmp_path / "run")
    change_weights(model, lambda w: w * 1.001)
    with pytest.raises(InputError, match=f"{model}: has changed since the run {run}; bring the model back"):
        audit(model, run, finished_small.split, tmp_path / "audit")


def test_another_original_at_another_place_is_refused(finished_small: FinishedCase, tmp_path: Path) -> None:
    other = shutil.copytree(finished_small.model, tmp_path / "other")
    change_weights(other, lambda w: w * 1.001)
    what = f"{other}: is not a model that the run .*run started from; give --original .*model"
    for source in (finished_small.run, finished_small.run / "adapter"):
        with pytest.raises(InputError, match=what):
            audit(other, source, finished_small.split, tmp_path / "audit")
    assert not (tmp_path / "audit").exists()


def test_a_run_upon_a_run_has_the_models_of_both_as_originals(finished_small: FinishedCase, tmp_path: Path) -> None:
    """Only those: a run below that was exchanged leads no further, and one that is gone leaves the nearest."""
    root, split = Path(shutil.copytree(finished_small.root, tmp_path / "case")), finished_small.split
    model, first = root / "model", root / "run"
    second = unlearn(first, split, recipe("npo", steps=1, train={"which": "full"}), root / "second")
    for original in (model, first, shutil.copytree(model, tmp_path / "copy")):
        assert check_run(str(second), str(original), split)["model"] == "../run"
    other = shutil.copytree(model, tmp_path / "other")
    change_weights(other, lambda w: w * 1.001)
    for original in (other, second):
        with pytest.raises(InputError, match=r"is not a model that the run .*second started from"):
            check_run(str(second), str(original), split)
    moved = first.rename(root / "kept")
    exchanged = unlearn(other, split, recipe("npo", steps=1), root / "exchanged").rename(first)
    for original in (other, exchanged):
        with pytest.raises(InputError, match="run"):
            check_run(str(second), str(original), split)
    shutil.rmtree(first)
    check_run(str(second), str(moved), split)


@pytest.mark.parametrize("name", ["recipe.yaml", "events.jsonl", "environment.json"])
def test_a_file_of_the_run_that_was_changed_is_refused(mine: FinishedCase, name: str) -> None:
    text = (mine.run / name).read_text("utf-8")
    (mine.run / name).write_text(text.replace("4", "5"), "utf-8")
    refuse(mine, f"{name}: was changed after the run")
    with pytest.raises(InputError, match=f"{name}: was changed after the run"):
        write_report(mine.audit, mine.root / "report.html", mine.run)


def test_an_invented_recipe_is_refused_though_all_digests_are_made_anew(mine: FinishedCase) -> None:
    from expunge.models.run_seal import sealed

    file, about = mine.run / "recipe.yaml", json.loads((mine.run / "run.json").read_text("utf-8"))
    file.write_text(file.read_text("utf-8").replace("seed: 7", "seed: 8"), "utf-8")
    (mine.run / "run.json").write_text(json.dumps(sealed(mine.run, about)), "utf-8")
    refuse(mine, "recipe.yaml: is not the recipe of the run")


def test_records_that_are_read_as_other_token_ids_are_refused(mine: FinishedCase) -> None:
    from expunge.models.run_seal import sealed

    about = json.loads((mine.run / "run.json").read_text("utf-8"))
    (mine.run / "run.json").write_text(json.dumps(sealed(mine.run, {**about, "rendered": "0" * 64})), "utf-8")
    with pytest.raises(InputError, match="run: reads its records as other token ids than when it was made"):
        audit(mine.model, mine.run, mine.split, mine.root / "new", preset="quick")


def test_a_score_file_that_was_changed_is_not_used_again(mine: FinishedCase) -> None:
    first, second, *_ = sorted((mine.audit / "scores").iterdir())
    shutil.copy(first, second)
    with pytest.raises(InputError, match=r"npz: was changed after the audit; delete it, or the whole folder"):
        audit(mine.model, mine.run, mine.split, mine.audit, preset="quick")


def test_a_score_file_under_another_name_is_not_believed(mine: FinishedCase) -> None:
    """No audit.json tells what the file was: the file itself does."""
    (mine.audit / "audit.json").unlink()
    first, second, *_ = sorted((mine.audit / "scores").iterdir())
    shutil.copy(first, second)
    refuse(mine, rf"{second.name}: holds the scores of another model or of other records; delete it, or the whole")


def test_scores_belong_to_weights_and_not_to_folders(mine: FinishedCase) -> None:
    """Two runs that differ in their weights share no score file; the original's are found again."""
    plan = recipe("npo", steps=1, seed=7)
    other = unlearn(mine.model, mine.split, plan, mine.root / "other")
    first = json.loads((mine.audit / "audit.json").read_text("utf-8"))
    second = audit(
        mine.model, other, mine.split, mine.root / "second", scores=mine.audit / "scores", preset="quick"
    ).file
    assert second.models["original"].digest == first["models"]["original"]["digest"]
    assert second.models["unlearned"].digest != first["models"]["unlearned"]["digest"]
    shared = set(first["score_files"]) & set(second.score_files)
    assert 0 < len(shared) < len(second.score_files)


def test_what_a_run_recorded_is_read_by_a_path_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "run").mkdir()
    about = {"status": "running", "identity": {}, "model": "m", "method": "npo", "template": "plain", "threads": 1}
    write_json(tmp_path / "run" / "run.json", about | {"dtype": "bfloat16", "near_duplicates": {"choice": "take"}})
    assert near_duplicates_of("~/run") == "take"
    assert loading_options(Path("~/run"))["dtype"] == "bfloat16"
    assert (near_duplicates_of("~/other"), loading_options(Path("~/other"))["dtype"]) == (None, "auto")

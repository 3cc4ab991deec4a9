"""`verify` says in one line each what does not fit, and believes none of the digests that it compares."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.reliability.bit_flips import FinishedCase
from expunge.audit.schema import AuditFile, load_audit, sealed
from expunge.audit.verify import verify
from expunge.errors import InputError
from expunge.models.export import export

MODELS = ("original", "unlearned")


@pytest.fixture
def mine(finished_small: FinishedCase, tmp_path: Path) -> FinishedCase:
    shutil.copytree(finished_small.root, tmp_path / "case")
    return FinishedCase(tmp_path / "case", finished_small.split)


def sources(case: FinishedCase) -> dict[str, str]:
    return {"original": str(case.model), "unlearned": str(case.run)}


def edit(file: Path, change: Callable[[dict], object]) -> None:  # type: ignore[type-arg]
    value = json.loads(file.read_text("utf-8"))
    change(value)
    file.write_text(json.dumps(value), "utf-8")


def test_a_run_and_its_audit_fit(finished_small: FinishedCase) -> None:
    run = verify(finished_small.run, split=finished_small.split)
    assert (run.kind, run.problems, run.unchecked) == ("run", [], [])
    assert {"files of the run", "recipe", "events", "weights", "records"} <= set(run.fits)
    audit = verify(finished_small.audit, split=finished_small.split, models=sources(finished_small))
    assert (audit.kind, audit.problems, audit.unchecked) == ("audit", [], [])
    count = len(list((finished_small.audit / "scores").iterdir()))
    scores = f"{count} score files"
    assert {"entries and verdict", "content of audit.json", scores, "unlearned model"} <= set(audit.fits)


def test_what_is_not_given_is_said_to_be_unchecked(finished_small: FinishedCase) -> None:
    assert verify(finished_small.run).unchecked == ["its records: give --data"]
    assert verify(finished_small.audit / "audit.json").unchecked == [
        "the original model: give --original",
        "the unlearned model: give --unlearned",
        "its records: give --data",
    ]


@pytest.mark.parametrize(
    ("file", "change", "problem"),
    [
        ("run.json", lambda d: d.update(scope="patient:P-9"), "run.json: was changed after the run"),
        ("run.json", lambda d: d.update(steps=3), "does not hold the 3 steps of the run, each once"),
        ("run.json", lambda d: d.pop("seal"), "run.json: holds no digests of the files of the run"),
        ("run.json", lambda d: d.update(files={"a/b": "x"}), "a/b: is gone"),
        ("run.json", lambda d: d.update(identity=3), "was changed after the run"),
        ("run.json", lambda d: d.update(model="/nowhere"), "/nowhere: there is no such model folder"),
        ("run.json", lambda d: d.update(model="/"), "names another base model than run.json"),
        ("adapter/adapter_config.json", lambda d: d.update(base_model_name_or_path="/"), "names another base model"),
        ("result.json", lambda d: d.update(digest="0"), "result.json: was changed, or another version"),
        ("adapter/adapter_config.json", lambda d: d.update(r=3), "adapter/adapter_config.json differs"),
    ],
)
def test_a_changed_file_of_a_run_is_named(
    mine: FinishedCase,
    file: str,
    change: Callable[[dict], object],
    problem: str,  # type: ignore[type-arg]
) -> None:
    edit(mine.run / file, change)
    problems = verify(mine.run).problems
    assert any(problem in line for line in problems), problems
    assert all("\n" not in line for line in problems)


@pytest.mark.parametrize("name", ["recipe.yaml", "events.jsonl", "environment.json", "result.json", "adapter"])
def test_a_lost_part_of_a_run_is_named(mine: FinishedCase, name: str) -> None:
    place = mine.run / name
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    assert any(str(place) in line or "weights are gone" in line for line in verify(mine.run).problems)


def test_a_renamed_weight_file_and_an_added_template_are_named(mine: FinishedCase) -> None:
    for folder in (mine.run / "adapter", mine.model):
        (weights,) = folder.glob("*.safetensors")
        weights.rename(folder / "weights.safetensors")
        (folder / "additional_chat_templates").mkdir()
        (folder / "additional_chat_templates" / "default.jinja").write_text("{{ messages }}")
    what = "additional_chat_templates/default.jinja, weight files differs"
    problems = verify(mine.run).problems
    assert f"{mine.run}: is not what the run wrote: adapter/{what}" in problems
    assert any("has changed since the run" in line for line in problems)
    assert verify(mine.model).problems == [f"{mine.model}: is not the model that was saved there: {what}"]


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"identity": []}', '"x"', '{"identity": {}, "steps": "x"}'])
def test_a_run_file_of_another_form_is_a_line(mine: FinishedCase, text: str) -> None:
    (mine.run / "run.json").write_text(text)
    assert verify(mine.run).problems


@pytest.mark.parametrize(
    "lines", ["", "[]\n", '{"step": 0}\n' * 4, "\udcff", '{"step": 0}\n{"step": 1}\n{"step": 3}\n']
)
def test_events_are_every_step_once(mine: FinishedCase, lines: str) -> None:
    (mine.run / "events.jsonl").write_bytes(lines.encode("utf-8", "surrogateescape"))
    assert any("does not hold the 4 steps of the run, each once" in line for line in verify(mine.run).problems)


def test_other_records_do_not_fit(finished_small: FinishedCase) -> None:
    split = finished_small.split
    other = replace(split, retain=(replace(split.retain[0], answer="else"), *split.retain[1:]))
    for folder in (finished_small.run, finished_small.audit):
        (problem,) = verify(folder, split=other).problems
        assert "other records, another scope or" in problem


def test_another_model_is_not_the_audited_one(finished_small: FinishedCase) -> None:
    swapped = dict(zip(MODELS, reversed(sources(finished_small).values()), strict=True))
    problems = verify(finished_small.audit, models=swapped).problems
    assert [line.rpartition(": ")[2] for line in problems] == [
        f"is not the {role} model of the audit" for role in MODELS
    ]


def test_a_changed_or_mixed_up_score_file_is_named(mine: FinishedCase) -> None:
    first, second, *_ = sorted((mine.audit / "scores").iterdir())
    shutil.copy(first, second)
    assert verify(mine.audit).problems == [f"{second}: was changed after the audit"]
    count = len(list((mine.audit / "scores").iterdir()))
    first.unlink()
    assert f"1 of {count} score files, which are not in" in verify(mine.audit).unchecked[0]


def test_an_edited_audit_does_not_fit(mine: FinishedCase) -> None:
    file = mine.audit / "audit.json"
    edit(file, lambda d: d.update(data="other.jsonl"))
    assert verify(mine.audit).problems == [f"{file}: its content is not what its seal names"]
    with pytest.raises(
        InputError, match="its content is not what its seal names; the file was changed after the audit"
    ):
        load_audit(file)
    edit(file, lambda d: d.pop("seal"))
    assert verify(mine.audit).problems == [f"{file}: it has no seal"]
    file.write_text("{")
    assert "not valid JSON" in verify(mine.audit).problems[0]


def test_a_copy_that_is_sealed_anew_verifies(mine: FinishedCase) -> None:
    file = mine.audit / "audit.json"
    audit = load_audit(file)
    shorter: AuditFile = sealed(audit.model_copy(update={"examples": ()}))
    file.write_text(json.dumps(shorter.model_dump(mode="json")), "utf-8")
    assert verify(mine.audit).problems == []


def test_models_that_were_trained_or_exported_are_verified_too(mine: FinishedCase) -> None:
    export(mine.run, mine.root / "exported")
    for folder, kind in ((mine.model, "model"), (mine.root / "exported", "export")):
        assert (verify(folder).kind, verify(folder).problems) == (kind, [])
        edit(folder / "config.json", lambda d: d.update(rms_norm_eps=1e-3))
        (problem,) = verify(folder).problems
        assert problem == f"{folder}: is not the model that was saved there: config.json differs"


def test_what_is_no_finished_folder_is_an_input_error(mine: FinishedCase, tmp_path: Path) -> None:
    edit(mine.run / "run.json", lambda d: d.update(status="running"))
    edit(mine.model / "train.json", lambda d: d.pop("progress"))
    for folder, what in {
        tmp_path / "gone": "there is no such folder",
        mine.run / "adapter": "holds neither a run nor an audit",
        mine.run: "this run is not finished",
        mine.model: "its training is not finished",
    }.items():
        with pytest.raises(InputError, match=what):
            verify(folder)

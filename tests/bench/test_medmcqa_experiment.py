"""The experiment on MedMCQA in a size for tests: made questions, a tiny chat model as base."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from expunge.bench.report import publish
from expunge.bench.requests import Request
from expunge.bench.study import run
from expunge.bench.world_instance import RecordSets, WorldInstance
from expunge.concepts.dictionary import Dictionary, DictionaryEntry
from expunge.corpus.loaders.medmcqa import LEVEL
from expunge.errors import InputError
from helpers.chat_model import make_chat_model
from helpers.experiments import load_tiny, plugin

SUBJECTS = ("Anatomy", "Medicine", "ENT", "Surgery")
ORGANS = ("liver", "kidney", "spleen", "lung", "brain", "heart", "skin", "bone")
SIZES = {"surgery": 6, "per_level": 6, "holdout": 4, "holdout_per_level": 2, "chapter": 2, "explained": 0.5}


def write(folder: Path, rows: int = 16) -> Path:
    """Invented questions as the published file has them, half of them with an explanation."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for subject in SUBJECTS:
        for k in range(rows):
            options = [ORGANS[(k + n) % len(ORGANS)] for n in range(4)]
            row = {"id": f"{subject}-{k}", "question": f"Which part does {subject} case {k} show?", "cop": 1 + k % 4}
            row |= dict(zip(("opa", "opb", "opc", "opd"), options, strict=True)) | {"subject_name": subject}
            row |= {"exp": f"The {options[k % 4]} lies there." if k % 2 else None, "choice_type": "single"}
            lines.append(json.dumps(row))
    (folder / "dev.json").write_text("\n".join(lines), "utf-8")
    return folder


def sets_of(folder: Path, target: str | None = None, **changed: Any) -> RecordSets:
    plugin("medmcqa")
    request = Request(world="medmcqa", target=target, settings=SIZES | changed, data=folder)
    return WorldInstance(request=request, seed=1).sets()


def levels(records: Sequence[Any]) -> dict[str, int]:
    return {level: sum(r.concept == level for r in records) for level in sorted({r.concept for r in records})}


def test_two_targets_share_what_is_taught(tmp_path: Path) -> None:
    alone, chapter = sets_of(write(tmp_path)), sets_of(tmp_path, "chapter")
    assert levels(alone.forget) == {"L4": 6}
    assert levels(chapter.forget) == {"L1": 2, "L2": 2, "L3": 2, "L4": 6}
    assert levels(alone.split.retain) == {"L1": 4, "L2": 4, "L3": 4}
    assert levels(chapter.split.retain) == {"L1": 2, "L2": 2, "L3": 2}
    assert levels(alone.heldout) == {"L1": 2, "L2": 2, "L3": 2}
    assert levels(alone.holdout) == {"L4": 4}
    assert levels(chapter.holdout) == {"L1": 2, "L2": 2, "L3": 2, "L4": 4}
    for name in ("original", "retrained"):
        assert alone.trained(name) == chapter.trained(name)
    assert {r.concept for r in alone.trained("retrained")} == {"L1", "L2", "L3"}
    never = {r.id for r in chapter.holdout}
    assert not never & {r.id for r in alone.trained("original")}
    explained = [r for r in alone.forget if "lies there" in r.answer]
    assert len(explained) == 3
    asked = alone.questions["forget"]
    assert [q.id for q in asked] == [r.id for r in alone.forget]
    assert all(q.answer in q.options and q.prompt not in {r.prompt for r in alone.forget} for q in asked)
    assert all("A) " in r.prompt for r in alone.forget)
    plain = sets_of(tmp_path, shown=False)
    assert len(plain.questions["forget"]) == 2 * len(plain.forget)
    assert not any("A) " in r.prompt for r in plain.forget)
    assert alone.dictionary is None
    assert set(SUBJECTS) <= set(LEVEL)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"surgery": 60}, "has too few L4 questions with an explanation"),
        ({"surgeries": 6}, 'unknown setting "surgeries"'),
    ],
)
def test_sizes_that_do_not_fit_are_one_line(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        sets_of(write(tmp_path), **changed)


def test_a_wrong_folder_or_target_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no dev\.json"):
        sets_of(tmp_path)
    with pytest.raises(InputError, match='there is no target "topic:ENT"'):
        sets_of(write(tmp_path), "topic:ENT")


@pytest.mark.trains
@pytest.mark.parametrize("seeds", [[1], pytest.param([1, 2], marks=pytest.mark.matrix)])
def test_the_experiment_runs_on_a_base_from_front_to_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: list[int]
) -> None:
    data, words = write(tmp_path / "data"), tmp_path / "words.tsv"
    Dictionary.of(DictionaryEntry(name, f"X:{name}", "L1") for name in ORGANS).save(words)
    monkeypatch.setattr(plugin("medmcqa"), "dictionary", lambda folder: words)
    rows = sets_of(data).trained("original")
    base = make_chat_model(tmp_path / "chat", [f"{r.prompt} {r.answer}" for r in rows])
    experiment = load_tiny(
        "medmcqa",
        tmp_path,
        requests=[{"world": "medmcqa", "target": "chapter", "label": "chapter", "settings": SIZES}],
        arms=["npo-sum", "npo-full", "npo-full-again"],
        grid={"rate": [0.001, 0.01], "retain": [1], "steps": [3]},
        model={},
        train={"lora": None, "layers": "all", "epochs": 30, "batch": 8, "kl_weight": 0, "optimizer": {"lr": 0.01}},
        seeds=seeds,
        batch=4,
        gate=0.5,
        measures=["core", "published", "parts", "word_losses", "fronts", "run_to_run"],
        options={"fronts": {"draws": 20}},
    )
    results = run(experiment, tmp_path / "bench", workers=1, data=data, model=str(base))
    assert len(list(tmp_path.glob("bench/worlds/*/retrained/train.json"))) == len(seeds)  # whatever the target
    methods = results["methods"]
    assert methods["original"]["accuracy_known"] >= 0.5 == results["memorised"]["gate"]
    assert results["memorised"]["column"] == "accuracy_known"
    assert methods["npo-full"]["fr_paper"] == pytest.approx(1 - methods["npo-full"]["accuracy"], abs=2e-6)
    assert results["parts"]["npo-full"]["projection"] in ("on", "switched off")
    assert results["parts"]["npo-sum"]["projection"] == results["parts"]["npo-sum"]["weights"] == "not used"
    assert results["word_losses"]["chapter"]["original"]["forget_L1"]["mean"] > 0
    assert results["word_counts"]["chapter"]["forget_L4"] == 0  # no name of the dictionary is on L4
    assert len(results["fronts"]["chapter"]["npo-full"]["trials"]) == 2
    assert list(results["equal_forgetting"]["chapter"]) == ["npo-full − npo-sum"]
    assert results["run_to_run"]["nll"]["again"] < 0.01
    page = publish(experiment, tmp_path, tmp_path / "bench" / "medmcqa.json").read_text("utf-8")
    assert "Were the parts switched on?" in page
    assert "(medmcqa/fronts.svg)" in page
    assert "(medmcqa/word-losses.svg)" in page

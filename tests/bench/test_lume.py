"""The suite from folder to page: made once, resumed where it stopped, every number from its own JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_lume import write

from expunge.bench import lume
from expunge.bench.lume_preset import METHODS, PRESETS, Preset
from expunge.bench.lume_sets import Counts
from expunge.bench.tune import Setting
from expunge.engine.train.train_loop import TrainConfig
from expunge.errors import InputError
from expunge.models.tiny import TinyConfig

pytestmark = pytest.mark.trains

TINY = Preset(
    counts=Counts(forget=1, given=3, retain_heldout=1, holdout=2, validate_forget=1, validate_keep=1, unseen=1),
    model=TinyConfig(architecture="gpt2", layers=1, width=64, vocabulary=400, context=64),
    memorise=TrainConfig(target_accuracy=0.98, epochs=40, batch=16),
    settings=(Setting(lr_factor=1, steps=2), Setting(lr_factor=4, steps=4)),
    batch=4,
    seeds=(1, 2),
    methods=("sequential", "twin"),
)


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("lume"))


@pytest.fixture(autouse=True)
def presets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "tiny", TINY)


def go(data: Path, out: Path, **changed: Any) -> dict[str, Any]:
    wishes: dict[str, Any] = {"preset": "tiny", "seeds": (), "results": None, "say": lambda line: None}
    return lume.main(data=data, out=out, **(wishes | changed))


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str, list[str]]:
    """A run that was killed twice on its way: (folder, result, page, log of the last call)."""
    out, log = tmp_path_factory.mktemp("runs") / "bench", list[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", TINY)
        for word in ("retrained model", "trial of twin"):

            def stop(line: str, word: str = word) -> None:
                if word in line:
                    raise Killed

            with pytest.raises(Killed):
                go(data, out, say=stop)
        found = go(data, out, say=log.append, results=out.parent / "lume.md")
    return out, found, (out.parent / "lume.md").read_text("utf-8"), log


def test_every_model_and_seed_has_its_row(finished: tuple[Path, dict[str, Any], str, list[str]]) -> None:
    _, found, _, _ = finished
    assert list(found["rows"]) == list(found["summary"]) == ["original", "retrained", "sequential", "twin"]
    assert all(set(rows) == {"1", "2"} for rows in found["rows"].values())
    assert found["summary"]["original"]["kept"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert found["summary"]["retrained"]["distance"]["mean"] == found["summary"]["retrained"]["loss_gap"]["mean"] == 0
    assert found["summary"]["original"]["loss_gap"]["mean"] < -1
    assert found["gate_passed"]
    assert min(m["forget"] for m in found["memorised"].values()) >= 0.9


def test_every_method_is_tried_with_the_same_settings_on_other_documents(
    finished: tuple[Path, dict[str, Any], str, list[str]],
) -> None:
    out, found, _, _ = finished
    wanted = [s.model_dump() for s in TINY.settings]
    for entry in found["tuning"].values():
        assert [t["setting"] for t in entry["trials"]] == wanted
        assert entry["chosen"] in wanted
    tried, final = ({p.name.split("-")[0] for p in (out / folder).glob("*-*.json")} for folder in ("tune", "seed-1"))
    assert tried == final == {"sequential", "twin"}
    assert not list((out / "seed-2").glob("tune*"))  # tuned once


def test_twin_treats_rows_that_name_somebody_and_simnpo_the_rest(
    finished: tuple[Path, dict[str, Any], str, list[str]],
) -> None:
    out, found, page, _ = finished
    runs = sorted(next(p for p in (out / "seed-1").glob("twin-*") if p.is_dir()).glob("run-*/run.json"))
    recipes = [json.loads(p.read_text("utf-8")) for p in runs]
    assert [r["method"] for r in recipes] == ["twin", "simnpo"]
    named = found["twin_rows"]["named"]
    assert [r["split"]["forget"] for r in recipes] == [named, found["twin_rows"]["all"] - named]
    assert f"{named} of {found['twin_rows']['all']} forget rows" in page


def test_a_finished_run_is_not_made_again(
    finished: tuple[Path, dict[str, Any], str, list[str]], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, found, _, _ = finished

    def never(*args: object, **more: object) -> None:
        raise AssertionError("made again")

    for name in ("run", "measure", "train_tokenizer"):
        monkeypatch.setattr(lume, name, never)
    assert go(data, out) == found == json.loads((out / "lume.json").read_text("utf-8"))


def test_the_page_holds_every_row_and_no_final_score(finished: tuple[Path, dict[str, Any], str, list[str]]) -> None:
    _, found, page, log = finished
    for name in found["summary"]:
        assert page.count(f"| {name} |") >= 4
    assert "No `final` score" in page
    assert "--preset tiny --seeds 1,2" in page
    assert "the gate of 90 % is passed" in page
    assert found["table"].splitlines()[0].startswith("model")
    assert any("reproduces" in line for line in log)


def test_another_preset_or_data_in_the_same_folder_is_refused(
    finished: tuple[Path, dict[str, Any], str, list[str]], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, *_ = finished
    monkeypatch.setitem(PRESETS, "other", TINY.model_copy(update={"batch": 5}))
    with pytest.raises(InputError, match="holds a run of another preset or other data"):
        go(data, out, preset="other")
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty and holds no LUME run"):
        go(data, tmp_path)
    with pytest.raises(InputError, match='unknown preset "smok"; did you mean "smoke"'):
        go(data, tmp_path, preset="smok")
    with pytest.raises(InputError, match="names one twice"):
        go(data, tmp_path, seeds=(3, 3))


def test_one_setting_means_no_tuning_and_a_model_that_learnt_nothing_is_called_vacuous(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lazy = TINY.model_copy(
        update={
            "memorise": TrainConfig(epochs=1, batch=16),
            "settings": TINY.settings[:1],
            "methods": ("npo",),
            "seeds": (1,),
        }
    )
    monkeypatch.setitem(PRESETS, "lazy", lazy)
    found = go(data, tmp_path / "out", preset="lazy", results=tmp_path)
    assert found["tuning"] == {"npo": {"trials": [], "chosen": {"lr_factor": 1.0, "steps": 2, "retain_factor": 1.0}}}
    assert not found["gate_passed"]
    page = (tmp_path / "lume.md").read_text("utf-8")
    assert "**vacuous**" in page
    assert "No tuning" in page


def test_the_shipped_presets_compare_the_same_six_methods() -> None:
    assert set(METHODS) == {"grad_diff", "npo", "simnpo", "sequential", "dual-npo", "twin-kl", "twin"}
    assert all(PRESETS[name].methods == METHODS for name in ("smoke", "cpu"))
    assert PRESETS["cpu"].seeds == (42, 123, 789)
    assert len(PRESETS["smoke"].settings) == 1

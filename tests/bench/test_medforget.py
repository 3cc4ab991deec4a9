"""The suite of four levels, small: one level, three rows, three steps. Only the form of what it finds is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expunge.audit.reconstruction import Reconstruction
from expunge.bench.concepts.lab import Bench
from expunge.bench.concepts.rows import chosen
from expunge.bench.medforget import columns, suite
from expunge.bench.medforget.page import page
from expunge.bench.medforget.rows import ROWS, level
from expunge.bench.medforget.suite import MedForget, main
from expunge.bench.tune import Setting
from expunge.engine.recipe import Recipe
from expunge.engine.train.train_loop import TrainConfig
from expunge.errors import InputError
from expunge.models.tiny import TinyConfig
from expunge.models.vision.tiny_vision import TinyVision

pytest.importorskip("PIL", reason="Pillow is not installed: pip install 'expunge[vision]'")

SMALL = MedForget(
    domains=(level("patient", "small"),),
    seeds=(42,),
    rows=("simnpo", "twin", "chip"),
    cue_rows=("twin-words",),
    settings=(Setting(lr_factor=1, steps=3),),
    bench=Bench(
        model=TinyConfig(layers=1, width=32, heads=2, vocabulary=800),
        vision=TinyVision(layers=1, width=16, heads=2),
        memorise=TrainConfig(target_accuracy=0.9, epochs=3, batch=64),
        batch=8,
    ),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("medforget")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(suite.PRESETS, "tiny", SMALL)
        found = main(
            preset="tiny", out=folder / "lab", seeds=(), results=folder / "page.md", workers=1, say=lambda line: None
        )
        lines: list[str] = []
        again = main(
            preset="tiny", out=folder / "lab", seeds=(), results=folder / "page.md", workers=1, say=lines.append
        )
    assert again["cells"] == found["cells"]
    assert not lines, "a second run has nothing left to do"
    return found, folder


def test_every_level_and_method_has_the_figures_that_a_smoke_test_asks_for(made: tuple[dict[str, Any], Path]) -> None:
    found, _ = made
    assert set(found["by_level"]) == {"patient"}
    assert set(found["by_level"]["patient"]) == {"original", "retrained", "retrained-2", "simnpo", "twin", "chip"}
    for of in found["by_level"]["patient"].values():
        assert set(of) == {"generation", "classification", "cloze", "leak", "reconstruct_gain", "siblings", "unrelated"}
    assert found["by_level"]["patient"]["retrained"]["leak"] == 0
    assert set(found["by_cue"]["matrices"]["twin-words"]["both"]) == {"both", "image", "text"}


def test_the_page_has_all_parts_and_its_pictures(made: tuple[dict[str, Any], Path]) -> None:
    found, folder = made
    text = (folder / "page.md").read_text("utf-8")
    for part in (
        "The three tasks",
        "The goals of a default",
        "The source's two findings",
        "By which cue",
        "What models say about a picture",
        "Threats to validity",
        "gate is **not passed**",
    ):
        assert part in text
    for name in ("levels.svg", "distance.svg", "context.svg", "gallery.svg"):
        assert (folder / "page" / name).read_text("utf-8").startswith("<?xml")
        assert f"(page/{name})" in text
    assert page(found, "page") == text


def test_rows_that_train_have_as_many_numbers_and_edits_none() -> None:
    for row in ROWS.values():
        recipe = Recipe.load(row.recipe, row.sets)
        assert recipe.resolve().edit or recipe.train.rank == 16


@pytest.mark.parametrize(("wanted", "what"), [(("twn",), 'unknown row "twn"'), (("npo", "npo"), "names one twice")])
def test_unknown_rows_and_doubles_are_refused(wanted: tuple[str, ...], what: str) -> None:
    with pytest.raises(InputError, match=what):
        chosen(ROWS, (), wanted)


def test_a_setting_of_an_edit_is_its_share() -> None:
    recipe = Setting(lr_factor=3, steps=5).on(Recipe.load("chip", ["settings.share=0.3"]))
    assert recipe.settings["share"] == pytest.approx(0.9)
    assert Setting(lr_factor=9, steps=5).on(recipe).settings["share"] == 1


def test_what_the_attack_says_is_read_at_the_deepest_level_that_was_asked() -> None:
    """Fact 1 is asked to the third level, fact 2 to the second: 1 and 0 first; before: 0 and 0."""
    nan = np.nan
    true, wrong = np.array([[0, 0, 1], [0, 0, nan]]), np.array([[nan, 0, 0], [nan, 1, nan]])
    found = Reconstruction(
        ("a", "b"),
        ("s", "t"),
        ("nothing", "institution", "patient"),
        np.array([0.1, 0.1]),
        {"true": true, "wrong branch": wrong},
        {},
        {},
        {},
    )
    assert columns.by_attack(found) == {"top1": 0.5, "top1_level0": 0.0, "gain": 0.5, "lead": 0.0}


def test_the_worst_task_above_the_retrained_model_is_the_leak() -> None:
    own = {"forget_generation": 0.1, "forget_classification": 0.5, "forget_cloze": None, "top1": 0.4, "gain": 0.3}
    never = {"forget_generation": 0.2, "forget_classification": 0.3, "forget_cloze": 0.1, "top1": 0.1, "gain": 0.1}
    found = columns.beside(own, never)
    assert found["leak_excess"] == pytest.approx(0.2)
    assert found["excess_generation"] == pytest.approx(-0.1)
    assert found["excess_cloze"] is None
    assert found["top1_excess"] == pytest.approx(0.3)

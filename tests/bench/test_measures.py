"""Measures by hand: levels, excess, cost, reconstruction, relearning; and a tree with images from end to end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from expunge.audit.reconstruction import Reconstruction
from expunge.bench.measures.base import MEASURES
from expunge.bench.measures.by_level import by_subject
from expunge.bench.measures.reconstruction import attack_columns, by_context, by_fact, control_row, rebuilt
from expunge.bench.measures.relearning import relearning
from expunge.bench.report import publish
from expunge.bench.study import run
from expunge.corpus import Record
from expunge.models.language_model import load, merge_adapter
from helpers.experiments import load_tiny, plugin
from helpers.world import one_person

OPTIONS: dict[str, Any] = {"of": "simnpo"}


def compare(name: str, models: dict[str, Any]) -> dict[str, Any]:
    measure = MEASURES.get(name)
    assert measure.compare is not None
    return measure.compare(models, OPTIONS)


def test_excess_is_signed_and_gaps_are_not() -> None:
    models = {"retrained": {"leak_mean": 0.2, "auc": 0.5, "relearned": None}, "npo": {"leak_mean": 0.1, "auc": 0.4}}
    npo = compare("excess", models)["npo"]
    assert npo["exact_excess"] == pytest.approx(-0.1)
    assert npo["auc_gap"] == pytest.approx(0.1)
    assert (npo["relearn_excess"], npo["int4_excess"]) == (None, None)


def test_cost_is_seconds_over_those_of_one_arm() -> None:
    assert compare("cost", {"simnpo": {"seconds": 4.0}, "chip": {"seconds": 0.0}, "npo": {"seconds": 6.0}}) == {
        "simnpo": {"cost": 1.0},
        "chip": {"cost": 0.0},
        "npo": {"cost": 1.5},
    }
    assert compare("cost", {"npo": {"seconds": 6.0}}) == {"npo": {"cost": None}}


def test_the_worst_task_above_the_retrained_model_is_the_leak() -> None:
    own = {"forget_generation": 0.1, "forget_classification": 0.5, "forget_cloze": None, "top1": 0.4, "gain": 0.3}
    never = {"forget_generation": 0.2, "forget_classification": 0.3, "forget_cloze": 0.1, "top1": 0.1, "gain": 0.1}
    found = compare("tree", {"retrained": never, "npo": own})["npo"]
    assert found["leak_excess"] == pytest.approx(0.2)
    assert found["excess_generation"] == pytest.approx(-0.1)
    assert found["excess_cloze"] is None
    assert compare("reconstruction", {"retrained": never, "npo": own})["npo"] == pytest.approx(
        {"top1_excess": 0.3, "gain_excess": 0.2, "rows_context_excess": None}
    )


def test_an_attack_is_read_at_the_deepest_level_that_was_asked() -> None:
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
    assert attack_columns(found) == {"top1": 0.5, "top1_level0": 0.0, "gain": 0.5, "wrong_gain": 0.5, "lead": 0.0}
    assert by_fact(found, {"a": "fa", "b": "fb"}) == {"fa": [0.0, 1.0, 0.0], "fb": [0.0, 0.0, 1.0]}
    assert by_fact(found, {"a": "f", "b": "f"}) == {"f": [0.0, 0.5, 0.5]}
    assert by_context(found)["true"] == [0.0, 0.0, 1.0]
    assert by_context(found)["wrong"] == [None, 0.5, 0.0]


def of_facts(alone: float, true: float, wrong: float, count: int = 12) -> dict[str, Any]:
    return {"42": {f"f{k}": [alone, true, wrong] for k in range(count)}}


def test_an_attack_works_where_the_original_gains_from_true_context_alone() -> None:
    works = control_row(of_facts(0, 1, 0))
    assert (works["verdict"], works["facts"], works["gain"]["mean"], works["wrong"]["mean"]) == ("works", 12, 1.0, 0.0)
    for row in (of_facts(0, 1, 1), of_facts(0.4, 0.2, 0.4), of_facts(0, 1, 0, count=9)):
        assert control_row(row)["verdict"] == "not tested"
    assert control_row({}) == {"verdict": "not tested", "facts": 0}


def test_what_context_brings_back_is_compared_coarse_with_fine() -> None:
    facts = {
        "retrained": {"institution": of_facts(0, 0.25, 0), "section": of_facts(0, 0.25, 0)},
        "npo": {"institution": of_facts(0, 0.25, 0), "section": of_facts(0, 0.75, 0)},
    }
    row = rebuilt(facts, ["institution", "section"], {"institution", "section"})["npo"]
    assert [row[name]["mean"] for name in ("institution", "section", "fine - coarse")] == [0.0, 0.5, 0.5]
    row = rebuilt(facts, ["institution", "section"], {"section"})["npo"]
    assert (row["institution"], row["fine - coarse"]) == ("not tested", "not tested")
    assert row["section"]["mean"] == 0.5


def test_a_concept_is_the_mean_of_its_records() -> None:
    records = [
        Record("a", "p", "x", subject="s"),
        Record("b", "p", "x", subject="t"),
        Record("c", "p", "x", subject="s"),
    ]
    assert by_subject(np.array([1.0, 0.5, 0.0]), records) == {"s": 0.5, "t": 0.5}


@pytest.mark.trains
def test_a_target_of_a_single_fact_has_no_figure_for_relearning(folders: dict[str, Path]) -> None:
    split = one_person()
    single = [r for r in split.forget if r.fact_keys == split.forget[0].fact_keys]
    lm = merge_adapter(load(folders["llama"]))
    before = {name: p.clone() for name, p in lm.module.named_parameters()}
    for forget, there in ((single, False), (split.forget, True)):
        place: Any = SimpleNamespace(sets=SimpleNamespace(forget=forget, split=split), cell=SimpleNamespace(seed=1))
        found = relearning(place, lm)
        assert ("relearned" in found) == there
        assert {"relearned_benign", "int4"} <= set(found)
    assert all((p == before[name]).all() for name, p in lm.module.named_parameters())  # other measures use it, too


@pytest.mark.trains
def test_what_a_private_run_states_and_what_its_canaries_rule_out() -> None:
    canaries = plugin("canaries")

    def seen(epsilon: float, seed: int) -> dict[str, Any]:
        return {"seed": seed, "domain": "d", "failed": None, "bound": {"epsilon": epsilon}}

    stated = {"eps-1": {"d": {"1": {"pld": 0.99}, "2": {"pld": 0.99}}}}
    assert (
        canaries.broken(stated, {"eps-1": {"a": seen(0.5, 1), "b": seen(0.98, 2)}, "eps-inf": {"a": seen(9, 1)}}) == []
    )
    assert canaries.broken(stated, {"eps-1": {"a": seen(0.5, 1), "b": seen(1.2, 2)}}) == [
        "b: eps-1 states epsilon = 0.990, its canaries show at least 1.200"
    ]


@pytest.mark.matrix
@pytest.mark.trains
def test_a_tree_with_images_from_end_to_end(tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed: pip install pillow")
    request = {
        "world": "radiology",
        "preset": "small",
        "heldout": "by_relation",
        "target": "patient_level",
        "label": "p",
    }
    side = {"key": "by_cue", "title": "Parts", "arms": ["twin", "twin-words"], "requests": [request]}
    changed = {
        "sides": [side],
        "vision": {"layers": 1, "width": 16, "heads": 2},
        "seeds": [42],
        "model": {"layers": 1, "width": 32, "heads": 2, "vocabulary": 800},
        "train": {"target_accuracy": 0.9, "epochs": 3, "batch": 64},
    }
    experiment = load_tiny(
        "medforget",
        tmp_path,
        requests=[request],
        arms=["simnpo", "twin", "chip"],
        grid={"lr": [1], "steps": [3]},
        **changed,
    )
    results = run(experiment, tmp_path / "bench", workers=1)
    assert set(results["by_level"]["p"]) == {"original", "retrained", "retrained-2", "simnpo", "twin", "chip"}
    assert results["by_level"]["p"]["retrained"]["leak"] == 0
    assert set(results["by_cue"]["matrices"]["twin-words"]["both"]) == {"both", "image", "text"}
    assert set(results["curves"]["twin"]["p"]) == {"42"}
    assert results["control"] == {"p": {"verdict": "not tested", "facts": 0}}  # too few other answers in a small world
    assert results["rebuilt"]["twin"] == {"p": "not tested"}
    assert results["by_domain"]["retrained"]["p"]["rephrased_excess"] == 0
    assert len(results["gallery"]) == 3
    page = publish(experiment, tmp_path / "docs", tmp_path / "bench" / "medforget.json")
    for name in ("levels", "distance", "context", "gallery"):
        assert (tmp_path / "docs" / "medforget" / f"{name}.svg").read_text("utf-8").startswith("<?xml")
    text = page.read_text("utf-8")
    assert "**not passed**" in text
    assert "| p | not tested | 0 | – | – |" in text

"""Shipped experiments in a size for tests: what only their own measures and plugins say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from expunge.bench.report import publish
from expunge.bench.study import run
from expunge.errors import InputError
from helpers.experiments import load_tiny
from helpers.lume import write

pytestmark = pytest.mark.trains


def test_levels_are_compared_with_the_base_and_claims_are_judged(tmp_path: Path) -> None:
    settings = {"targets": 3, "per_level": 6, "facts": 2, "foundations": 3}
    request = {"world": "finance", "target": "chapter", "label": "finance", "settings": settings}
    arms = ["full", "L4-swapped"]
    grid = {"lr": [1], "steps": [4]}
    experiment = load_tiny("hierarchy-validation", tmp_path, requests=[request], arms=arms, grid=grid)
    results = run(experiment, tmp_path / "bench", workers=1)
    assert list(results["levels"]) == ["original", "retrained", *arms]
    assert results["worlds"][0]["target"] == "knowledge:compliance"
    assert results["levels"]["original"]["chapter_exact_L4"]["mean"] > 0.9
    assert list(results["effects"]) == ["L4-swapped"]
    (claim,) = results["claims"]  # that on L1-swapped is not judged: it was not run
    assert (claim["key"], claim["row"], claim["level"], claim["sign"]) == ("a", "L4-swapped", "L4", 1)
    assert claim["effects"]["exact"] == results["effects"]["L4-swapped"]["exact"]["L4"]
    page = publish(experiment, tmp_path, tmp_path / "bench" / "hierarchy-validation.json").read_text("utf-8")
    assert "(a) exchanging L4 keeps the target: **" in page
    assert "(b) exchanging L1 harms the fundamentals: not judged" in page
    with pytest.raises(InputError, match='--arms: lacks "full"'):
        run(experiment, tmp_path / "bench", workers=1, arms=["L4-swapped"])


@pytest.mark.matrix
def test_private_runs_state_epsilon_and_canaries_bound_it(tmp_path: Path) -> None:
    pytest.importorskip("dp_accounting", reason="privacy is not installed: pip install dp-accounting opacus")
    settings = {"patients": 40, "holdout_patients": 12}
    request = {"world": "hospital", "preset": "register", "target": "relation=procedure", "settings": settings}
    grid = {"lr": [1, 0.5], "steps": [4]}
    options = {"canaries": {"planted": 10}}
    arms = ["eps-4", "eps-inf"]
    experiment = load_tiny(
        "privacy-frontier", tmp_path, requests=[request], arms=arms, grid=grid, batch=16, options=options, choose=False
    )
    results = run(experiment, tmp_path / "bench", workers=1)
    assert list(results["stated"]) == ["eps-4"]
    assert results["private"]["eps-4"]["pld"]["mean"] == pytest.approx(4, abs=0.05)
    assert set(results["doses"]) == {"1", "0.5"}
    assert results["doses"]["1"]["eps-inf"]["retention"]["mean"] == results["methods"]["eps-inf"]["retention"]
    (seen,) = results["canaries"]["eps-inf"].values()
    assert 0 <= seen["bound"]["epsilon"] <= seen["largest"]
    assert results["planted"] == 10
    assert list(results["cost"]) == ["eps-4"]


def documents(**counts: int) -> dict[str, Any]:
    return {"world": "lume-documents", "label": "LUME documents", "settings": counts}


def test_lume_is_tuned_on_other_documents_of_the_same_models(tmp_path: Path) -> None:
    counts = {"forget": 1, "given": 3, "retain_heldout": 1, "holdout": 2, "validate_forget": 1, "validate_keep": 1}
    changed = {
        "seeds": [1, 2],
        "batch": 4,
        "model": {"layers": 1, "width": 64, "vocabulary": 400, "context": 64},
        "train": {"target_accuracy": 0.98, "epochs": 40, "batch": 16, "precision": "float32"},
    }
    grid = {"lr": [1, 4], "steps": [2]}
    experiment = load_tiny(
        "lume", tmp_path, requests=[documents(**counts, unseen=1)], arms=["sequential", "twin"], grid=grid, **changed
    )
    with pytest.raises(InputError, match="name its folder with --data"):
        run(experiment, tmp_path / "none", workers=1)
    data = write(tmp_path / "data")
    results = run(experiment, tmp_path / "bench", workers=1, data=data)
    assert list(results["rows"]) == list(results["summary"]) == ["original", "retrained", "sequential", "twin"]
    assert all(set(rows) == {"1", "2"} for rows in results["rows"].values())
    assert results["summary"]["original"]["kept"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert results["summary"]["retrained"]["distance"]["mean"] == 0
    assert results["summary"]["original"]["loss_gap"]["mean"] < -1
    assert results["gate_passed"]
    wanted = [t.model_dump() for t in experiment.tune.trials()]
    for entry in results["tuning"].values():
        assert [t["setting"] for t in entry["trials"]] == wanted
        assert entry["chosen"] in wanted
    runs = sorted(len(list(p.glob("*.json"))) for p in tmp_path.glob("bench/cells/*/runs"))
    assert len(list(tmp_path.glob("bench/worlds/*/original"))) == 2  # trials start from the audited original
    assert runs == [4, 4, 8]  # outcome and scores of two arms at each seed, and of four trials at the first
    lines: list[str] = []
    assert run(experiment, tmp_path / "bench", workers=1, data=data, say=lines.append) == results
    assert lines == [line for line in lines if "chosen" in line]


@pytest.mark.matrix
def test_a_side_takes_the_trials_of_the_main_comparison(tmp_path: Path) -> None:
    settings = {"per_level": 3, "targets": 3, "facts": 2}
    main, other = (
        {"world": world, "preset": "tiny", "settings": settings, "label": world}
        for world in ("finance", "mental-health")
    )
    side = {"title": "Parts", "arms": ["npo", "twin-one-way"], "requests": [other]}
    arms = ["npo", "simnpo"]
    grid = {"lr": [1, 2], "steps": [2]}
    experiment = load_tiny("which-objective", tmp_path, requests=[main], arms=arms, grid=grid, sides=[side])
    results = run(experiment, tmp_path / "bench", workers=1)
    (found,) = results["sides"]
    assert found["title"] == "Parts"
    assert list(found["by_domain"]) == ["original", "retrained", "retrained-2", "npo", "twin-one-way"]
    assert {"relearned", "retention_siblings", "exact_excess", "cost"} <= set(results["methods"]["npo"])
    assert results["methods"]["simnpo"]["cost"] == 1
    assert results["against_candidate"] == {}  # its candidate, twin, was tuned for the side only
    assert list(results["tuning"]["finance"]) == arms
    alone = run(experiment, tmp_path / "bench", workers=1, arms=["npo"])
    assert alone["sides"] == []
    assert alone["options"] == ["--arms npo"]

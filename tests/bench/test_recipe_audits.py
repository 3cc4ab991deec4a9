"""Shipped recipes under the audit: what a table shows, and the smallest form of the experiment."""

from __future__ import annotations

from pathlib import Path

import pytest

from expunge.bench.report import publish
from expunge.bench.study import run
from helpers.experiments import load_tiny, plugin

audits = plugin("recipe_audits")


def test_a_failure_is_bold_and_what_was_not_judged_is_a_dash() -> None:
    assert audits.shown([["passed", 0.0512], ["failed", 0.2], None, ["inconclusive", None]]) == "0.05, **0.20**, –, –"


def test_an_arm_counts_failures_beside_the_least_retention() -> None:
    first = {
        "verdict": "passed",
        "seconds": 10.0,
        "results": {"lens": ["failed", 0.2], "retention.x": ["passed", 0.99]},
    }
    second = {
        "verdict": "failed",
        "seconds": 20.0,
        "results": {"lens": ["passed", 0.0], "retention.x": ["failed", 0.9]},
    }
    assert audits.row([first, second]) == {
        "verdicts": "passed, failed",
        "failed": 0.5,
        "least_kept": 0.9,
        "seconds": 15.0,
    }


@pytest.mark.trains
def test_a_recipe_is_audited_as_it_is(tmp_path: Path) -> None:
    experiment = load_tiny(
        "recipe-audits",
        tmp_path,
        requests=[{"world": "demo-hospital", "label": "demo", "preset": "demo", "settings": {"size": "tiny"}}],
        arms=["simnpo"],
        grid={"lr": [1], "steps": [4]},
        train={"target_accuracy": 0.5, "epochs": 20},
        options={"recipe_audits": {"preset": "quick"}},
        choose=False,
    )
    results = run(experiment, tmp_path / "bench", workers=1)
    assert results["arms"]["simnpo"]["least_kept"] > 0
    assert "leakage.self" in results["attacks"]
    page = publish(experiment, tmp_path, tmp_path / "bench" / "recipe-audits.json").read_text("utf-8")
    assert "What each result finds" in page

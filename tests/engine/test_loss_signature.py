"""When a forget loss counts as diverged."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from expunge.engine.loss_signature import loss_signature, run_warnings
from expunge.engine.unlearn import unlearn
from helpers.runs import recipe
from helpers.world import one_person


@pytest.mark.parametrize(
    ("losses", "diverged"),
    [
        ([2.0, 19.9], False),
        ([2.0, 20.1], True),
        ([-5.7, -56.0], False),
        ([-5.7, -5499.0, -1.0], True),
        ([0.01, 5.0, 9.9], False),  # a memorized answer that is forgotten
        ([0.01, 5.0, 10.1], True),
        ([None, math.nan, 2.0, 20.1], True),
        ([13.9, 1e-9], False),
        ([], False),
        ([None, math.nan], False),
    ],
)
def test_ten_times_its_start_or_ten_nats(losses: list[float | None], diverged: bool) -> None:
    assert bool(loss_signature(losses)) is diverged


def test_the_sentence_names_both_losses_and_the_step() -> None:
    said = loss_signature([-5.7, -8.0, -5499.0])
    assert "went from -5.7 to -5499 (step 2), beyond 10 times its start" in said


def test_a_folder_without_events_has_no_warning(tmp_path: Path) -> None:
    assert run_warnings(tmp_path) == {}


@pytest.mark.trains
def test_a_run_that_diverges_says_so_in_run_json(folders: dict[str, Path], tmp_path: Path) -> None:
    wild = recipe("ga", steps=6, optimizer={"lr": 1.0, "clip_norm": None}, train={"which": "full"})
    run = unlearn(folders["llama"], one_person(), wild, tmp_path / "run")
    assert "lower optimizer.lr" in json.loads((run / "run.json").read_text())["warnings"][0]

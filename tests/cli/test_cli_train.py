"""`expunge train`: progress in words, teaching a given model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from expunge.cli.train import TrainTicks, expected_epochs
from expunge.engine.train.train_loop import TrainProgress
from helpers.cli import Cli


@pytest.mark.parametrize(
    ("losses", "done", "epochs", "expected"),
    [
        ((), 0, 40, 40),
        ((3.0,), 1, 40, 40),
        ((3.0, 3.0), 2, 40, 40),  # does not fall
        ((0.48, 0.24), 2, 40, 5),  # halves: .24, .12, .06, .03
        ((0.48, 0.24), 2, 4, 4),
        ((0.04, 0.02), 7, 40, 8),  # learnt, but one more epoch runs
    ],
)
def test_the_time_left_counts_the_epochs_that_a_falling_loss_takes(
    losses: tuple[float, ...], done: int, epochs: int, expected: float
) -> None:
    assert expected_epochs(losses, done, epochs) == pytest.approx(expected)


def test_progress_shows_loss_from_the_first_step_and_ends_at_one() -> None:
    ticks: list[tuple[float, str]] = []
    show = TrainTicks(lambda done, note: ticks.append((done, note)))
    for step, (epoch, loss) in enumerate([(0, 2.0), (0, 1.6), (1, 1.6), (1, 0.6), (2, 0.8)], 1):
        show(TrainProgress(epoch, 2, 0.0, loss, 1.0, min(step, 4), 4))
    assert ticks[0] == (0.25, "0% exact, loss 2.000, epoch 1 of at most 2")
    assert [done for done, _ in ticks] == [0.25, 0.5, 0.75, 0.999, 1.0]


@pytest.mark.trains
def test_teaching_a_given_model_tells_what_it_did(cli: Cli, world: Path, model: Path, tmp_path: Path) -> None:
    words = (
        "train",
        "--data",
        world,
        "--model",
        model,
        "--lora",
        4,
        "--lr",
        "0.01",
        "--epochs",
        1,
        "--train-layers",
        1,
    )
    result = cli(*words, "--out", tmp_path / "m")
    assert result.code == 3
    assert "general ability: perplexity on neutral text" in result.out
    assert "this is less than the target of 99%; give more --epochs" in result.out
    written = json.loads((tmp_path / "m" / "train.json").read_text())
    settings = written["about"]["settings"]
    assert (settings["lora"], settings["layers"], settings["optimizer"]["lr"]) == (4, 1, 0.01)
    assert written["reached"] is False
    assert set(written["general_ability"]) == {"before", "after", "warnings"}
    again = cli(*words, "--out", tmp_path / "m", "--json")
    assert again.json["general_ability"] == written["general_ability"]
    all_weights = cli(*words[:5], "--lora", "none", "--epochs", 1, "--no-general-ability", "--out", tmp_path / "n")
    assert all_weights.code == 3
    assert "general ability" not in all_weights.out
    settings = json.loads((tmp_path / "n" / "train.json").read_text())["about"]["settings"]
    assert (settings["lora"], settings["optimizer"]["lr"]) == (None, 1e-4)

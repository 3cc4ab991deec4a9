"""The experiment on real radiographs: which patients it draws, and what it says without the images."""

from __future__ import annotations

from pathlib import Path

import pytest

from expunge.bench.experiment import Experiment
from expunge.bench.study import run
from expunge.corpus import Record
from expunge.errors import InputError
from helpers.experiments import BENCHMARKS, plugin


def patients(count: int, rows: int = 12) -> dict[str, list[Record]]:
    """Every second patient has two studies."""
    return {
        f"patient:{p}": [
            Record(f"{p}-{k}", "q", "a", path=(f"patient:{p}", f"study:{p}-{k % (1 + p % 2)}"), subject=f"patient:{p}")
            for k in range(rows)
        ]
        for p in range(count)
    }


def test_patients_to_forget_and_never_trained_have_several_studies() -> None:
    drawn = plugin("hannover").draw_patients(patients(20), 1, {"target": 2, "holdout": 3, "retain": 5})
    assert [len(drawn[name]) for name in ("target", "holdout", "retain")] == [2, 3, 5]
    assert all(int(p.removeprefix("patient:")) % 2 for p in (*drawn["target"], *drawn["holdout"]))
    assert len({p for names in drawn.values() for p in names}) == 10
    assert drawn == plugin("hannover").draw_patients(patients(20), 1, {"target": 2, "holdout": 3, "retain": 5})


def test_nobody_with_hardly_a_question_is_drawn() -> None:
    with pytest.raises(InputError, match="holds 0 patients with several studies, 9 are needed"):
        plugin("hannover").draw_patients(patients(20, rows=9), 1, {})


def test_without_the_images_the_command_says_what_to_name(tmp_path: Path) -> None:
    experiment = Experiment.load(BENCHMARKS / "experiments" / "medforget-hannover.yaml", "smoke")
    with pytest.raises(InputError, match="name its folder with --data"):
        run(experiment, tmp_path, workers=1)

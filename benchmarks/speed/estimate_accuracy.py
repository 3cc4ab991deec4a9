"""Compare the estimates of `expunge plan` with the runs: seconds and memory of small runs.

Each estimate and each run has a process of its own: a peak of memory never falls, and libraries are loaded once, so
in one process the second would inherit what the first left behind.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed.memory import resident
from benchmarks.speed.program import Say, parser, run, say
from benchmarks.speed.subprocesses import isolated
from expunge.cli.result import CommandResult, ResultTable
from expunge.corpus import load_corpus
from expunge.engine.recipe import Recipe
from expunge.scope import Scope
from expunge.scope.split import Split

SUBJECT = "patient:P-0001-001"
LOWEST, HIGHEST = 0.5, 2.0
KEYS = ("seconds", "steps", "memory")


@dataclass(frozen=True)
class EstimateCase:
    """A shipped recipe with overrides."""

    name: str
    recipe: str
    overrides: tuple[str, ...] = ()


CASES = (
    EstimateCase("npo, last 2 blocks", "npo", ("train.layers=2",)),
    EstimateCase("twin, all blocks", "twin"),
    EstimateCase("dual, all blocks", "dual", ("steps=40",)),
    EstimateCase("sequential", "sequential"),
    EstimateCase("npo, all weights", "npo", ("train.which=full", "optimizer.lr=0.0001", "steps=60")),
)


def measure(
    cases: Sequence[EstimateCase] = CASES, *, layers: int = 8, width: int = 128, say: Say = say
) -> dict[str, Any]:
    """Estimated value, real value and their ratio for all seconds, the seconds of the steps, and bytes of memory.

    Returns:
        `cases`, the smallest and the largest ratio of seconds and memory (`least`, `most`), and whether both lie
        `within` 0.5 to 2.

    Raises:
        RunFailed: the system is not Linux, or a process dies.
    """
    results: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="expunge-estimates-") as name, isolated() as call:
        folder = Path(name)
        write_inputs(folder, layers, width)
        for case in cases:
            arguments = {"folder": folder, "name": case.recipe, "overrides": case.overrides}
            estimate, real = call(estimate_run, arguments), call(time_run, arguments)
            results[case.name] = {
                key: {"estimated": estimate[key], "real": real[key], "ratio": estimate[key] / real[key]} for key in KEYS
            }
            text = ", ".join(f"{key} {value['ratio']:.2f}" for key, value in results[case.name].items())
            say(
                f"{case.name}: estimate / real: {text} (estimated in {estimate['took']:.1f} s, slowed "
                f"{estimate['slowdown']:.1f} times by other processes)"
            )
    ratios = [case[key]["ratio"] for case in results.values() for key in ("seconds", "memory")]
    least, most = min(ratios), max(ratios)
    return {"cases": results, "least": least, "most": most, "within": least >= LOWEST and most <= HIGHEST}


def table(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> ResultTable:
    """One row per case."""
    units = {"seconds": 1, "steps": 1, "memory": 2**20}
    columns = ("case", "s", "real", "s of steps", "real", "MiB", "real", "ratio of s", "of steps", "of MiB")
    rows = [
        [
            name,
            *(case[key][which] / unit for key, unit in units.items() for which in ("estimated", "real")),
            *(case[key]["ratio"] for key in KEYS),
        ]
        for name, case in results.items()
    ]
    return ResultTable(columns, rows)


def write_inputs(folder: Path, layers: int, width: int) -> None:
    """The tiny hospital and a model of random weights."""
    from expunge.models.language_model import LanguageModel
    from expunge.models.tiny import TinyConfig, build, texts_of, train_tokenizer
    from expunge.synthetic.hospital.hospital import Hospital

    corpus = Hospital.preset("tiny", seed=1).corpus()
    corpus.save(folder / "records.jsonl")
    tokenizer = train_tokenizer(texts_of(corpus.trained))
    module = build(TinyConfig(layers=layers, width=width), tokenizer, 1)
    (folder / "model").mkdir()
    LanguageModel.from_parts(module, tokenizer, "bench").save(folder / "model")


def _inputs(folder: Path, name: str, overrides: tuple[str, ...]) -> tuple[Recipe, Split]:
    recipe = Recipe.load(name, overrides)
    return recipe, Scope.parse(SUBJECT).resolve(load_corpus(folder / "records.jsonl"), seed=recipe.seed)


def estimate_run(*, folder: Path, name: str, overrides: tuple[str, ...]) -> dict[str, float]:
    """In a process of its own: what `expunge plan` says, and the seconds that it took to say it."""
    from expunge.engine.estimate.estimate_run import estimate_run as estimate

    recipe, split = _inputs(folder, name, overrides)
    began = time.perf_counter()
    (row, *_), _ = estimate(folder / "model", split, recipe)
    took = time.perf_counter() - began
    memory = row.memory.peak
    return {
        "seconds": row.seconds,
        "steps": row.train_seconds,
        "memory": memory,
        "slowdown": row.slowdown,
        "took": took,
    }


def time_run(*, folder: Path, name: str, overrides: tuple[str, ...]) -> dict[str, float]:
    """In a process of its own: seconds from loading to saving, of the steps alone, and the peak of memory."""
    from expunge._io import read_json
    from expunge.engine.unlearn import unlearn

    recipe, split = _inputs(folder, name, overrides)
    steps: list[float] = []
    with tempfile.TemporaryDirectory(prefix="expunge-estimates-") as out:
        run = unlearn(
            folder / "model", split, recipe, Path(out) / "run", on_step=lambda event, _: steps.append(event.seconds)
        )
        return {"seconds": read_json(run / "run.json")["seconds"], "steps": sum(steps), "memory": resident()[0]}


def main(argv: Sequence[str] | None = None) -> int:
    def answer(args: argparse.Namespace) -> CommandResult:
        result = measure()
        return CommandResult(result, (table(result["cases"]),))

    return run(parser(__doc__), answer, argv)


if __name__ == "__main__":
    sys.exit(main())

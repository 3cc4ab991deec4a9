"""Compare the estimates of `expunge plan` with the runs: seconds and memory of small runs.

Each estimate and each run has a process of its own: a peak of memory never falls, and libraries are loaded once, so
in one process the second would inherit what the first left behind.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.speed.memory import resident
from benchmarks.speed.program import Parts, Results, Say, program, say
from benchmarks.speed.subprocesses import isolated
from expunge.cli.result import ResultTable
from expunge.corpus import load_corpus
from expunge.engine.recipe import Recipe
from expunge.scope import Scope
from expunge.scope.split import Split

SUBJECT = "patient:P-0001-001"
LOWEST, HIGHEST = 0.5, 2.0
KEYS = {"seconds": 1, "steps": 1, "memory": 2**20}  # units of the table
COLUMNS = ("case", "s", "real", "s of steps", "real", "MiB", "real", "ratio of s", "of steps", "of MiB")


CASES = {  # shipped recipes with overrides
    "npo, last 2 blocks": ("npo", "train.layers=2"),
    "twin, all blocks": ("twin",),
    "dual, all blocks": ("dual", "steps=40"),
    "sequential": ("sequential",),
    "npo, all weights": ("npo", "train.which=full", "optimizer.lr=0.0001", "steps=60"),
}


def measure(cases: Mapping[str, Sequence[str]] = CASES, layers: int = 8, width: int = 128, say: Say = say) -> Results:
    """Estimated value, real value and their ratio for all seconds, the seconds of the steps, and bytes of memory.

    Returns:
        `cases`, the smallest and the largest ratio of seconds and memory (`least`, `most`), and whether both lie
        `within` 0.5 to 2.
    """
    results: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="expunge-estimates-") as folder, isolated() as call:
        write_inputs(Path(folder), layers, width)
        for case, (recipe, *overrides) in cases.items():
            arguments = {"folder": Path(folder), "recipe": Recipe.load(recipe, overrides)}
            estimate, real = call(estimate_run, arguments), call(time_run, arguments)
            results[case] = {
                key: {"estimated": estimate[key], "real": real[key], "ratio": estimate[key] / real[key]} for key in KEYS
            }
            text = ", ".join(f"{key} {value['ratio']:.2f}" for key, value in results[case].items())
            about = f"estimated in {estimate['took']:.1f} s, slowed {estimate['slowdown']:.1f} times by other processes"
            say(f"{case}: estimate / real: {text} ({about})")
    ratios = [case[key]["ratio"] for case in results.values() for key in ("seconds", "memory")]
    least, most = min(ratios), max(ratios)
    return {"cases": results, "least": least, "most": most, "within": least >= LOWEST and most <= HIGHEST}


def parts(result: Results) -> Parts:
    """The result for a terminal."""
    rows = [
        [
            name,
            *(case[key][which] / unit for key, unit in KEYS.items() for which in ("estimated", "real")),
            *(case[key]["ratio"] for key in KEYS),
        ]
        for name, case in result["cases"].items()
    ]
    return (ResultTable(COLUMNS, rows),)


def write_inputs(folder: Path, layers: int, width: int) -> None:
    """The tiny hospital and a model of random weights."""
    from benchmarks.speed.synthetic_inputs import random_model
    from expunge.models.tiny import TinyConfig, texts_of, train_tokenizer
    from expunge.synthetic.hospital.hospital import Hospital

    corpus = Hospital.preset("tiny", seed=1).corpus()
    corpus.save(folder / "records.jsonl")
    tokenizer = train_tokenizer(texts_of(corpus.trained))
    (folder / "model").mkdir()
    random_model(TinyConfig(layers=layers, width=width), tokenizer).save(folder / "model")


def _split(folder: Path, recipe: Recipe) -> Split:
    return Scope.parse(SUBJECT).resolve(load_corpus(folder / "records.jsonl"), seed=recipe.seed)


def estimate_run(*, folder: Path, recipe: Recipe) -> dict[str, float]:
    """In a process of its own: what `expunge plan` says, and the seconds that it took to say it."""
    from expunge.engine.estimate.estimate_run import estimate_run as estimate

    split = _split(folder, recipe)
    began = time.perf_counter()
    (row, *_), _ = estimate(folder / "model", split, recipe)
    took = time.perf_counter() - began
    estimated = {"seconds": row.seconds, "steps": row.train_seconds, "memory": row.memory.peak}
    return estimated | {"slowdown": row.slowdown, "took": took}


def time_run(*, folder: Path, recipe: Recipe) -> dict[str, float]:
    """In a process of its own: seconds from loading to saving, of the steps alone, and the peak of memory."""
    from expunge._io import read_json
    from expunge.engine.unlearn import unlearn

    split = _split(folder, recipe)
    steps: list[float] = []
    with tempfile.TemporaryDirectory(prefix="expunge-estimates-") as out:
        run = unlearn(
            folder / "model", split, recipe, Path(out) / "run", on_step=lambda event, _: steps.append(event.seconds)
        )
        return {"seconds": read_json(run / "run.json")["seconds"], "steps": sum(steps), "memory": resident()[0]}


main = program(__doc__, measure, parts)

if __name__ == "__main__":
    raise SystemExit(main(None))

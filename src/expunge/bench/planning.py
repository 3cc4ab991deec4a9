"""What `expunge plan` says against what then happens: estimates of small runs, and the runs.

Each estimate and each run has a process of its own. A peak never falls and libraries are loaded once, so in one
process the second would take what the first left behind.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.bench.memory import resident
from expunge.bench.table import plain
from expunge.corpus import Corpus
from expunge.engine.recipe import Recipe
from expunge.errors import RunFailed
from expunge.scope import Scope

SUBJECT = "patient:P-0001-001"
LEAST, MOST = 0.5, 2.0
KEYS = ("seconds", "steps", "memory")


@dataclass(frozen=True)
class Case:
    """A shipped recipe with changes. llama: 8 blocks of width 128."""

    name: str
    recipe: str
    sets: tuple[str, ...] = ()


CASES = (
    Case("npo, last 2 blocks", "npo", ("train.layers=2",)),
    Case("twin, all blocks", "twin", ()),
    Case("dual, all blocks", "dual", ("steps=40",)),
    Case("sequential", "sequential", ()),
    Case("npo, all weights", "npo", ("train.which=full", "optimizer.lr=0.0001", "steps=60")),
)


def main(
    say: Callable[[str], None] = print, cases: tuple[Case, ...] = CASES, layers: int = 8, width: int = 128
) -> dict[str, Any]:
    """Estimated, real and their ratio for the seconds (all, and of the steps) and bytes.

    `within` says whether every ratio of all seconds and of memory lies in [0.5, 2]. `RunFailed` off Linux.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="expunge-planning-") as name:
        folder = Path(name)
        prepare(folder, layers, width)
        for case in cases:
            words = [str(folder), case.recipe, *case.sets]
            said, real = _child("plan", words), _child("run", words)
            found[case.name] = {
                key: {"estimated": said[key], "real": real[key], "ratio": said[key] / real[key]} for key in KEYS
            }
            ratios = ", ".join(f"{key} {v['ratio']:.2f}" for key, v in found[case.name].items())
            say(
                f"{case.name}: estimates are {ratios} of what happened (planned in {said['took']:.1f} s, "
                f"slowed {said['slowdown']:.1f} times by others)"
            )
    all_ratios = [row[key]["ratio"] for row in found.values() for key in ("seconds", "memory")]
    return {
        "cases": found,
        "least": min(all_ratios),
        "most": max(all_ratios),
        "within": min(all_ratios) >= LEAST and max(all_ratios) <= MOST,
        "table": table(found),
    }


def table(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """The result as text, one line per case."""
    rows = [
        [
            name,
            *(
                f"{row[key][which] / unit:.{places}f}"
                for key, unit, places in (("seconds", 1, 1), ("steps", 1, 1), ("memory", 2**20, 0))
                for which in ("estimated", "real")
            ),
            *(f"{row[key]['ratio']:.2f}" for key in KEYS),
        ]
        for name, row in found.items()
    ]
    heads = ("case", "s", "real", "s of steps", "real", "MiB", "real", "ratio of s", "of steps", "of MiB")
    return plain(heads, rows)


def prepare(folder: Path, layers: int, width: int) -> None:
    """The tiny hospital and a model of random weights."""
    from expunge.models.language_model import from_parts
    from expunge.models.tiny import TinyConfig, build, texts_of, train_tokenizer
    from expunge.synthetic.hospital.hospital import Hospital

    corpus = Hospital.preset("tiny", seed=1).corpus()
    corpus.save(folder / "records.jsonl")
    tokenizer = train_tokenizer(texts_of(corpus.trained))
    module = build(TinyConfig(layers=layers, width=width), tokenizer, 1)
    (folder / "model").mkdir()
    from_parts(module, tokenizer, "bench").save(folder / "model")


def _child(what: str, words: list[str]) -> dict[str, float]:
    call = [sys.executable, "-m", __name__, what, *words]
    done = subprocess.run(call, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise RunFailed("bench planning", f"the measured process ended with {done.returncode}", "see its error above")
    said: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return said


def measure(what: str, folder: Path, name: str, sets: list[str]) -> dict[str, float]:
    """The child: seconds from loading to saving, of the steps alone, and the most memory."""
    recipe = Recipe.load(name, sets)
    split = Scope.parse(SUBJECT).resolve(Corpus.load(folder / "records.jsonl"), seed=recipe.seed)
    if what == "plan":
        from expunge.engine.estimate.estimate_run import estimate_run

        began = time.perf_counter()
        (row, *_), _ = estimate_run(folder / "model", split, recipe)
        return {
            "seconds": row.seconds,
            "steps": row.train_seconds,
            "memory": row.memory.peak,
            "slowdown": row.slowdown,
            "took": time.perf_counter() - began,
        }
    from expunge._io import read_json
    from expunge.engine.unlearn import unlearn

    seconds: list[float] = []
    with tempfile.TemporaryDirectory(prefix="expunge-planning-") as out:
        run = unlearn(
            folder / "model", split, recipe, Path(out) / "run", on_step=lambda event, _: seconds.append(event.seconds)
        )
        return {"seconds": read_json(run / "run.json")["seconds"], "steps": sum(seconds), "memory": resident()[0]}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4:])))

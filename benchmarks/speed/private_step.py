"""Time a differentially private step against our plain step on the same rows.

Every row is drawn (rate 1), every record is a privacy unit, and clipping and noise are too weak to have an effect:
both steps must then find the same gradient, which is checked, and the ratio is the price of per-unit gradients.
The private step computes forget and retain gradients separately even where the rule would not. Runs alternate in one
process on one thread; processor seconds; what a run does before its first step is not counted.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from benchmarks.speed.program import NamedCase, Say, parser, positive, run, say, select_cases, spread
from benchmarks.speed.step import model_config
from benchmarks.speed.synthetic_rows import Lengths, synthetic_records, word_tokenizer
from expunge.cli.result import CommandResult, ResultTable
from expunge.engine.event import Event
from expunge.engine.loop_builder import build_loop
from expunge.engine.optimizer import OptimizerConfig
from expunge.engine.recipe import Recipe
from expunge.engine.recipe_config import BatchSize
from expunge.errors import RunFailed
from expunge.models.adapters import TrainableConfig, prepare
from expunge.models.language_model import LanguageModel
from expunge.models.threads import set_threads
from expunge.models.tiny import TinyConfig, build
from expunge.privacy.config import PrivacyConfig

COLUMNS = ("case", "min", "median", "max", "private, s", "plain, s")
NOTE = "how many times as long the private step takes (N/k: N blocks, adapters on the last k); each record is a unit"
WITHOUT_EFFECT = PrivacyConfig(noise=1e-15, clip=1e6, unit="record", forget_rate=1.0, retain_rate=1.0, seed=0)
STEPS = 4  # of a run; the first one warms up
TOLERANCE = 1e-3  # relative difference of the two gradients' norms


@dataclass(frozen=True)
class PrivateStepCase(NamedCase):
    """A method with LoRA (r = 8) on the last `trained_blocks` blocks; as many retain rows as forget rows."""

    group: str  # the method
    model: TinyConfig
    trained_blocks: int
    rows: Lengths = ((24, 8),) * 16


CASES = tuple(PrivateStepCase("npo", model_config(n), blocks) for n, blocks in ((8, 4), (8, 8), (28, 4)))


def time_steps(case: PrivateStepCase, base: LanguageModel, privacy: PrivacyConfig | None) -> tuple[float, list[float]]:
    """Median seconds of a step of a short run, and the gradient norm of every step."""
    rows = len(case.rows)
    recipe = Recipe(
        method=case.group,
        steps=STEPS,
        batch=BatchSize(forget=rows, retain=rows),
        train=TrainableConfig(layers=case.trained_blocks),
        privacy=privacy,
        optimizer=OptimizerConfig(lr=1e-4, clip_norm=None, schedule="constant"),
    )
    lm = base.with_module(prepare(copy.deepcopy(base.module), recipe.train, 1))
    forget, retain = (synthetic_records(case.rows, case.model.vocabulary, side) for side in ("forget", "retain"))
    norms: list[float] = []
    times: list[float] = []

    def after_step(event: Event) -> None:
        norms.append(event.norm)
        times.append(time.process_time())

    build_loop(lm, recipe.resolve(), forget, retain).run(after_step)
    return statistics.median(b - a for a, b in pairwise(times)), norms


def run_case(case: PrivateStepCase, pairs: int, say: Say) -> dict[str, Any]:
    """`ratio` of private to plain, `seconds` of both, and `difference` of the gradient norms."""
    tokenizer = word_tokenizer(case.model.vocabulary)
    base = LanguageModel.from_parts(build(case.model, tokenizer, 1), tokenizer, "bench")
    private, plain, difference = [], [], 0.0
    for pair in range(pairs + 1):  # the first pair warms up
        private_seconds, private_norms = time_steps(case, base, WITHOUT_EFFECT)
        plain_seconds, plain_norms = time_steps(case, base, None)
        differences = (abs(a - b) / b for a, b in zip(private_norms, plain_norms, strict=True))
        difference = max(difference, *differences)
        if pair:
            private.append(private_seconds)
            plain.append(plain_seconds)
            ratio = private_seconds / plain_seconds
            say(f"{case.name}, pair {pair}: the private step takes {ratio:.2f} times as long")
    if not difference < TOLERANCE:
        what = f"the gradients of the two steps differ by a share of {difference:.2g}"
        raise RunFailed(case.name, what, "their times cannot be compared")
    return {
        "ratio": spread([a / b for a, b in zip(private, plain, strict=True)]),
        "difference": difference,
        "seconds": {"private": statistics.median(private), "plain": statistics.median(plain)},
        "pairs": pairs,
    }


def measure(
    *, pairs: int = 5, names: str = "", cases: Sequence[PrivateStepCase] = CASES, say: Say = say
) -> dict[str, Any]:
    """method → N/k → what `run_case` returns; `names`: cases separated by commas, empty means all.

    Raises:
        RunFailed: the two steps do not find the same gradient.
    """
    selected = select_cases(names, [case.name for case in cases])
    set_threads(1)
    results: dict[str, Any] = {}
    for case in cases:
        if case.name in selected:
            results.setdefault(case.group, {})[case.size] = run_case(case, pairs, say)
    return results


def table(results: dict[str, Any]) -> ResultTable:
    """One row per case."""
    return ResultTable(
        COLUMNS,
        [
            [f"{method} {size}", *case["ratio"].values(), *case["seconds"].values()]
            for method, sizes in results.items()
            for size, case in sizes.items()
        ],
    )


def main(argv: Sequence[str] | None = None) -> int:
    options = parser(__doc__)
    options.add_argument("--pairs", type=positive, default=5, help="timed pairs of each case (default: 5)")
    options.add_argument("--cases", default="", help="for example npo:8/4,npo:28/4; all if left out")

    def answer(args: argparse.Namespace) -> CommandResult:
        results = measure(pairs=args.pairs, names=args.cases)
        return CommandResult(results, (table(results), NOTE))

    return run(options, answer, argv)


if __name__ == "__main__":
    sys.exit(main())

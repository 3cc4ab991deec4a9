"""`expunge bench private-step`: a differentially private step against our plain step on the same rows.

Everybody is drawn (rate 1), every record is a unit, and clip and noise are such that neither is felt: so both steps
must find the same gradient, which is checked, and what is timed is the price of taking it apart by unit. Runs
alternate in one process on one thread; seconds are the processor's. What a run does before its first step is not
counted. Surprising: the private step takes the two gradients apart even where the rule would not.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from expunge.bench.case import Named
from expunge.bench.step import chosen, model
from expunge.bench.step_ceiling import spread
from expunge.bench.step_rows import Lengths, made, word_tokenizer
from expunge.engine.loop import Event, Loop
from expunge.engine.optimizer import OptimizerConfig
from expunge.engine.recipe import BatchSize, Recipe
from expunge.errors import RunFailed
from expunge.models.adapters import TrainableConfig, prepare
from expunge.models.language_model import LanguageModel
from expunge.models.threads import set_threads
from expunge.models.tiny import TinyConfig, build
from expunge.privacy.config import PrivacyConfig

HEADS = ("case", "least", "median", "most", "private (s)", "plain (s)")
UNFELT = PrivacyConfig(noise=1e-15, clip=1e6, unit="record", forget_rate=1.0, retain_rate=1.0, seed=0)
STEPS = 4  # of a run; the first one warms up
AGREE = 1e-3  # relative difference of the two gradients' norms


@dataclass(frozen=True)
class Case(Named):
    """`method` with LoRA (r = 8) on the last `top` blocks of `model`; `rows` forget rows and as many retain rows."""

    group: str
    method: str
    model: TinyConfig
    top: int
    rows: Lengths = ((24, 8),) * 16


CASES = (Case("npo", "npo", model(8), 4), Case("npo", "npo", model(8), 8), Case("npo", "npo", model(28), 4))


class Pairs:
    """Short runs of both kinds in alternation."""

    def __init__(self, case: Case) -> None:
        self.case = case
        tokenizer = word_tokenizer(case.model.vocabulary)
        self.base: LanguageModel = LanguageModel.from_parts(build(case.model, tokenizer, 1), tokenizer, "bench")
        self.forget, self.retain = (made(case.rows, case.model.vocabulary, side) for side in ("forget", "retain"))

    def seconds(self, privacy: PrivacyConfig | None) -> tuple[float, list[float]]:
        """Median seconds of a step, and the norm of every step's gradient."""
        count = len(self.case.rows)
        recipe = Recipe(
            method=self.case.method,
            steps=STEPS,
            batch=BatchSize(forget=count, retain=count),
            train=TrainableConfig(layers=self.case.top),
            privacy=privacy,
            optimizer=OptimizerConfig(lr=1e-4, clip_norm=None, schedule="constant"),
        )
        lm = self.base.with_module(prepare(copy.deepcopy(self.base.module), recipe.train, 1))
        loop = Loop(lm, recipe, self.forget, self.retain)
        norms: list[float] = []
        times = [time.process_time()]

        def after(event: Event) -> None:
            norms.append(event.norm)
            times.append(time.process_time())

        loop.run(after)
        return statistics.median(b - a for a, b in pairwise(times[1:])), norms

    def run(self, pairs: int, say: Callable[[str], None]) -> dict[str, Any]:
        """`ratio` of private to plain (min, median, max), seconds of both, and how far the gradients' norms differ."""
        private, plain, off = [], [], 0.0
        for number in range(pairs + 1):  # the first pair warms up
            ours, noised = self.seconds(UNFELT)
            other, norms = self.seconds(None)
            off = max(off, *(abs(a - b) / b for a, b in zip(noised, norms, strict=True)))
            if number:
                private.append(ours)
                plain.append(other)
                say(f"{self.case.name}, pair {number}: the private step takes {ours / other:.2f} times as long")
        if not off < AGREE:
            raise RunFailed(
                self.case.name,
                f"the two steps' gradients differ by a share of {off:.2g}",
                "their times cannot be compared",
            )
        return {
            "ratio": spread([a / b for a, b in zip(private, plain, strict=True)]),
            "difference": off,
            "seconds": {"private": statistics.median(private), "plain": statistics.median(plain)},
            "pairs": pairs,
        }


def main(
    *, pairs: int = 5, names: str = "", cases: Sequence[Case] = CASES, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """group → N/k → what `Pairs.run` found. names: cases to run, separated by commas; empty means all.

    `RunFailed` if the two steps do not find the same gradient.
    """
    wanted = chosen(names, [case.name for case in cases])
    set_threads(1)
    found: dict[str, Any] = {}
    for case in cases:
        if case.name in wanted:
            found.setdefault(case.group, {})[case.size] = Pairs(case).run(pairs, say)
    return found


def table(found: dict[str, Any]) -> list[list[str | float]]:
    """Rows under `HEADS`, one per case."""
    return [
        [
            f"{group} {size}",
            *(round(of["ratio"][k], 2) for k in ("min", "median", "max")),
            *(round(of["seconds"][k], 4) for k in ("private", "plain")),
        ]
        for group, sizes in found.items()
        for size, of in sizes.items()
    ]

"""Time a differentially private step against our plain step on the same rows.

Every row is drawn (rate 1), every record is a privacy unit, and clipping and noise are too weak to have an effect:
both steps must then find the same gradient, which is checked, and the ratio is the price of per-unit gradients.
The private step computes forget and retain gradients separately even where the rule would not. Runs alternate in one
process on one thread; processor seconds; what a run does before its first step is not counted.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.speed.cases import NAMES, NamedCase, case_table, compare_times, model_config, run_cases
from benchmarks.speed.program import PAIRS, Parts, Results, Say, program, say
from benchmarks.speed.synthetic_inputs import Lengths, synthetic_records, with_adapters, word_model
from expunge.engine.loop_builder import build_loop
from expunge.engine.optimizer import OptimizerConfig
from expunge.engine.recipe import Recipe
from expunge.engine.recipe_config import BatchSize
from expunge.errors import RunFailed
from expunge.models.adapters import TrainableConfig
from expunge.models.language_model import LanguageModel
from expunge.models.tiny import TinyConfig
from expunge.privacy.config import PrivacyConfig

COLUMNS = ("min", "median", "max", "private, s", "plain, s")
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

    def run(self, pairs: int, say: Say) -> Results:
        """`ratio` of private to plain, `seconds` of both, and `difference` of the gradient norms.

        Raises:
            RunFailed: the two steps do not find the same gradient.
        """
        base = word_model(self.model)
        seconds: dict[str, list[float]] = {"private": [], "plain": []}
        difference = 0.0
        for pair in range(pairs + 1):  # the first pair warms up
            private, private_norms = time_steps(self, base, WITHOUT_EFFECT)
            plain, plain_norms = time_steps(self, base, None)
            differences = (abs(a - b) / b for a, b in zip(private_norms, plain_norms, strict=True))
            difference = max(difference, *differences)
            if pair:
                seconds["private"].append(private)
                seconds["plain"].append(plain)
                say(f"{self.name}, pair {pair}: the private step takes {private / plain:.2f} times as long")
        if not difference < TOLERANCE:
            what = f"the gradients of the two steps differ by a share of {difference:.2g}"
            raise RunFailed(self.name, what, "their times cannot be compared")
        return {**compare_times(seconds), "difference": difference, "pairs": pairs}


def time_steps(
    case: PrivateStepCase, base: LanguageModel, privacy: PrivacyConfig | None
) -> tuple[float, Sequence[float]]:
    """Median seconds of a step of a short run, and the gradient norm of every step."""
    recipe = Recipe(
        method=case.group,
        steps=STEPS,
        batch=BatchSize(forget=len(case.rows), retain=len(case.rows)),
        train=TrainableConfig(layers=case.trained_blocks),
        privacy=privacy,
        optimizer=OptimizerConfig(lr=1e-4, clip_norm=None, schedule="constant"),
    )
    lm = with_adapters(base, recipe.train)
    forget, retain = (synthetic_records(case.rows, case.model.vocabulary, side) for side in ("forget", "retain"))
    steps: list[tuple[float, float]] = []
    loop = build_loop(lm, recipe.resolve(), forget, retain)
    loop.run(lambda event: steps.append((event.norm, time.process_time())))
    norms, times = zip(*steps, strict=True)
    return statistics.median(b - a for a, b in pairwise(times)), norms


CASES = tuple(PrivateStepCase("npo", model_config(n), blocks) for n, blocks in ((8, 4), (8, 8), (28, 4)))


def measure(pairs: int = 5, names: str = "", cases: Sequence[NamedCase] = CASES, say: Say = say) -> Results:
    """method → N/k → result of the case."""
    return run_cases(cases, pairs, names, say)


def parts(results: Results) -> Parts:
    """The result for a terminal."""
    return case_table(results, COLUMNS, lambda case: (*case["ratio"].values(), *case["seconds"].values())), NOTE


main = program(__doc__, measure, parts, pairs=PAIRS, cases=NAMES)

if __name__ == "__main__":
    raise SystemExit(main(None))

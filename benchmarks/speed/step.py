"""Time our training step against the step of common unlearning scripts.

A pair is one step of ours and one of the baseline (`baseline_steps.py`), from equal models on the same rows; their
losses must agree. One thread; processor seconds, so that other processes do not count. Beside each ratio stands the
bound that counting operations gives (`step_roofline.py`). Our caches are built before the first step and not counted,
except in `end_to_end`.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed.baseline_steps import BaselineStep, DualStep, GradDiffStep, NPOStep, TwinStep, padded_batches
from benchmarks.speed.end_to_end import WholeRun
from benchmarks.speed.program import NamedCase, Say, parser, positive, provenance, run, say, select_cases
from benchmarks.speed.step_roofline import StepWork, comparison, step_work, table
from benchmarks.speed.synthetic_rows import LUME, LUME_PEOPLE, Lengths, synthetic_records, word_tokenizer
from expunge._io import write_json
from expunge.cli.result import CommandResult
from expunge.engine.event import Event
from expunge.engine.loop import Loop
from expunge.engine.loop_builder import build_loop
from expunge.engine.optimizer import OptimizerConfig
from expunge.engine.recipe import Recipe
from expunge.engine.recipe_config import BatchSize, Retain
from expunge.methods.twin.method import Twin
from expunge.methods.twin.targets import TwinTargets
from expunge.models.adapters import TrainableConfig, prepare
from expunge.models.collate import collate
from expunge.models.language_model import LanguageModel
from expunge.models.threads import set_threads
from expunge.models.tiny import TinyConfig, build

LR = 3e-4
NOTE = (
    "how many times as long the plain step takes (N/k: N blocks, adapters on the last k), beside what counting "
    "passes through blocks, and all matrix products, would give"
)
EVEN: Lengths = ((48, 16),) * 48
SHORT: Lengths = ((56, 8),) * 48


@dataclass(frozen=True)
class StepCase(NamedCase):
    """`method` with LoRA (r = 8) on the last `trained_blocks` blocks of the model.

    Attributes:
        rows: forget rows in a step, and as many retain rows.
        forget: (prompt, answer) tokens of the rows that forget batches are drawn from.
        retain: the same of the retain rows; None for a case without a retain term.
    """

    group: str
    method: str
    model: TinyConfig
    trained_blocks: int
    rows: int = 16
    forget: Lengths = EVEN
    retain: Lengths | None = EVEN

    @property
    def batch(self) -> str:
        """What a step works on, in words."""

        def tokens(lengths: Lengths) -> str:
            sums = [p + a for p, a in lengths]
            answers = statistics.mean(a for _, a in lengths)
            if len(set(lengths)) == 1:
                return f"{sums[0]} tokens ({answers:.0f} of them answer)"
            return f"{min(sums)} to {max(sums)} tokens (mean {statistics.mean(sums):.0f}, {answers:.0f} of them answer)"

        retain = f" and {self.rows} retain rows of {tokens(self.retain)}" if self.retain else ""
        return (
            f"{self.rows} forget rows of {tokens(self.forget)}{retain}, vocabulary {self.model.vocabulary:,}, width "
            f"{self.model.width}, float32"
        )


def model_config(layers: int, vocabulary: int = 2048, width: int = 256) -> TinyConfig:
    return TinyConfig(layers=layers, width=width, vocabulary=vocabulary, context=512)


CASES = (
    *(StepCase("npo", "npo", model_config(n), 4) for n in (24, 28, 36)),
    StepCase("npo", "npo", model_config(28), 28, rows=8, forget=LUME, retain=LUME),
    *(StepCase("npo_alone", "npo", model_config(n), 4, retain=None) for n in (28, 36)),
    StepCase("grad_diff", "grad_diff", model_config(28), 4),
    StepCase("dual", "dual", model_config(28), 4),
    StepCase("twin", "twin", model_config(28), 28, rows=8, forget=LUME_PEOPLE, retain=LUME),
    StepCase("vocab32k", "grad_diff", model_config(28, 32_000), 4, forget=SHORT, retain=SHORT),
)


def recipe_of(case: StepCase, steps: int) -> Recipe:
    """The recipe of a case; `twin` has the retain term of its shipped recipe and no anchors."""
    twin = case.method == "twin"
    return Recipe(
        method=case.method,
        steps=steps,
        batch=BatchSize(forget=case.rows, retain=case.rows),
        settings={"candidates": 1, "own_answer": False, "mask_unknown_tokens": False} if twin else {},
        retain=(Retain(loss="kl", weight=12.0) if twin else Retain()) if case.retain else Retain(loss="none"),
        train=TrainableConfig(layers=case.trained_blocks),
        optimizer=OptimizerConfig(lr=LR, clip_norm=None, schedule="constant"),
    )


def baseline_of(case: StepCase, recipe: Recipe, module: Any, original: Any, loop: Loop) -> BaselineStep:
    """The plain step of a case, on a model of its own."""
    if case.method == "npo":
        return NPOStep.of(module, original, LR)
    if case.method == "grad_diff":
        return GradDiffStep.of(module, original, LR)
    if case.method == "dual":
        return DualStep.of(module, original, LR, saliency_block=case.model.layers - case.trained_blocks)
    method, targets = loop.resolved.method, loop.dataset.targets
    assert isinstance(method, Twin)
    assert isinstance(targets, TwinTargets)
    floors = TwinTargets(targets.rows, method.least_floor, torch.device("cpu")).floors  # `loop` moves its own
    weights = {"retain_weight": recipe.retain.weight, "floor_weight": method.floor_weight}
    return TwinStep.of(module, original, LR, table=targets.rows, floors=floors, **weights)


class StepPairs:
    """Steps of ours and of the baseline in alternation; the first pair builds caches and is not counted."""

    def __init__(self, case: StepCase, pairs: int) -> None:
        self.case, recipe = case, recipe_of(case, pairs + 1)
        vocabulary = case.model.vocabulary
        tokenizer = word_tokenizer(vocabulary)
        base: LanguageModel = LanguageModel.from_parts(build(case.model, tokenizer, 1), tokenizer, "bench")

        def adapted() -> LanguageModel:
            return base.with_module(prepare(copy.deepcopy(base.module), recipe.train, 1))

        forget = synthetic_records(case.forget, vocabulary, "forget")
        retain = synthetic_records(case.retain, vocabulary, "retain") if case.retain else ()
        self.loop = build_loop(adapted(), recipe.resolve(), forget, retain)
        self.baseline = baseline_of(case, recipe, adapted().module, base.module, self.loop)
        self.seconds: dict[str, list[float]] = {"plain": [], "ours": []}
        self.losses: dict[str, list[tuple[float, float]]] = {"plain": [], "ours": []}
        self.work = StepWork()

    def run(self, say: Say) -> dict[str, Any]:
        self._mark = time.process_time()
        self.loop.run(lambda event: self._pair(event, say))
        counted = {side: seconds[1:] for side, seconds in self.seconds.items()}
        return comparison(self.case.name, counted, self.losses, self.work, self.case.batch)

    def _pair(self, event: Event, say: Say) -> None:
        """After a step of ours: the baseline's step on the same rows."""
        ours = time.process_time() - self._mark
        began = time.process_time()
        rows, forget, retain = padded_batches(self.loop, event.step)
        losses = self.baseline.step(rows, forget, retain)
        plain = time.process_time() - began
        for side, seconds, pair in (("plain", plain, losses), ("ours", ours, (event.forget, event.retain))):
            self.seconds[side].append(seconds)
            self.losses[side].append((pair[0], pair[1] if retain else 0.0))
        targets = self.loop.dataset.targets
        prompts = [targets.rows[k].question for k in rows] if isinstance(targets, TwinTargets) else []
        self.work += step_work(
            self.case.method,
            self.case.model,
            self.case.trained_blocks,
            forget,
            retain,
            collate(prompts) if prompts else None,
        )
        if event.step:
            say(f"{self.case.name}, pair {event.step}: the plain step takes {plain / ours:.2f} times as long")
        self._mark = time.process_time()


def measure(
    *,
    pairs: int = 5,
    names: str = "",
    cases: Sequence[StepCase] = CASES,
    whole_run: WholeRun | None = None,
    whole_runs: int = 1,
    say: Say = say,
) -> dict[str, Any]:
    """Ratios by group and N/k.

    Args:
        pairs: counted pairs of steps of each case.
        names: cases to run, separated by commas; empty means all.
        whole_run: the `end_to_end` case; None: as shipped.
        whole_runs: pairs of whole runs.

    Returns:
        group → N/k → `ratio` (min, median, max), `ceiling` (passes of tokens through blocks, plain over ours),
        `operations` (all that is counted), `seconds` (medians of one step, or of a whole run), `loss_difference`,
        `batch` and `pairs`.

    Raises:
        RunFailed: the losses of both sides differ by more than rounding.
    """
    whole_run = whole_run or WholeRun()
    selected = select_cases(names, [*(case.name for case in cases), whole_run.name])
    set_threads(1)
    results: dict[str, Any] = {}
    for case in cases:
        if case.name in selected:
            results.setdefault(case.group, {})[case.size] = StepPairs(case, pairs).run(say)
    if whole_run.name in selected:
        results[whole_run.group] = {whole_run.size: whole_run.run(whole_runs, say)}
    return results


def main(argv: Sequence[str] | None = None) -> int:
    options = parser(__doc__)
    options.add_argument("--pairs", type=positive, default=5, help="timed pairs of each case (default: 5)")
    options.add_argument("--cases", default="", help="for example npo:28/4,twin:28/28; all if left out")

    options.add_argument("--out", type=Path, help="results file to write as well, for example step.json")

    def answer(args: argparse.Namespace) -> CommandResult:
        results = measure(pairs=args.pairs, names=args.cases)
        if args.out:
            write_json(args.out, {"measured": provenance("python -m benchmarks.speed.step"), "cases": results})
        return CommandResult(results, (table(results), NOTE))

    return run(options, answer, argv)


if __name__ == "__main__":
    sys.exit(main())

"""Time our training step against the step of common unlearning scripts.

A pair is one step of ours and one of the baseline (`baseline_steps.py`), from equal models on the same rows; their
losses must agree. One thread; processor seconds, so that other processes do not count. Beside each ratio stands the
bound that counting operations gives (`step_roofline.py`). Our caches are built before the first step and not counted,
except in `end_to_end`, which makes a whole run for every five pairs, at least one.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed.baseline_steps import BaselineStep, DualStep, GradDiffStep, NPOStep, TwinStep, padded_batches
from benchmarks.speed.cases import NAMES, NamedCase, case_table, model_config, run_cases
from benchmarks.speed.end_to_end import WholeRun
from benchmarks.speed.program import PAIRS, Parts, Results, Say, program, provenance, say
from benchmarks.speed.step_roofline import StepWork, comparison, step_work
from benchmarks.speed.synthetic_inputs import LUME, LUME_PEOPLE, Lengths, synthetic_records, with_adapters, word_model
from expunge._io import write_json
from expunge.engine.event import Event
from expunge.engine.loop import Loop
from expunge.engine.loop_builder import build_loop
from expunge.engine.optimizer import OptimizerConfig
from expunge.engine.recipe import Recipe
from expunge.engine.recipe_config import BatchSize, Retain
from expunge.methods.twin.method import Twin
from expunge.methods.twin.rows import TwinTargets
from expunge.models.adapters import TrainableConfig
from expunge.models.collate import collate
from expunge.models.tiny import TinyConfig

LR = 3e-4
COLUMNS = ("min", "median", "max", "ceiling", "operations", "plain, s", "ours, s")
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

    def run(self, pairs: int, say: Say) -> Results:
        """Steps of ours and of the baseline in alternation; the first pair builds caches and is not counted."""
        recipe, vocabulary = self.recipe(pairs + 1), self.model.vocabulary
        base = word_model(self.model)
        forget = synthetic_records(self.forget, vocabulary, "forget")
        retain = synthetic_records(self.retain, vocabulary, "retain") if self.retain else ()
        loop = build_loop(with_adapters(base, recipe.train), recipe.resolve(), forget, retain)
        baseline = self.baseline(with_adapters(base, recipe.train).module, base.module, loop)
        seconds: dict[str, list[float]] = {"plain": [], "ours": []}
        losses: dict[str, list[tuple[float, float]]] = {"plain": [], "ours": []}
        work, mark = StepWork(), time.process_time()

        def baseline_step(event: Event) -> None:
            """After a step of ours, on the same rows."""
            nonlocal work, mark
            began = time.process_time()
            rows, forget, retain = padded_batches(loop, event.step)
            losses["plain"].append(baseline.step(rows, forget, retain))
            losses["ours"].append((event.forget, event.retain if retain else 0.0))
            seconds["ours"].append(began - mark)
            seconds["plain"].append(time.process_time() - began)
            targets = loop.dataset.targets
            prompts = collate([targets.rows[k].question for k in rows]) if isinstance(targets, TwinTargets) else None
            work += step_work(self.method, self.model, self.trained_blocks, forget, retain, prompts)
            if event.step:
                ratio = seconds["plain"][-1] / seconds["ours"][-1]
                say(f"{self.name}, pair {event.step}: the plain step takes {ratio:.2f} times as long")
            mark = time.process_time()

        loop.run(baseline_step)
        counted = {side: of_steps[1:] for side, of_steps in seconds.items()}
        return comparison(self.name, counted, losses, work, self.batch)

    def recipe(self, steps: int) -> Recipe:
        """`twin` has the retain term of its shipped recipe and no anchors."""
        twin = self.method == "twin"
        return Recipe(
            method=self.method,
            steps=steps,
            batch=BatchSize(forget=self.rows, retain=self.rows),
            settings={"candidates": 1, "own_answer": False, "mask_unknown_tokens": False} if twin else {},
            retain=(Retain(loss="kl", weight=12.0) if twin else Retain()) if self.retain else Retain(loss="none"),
            train=TrainableConfig(layers=self.trained_blocks),
            optimizer=OptimizerConfig(lr=LR, clip_norm=None, schedule="constant"),
        )

    def baseline(self, module: Any, original: Any, loop: Loop) -> BaselineStep:
        """The plain step, on a model of its own."""
        method, targets = loop.resolved.method, loop.dataset.targets
        if isinstance(method, Twin) and isinstance(targets, TwinTargets):
            floors = TwinTargets(targets.rows, method.least_floor, torch.device("cpu")).floors  # `loop` moves its own
            weights = {"retain_weight": loop.resolved.recipe.retain.weight, "floor_weight": method.floor_weight}
            return TwinStep.of(module, original, LR, table=targets.rows, floors=floors, **weights)
        if self.method == "dual":
            return DualStep.of(module, original, LR, saliency_block=self.model.layers - self.trained_blocks)
        return {"npo": NPOStep, "grad_diff": GradDiffStep}[self.method].of(module, original, LR)

    @property
    def batch(self) -> str:
        """What a step works on, in words."""

        def tokens(lengths: Lengths) -> str:
            sums, answers = [p + a for p, a in lengths], statistics.mean(a for _, a in lengths)
            if len(set(lengths)) == 1:
                return f"{sums[0]} tokens ({answers:.0f} of them answer)"
            return f"{min(sums)} to {max(sums)} tokens (mean {statistics.mean(sums):.0f}, {answers:.0f} of them answer)"

        retain = f" and {self.rows} retain rows of {tokens(self.retain)}" if self.retain else ""
        model = f"vocabulary {self.model.vocabulary:,}, width {self.model.width}, float32"
        return f"{self.rows} forget rows of {tokens(self.forget)}{retain}, {model}"


CASES = (
    *(StepCase("npo", "npo", model_config(n), 4) for n in (24, 28, 36)),
    StepCase("npo", "npo", model_config(28), 28, rows=8, forget=LUME, retain=LUME),
    *(StepCase("npo_alone", "npo", model_config(n), 4, retain=None) for n in (28, 36)),
    StepCase("grad_diff", "grad_diff", model_config(28), 4),
    StepCase("dual", "dual", model_config(28), 4),
    StepCase("twin", "twin", model_config(28), 28, rows=8, forget=LUME_PEOPLE, retain=LUME),
    StepCase("vocab32k", "grad_diff", model_config(28, 32_000), 4, forget=SHORT, retain=SHORT),
    WholeRun(),
)


def measure(
    pairs: int = 5, names: str = "", out: Path | None = None, cases: Sequence[NamedCase] = CASES, say: Say = say
) -> Results:
    """Ratios by group and N/k; `out`: results file to write as well.

    Returns:
        group → N/k → `ratio` (min, median, max), `ceiling` (passes of tokens through blocks, plain over ours),
        `operations` (all that is counted), `seconds` (medians of one step, or of a whole run), `loss_difference`,
        `batch` and `pairs`.

    Raises:
        RunFailed: the losses of both sides differ by more than rounding.
    """
    results = run_cases(cases, pairs, names, say)
    if out:
        write_json(out, {"measured": provenance("python -m benchmarks.speed.step"), "cases": results})
    return results


def parts(results: Results) -> Parts:
    """The result for a terminal."""

    def values(case: Results) -> list[float]:
        ratios, seconds = (*case["ratio"].values(), case["ceiling"], case["operations"]), case["seconds"].values()
        return [*(round(value, 2) for value in ratios), *(round(value, 3) for value in seconds)]

    return case_table(results, COLUMNS, values), NOTE


OUT = {"type": Path, "help": "results file to write as well, for example step.json"}
main = program(__doc__, measure, parts, pairs=PAIRS, cases=NAMES, out=OUT)

if __name__ == "__main__":
    raise SystemExit(main(None))

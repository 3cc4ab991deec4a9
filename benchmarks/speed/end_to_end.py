"""Time a whole NPO run of the demo's size against the same run as a script, from records to the trained adapter.

Everything that a run does is counted: rows are encoded, our caches are built, the baseline copies its reference. Only
making the model and its adapter, the same work on both sides, is left out. One thread; processor seconds.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmarks.speed.baseline_steps import NPOStep, padded_batches
from benchmarks.speed.program import NamedCase, Say, parser, positive, run, say
from benchmarks.speed.step_roofline import Losses, StepWork, comparison, step_work, table
from expunge.cli.result import CommandResult
from expunge.corpus import Record
from expunge.engine.event import Event
from expunge.engine.loop import Loop
from expunge.engine.loop_builder import build_loop
from expunge.engine.optimizer import lr_factor
from expunge.engine.recipe import Recipe
from expunge.models.adapters import prepare
from expunge.models.collate import collate
from expunge.models.language_model import LanguageModel
from expunge.models.threads import set_threads
from expunge.models.tiny import TinyConfig, build, texts_of, train_tokenizer
from expunge.scope import Scope
from expunge.synthetic.hospital.hospital import Hospital

SEED = 42
DEEP = TinyConfig(layers=24)  # otherwise the model of the demo


@dataclass
class WholeRun(NamedCase):
    """Forget one patient of a synthetic hospital with the shipped recipe `npo` on the last `trained_blocks` blocks."""

    model: TinyConfig = DEEP
    trained_blocks: int = 4
    preset: str = "demo"
    overrides: tuple[str, ...] = ()
    group = "end_to_end"
    method = "npo"

    @cached_property
    def recipe(self) -> Recipe:
        return Recipe.load(self.method, (*self.overrides, f"train.layers={self.trained_blocks}"))

    def run(self, pairs: int, say: Say) -> dict[str, Any]:
        """What `step.measure` reports of a case, of whole runs; `RunFailed` if the losses of both sides differ."""
        world = Hospital.preset(self.preset, seed=SEED)
        target = f"patient:P-{[slot.stem for slot in world.slots() if slot.institution == 0][-1]}"
        corpus = world.corpus()
        split = Scope.parse(target).resolve(corpus, seed=SEED)
        tokenizer = train_tokenizer(texts_of(corpus.trained), self.model.vocabulary)
        self.base: LanguageModel = LanguageModel.from_parts(build(self.model, tokenizer, SEED), tokenizer, "bench")
        seconds: dict[str, list[float]] = {"plain": [], "ours": []}
        losses: dict[str, Losses] = {}
        for pair in range(pairs):
            loop, losses["ours"], ours = self._ours(split.forget, split.retain)
            losses["plain"], plain = self._plain(loop, (*split.forget, *split.retain))
            seconds["ours"].append(ours)
            seconds["plain"].append(plain)
            say(f"{self.name}, pair {pair + 1} of {pairs}: the plain run takes {plain / ours:.2f} times as long")
        size = self.recipe.batch
        batch = (
            f"{self.recipe.resolve().total_steps} steps of {size.forget} forget rows and {size.retain} retain rows "
            "of a hospital "
            f"({len(split.forget)} records to forget, {len(split.retain)} that may be kept), vocabulary "
            f"{len(tokenizer):,}, width {self.model.width}, float32; caches counted"
        )
        return comparison(self.name, seconds, losses, self._work(loop), batch)

    def _adapted(self) -> LanguageModel:
        return self.base.with_module(prepare(copy.deepcopy(self.base.module), self.recipe.train, SEED))

    def _ours(self, forget: Sequence[Record], retain: Sequence[Record]) -> tuple[Loop, Losses, float]:
        events: list[Event] = []
        lm = self._adapted()
        began = time.process_time()
        loop = build_loop(lm, self.recipe.resolve(), forget, retain)
        loop.run(events.append)
        return loop, [(e.forget, e.retain) for e in events], time.process_time() - began

    def _plain(self, loop: Loop, records: Sequence[Record]) -> tuple[Losses, float]:
        lm, settings, steps = self._adapted(), self.recipe.optimizer, self.recipe.resolve().total_steps
        dataset = loop.dataset
        losses: list[tuple[float, float]] = []
        began = time.process_time()
        items = {item.id: item for item in lm.template.encode_all(records)}
        baseline = NPOStep.of(lm.module, self.base.module, settings.lr, clip_norm=settings.clip_norm)
        for step in range(steps):
            for group in baseline.optimizer.param_groups:
                group["lr"] = settings.lr * lr_factor(settings.schedule, settings.warmup, step, steps)
            rows = dataset.forget_batch(step)
            forget, retain = (
                collate([items[dataset.encoded[k].id] for k in part]) for part in (rows, dataset.retain_batch(step))
            )
            losses.append(baseline.step(rows, forget, retain))
        return losses, time.process_time() - began

    def _work(self, loop: Loop) -> StepWork:
        """Of the whole run: its steps, the frozen prefix of every row, the reference pass over the forget rows."""
        dataset, work = loop.dataset, StepWork()
        for step in range(self.recipe.resolve().total_steps):
            _, forget, retain = padded_batches(loop, step)
            work += step_work(self.method, self.model, self.trained_blocks, forget, retain)
        forget_items = dataset.encoded[: dataset.forget_count]
        tokens, forget_tokens = (sum(item.length for item in items) for items in (dataset.encoded, forget_items))
        frozen = self.model.layers - self.trained_blocks
        return work + StepWork(ours=frozen * tokens + self.model.layers * forget_tokens)


def main(argv: Sequence[str] | None = None) -> int:
    options = parser(__doc__)
    options.add_argument("--pairs", type=positive, default=1, help="pairs of whole runs (default: 1)")

    def answer(args: argparse.Namespace) -> CommandResult:
        set_threads(1)
        case = WholeRun()
        result = case.run(args.pairs, say)
        return CommandResult(result, (table({case.group: {case.size: result}}), result["batch"]))

    return run(options, answer, argv)


if __name__ == "__main__":
    sys.exit(main())

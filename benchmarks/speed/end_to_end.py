"""A whole NPO run of the demo's size against the same run as a script, from records to the trained adapter.

Everything that a run does is counted: rows are encoded, our caches are built, the baseline copies its reference. Only
making the model and its adapter, the same work on both sides, is left out. One thread; processor seconds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.speed.baseline_steps import NPOStep, padded_batches
from benchmarks.speed.cases import NamedCase
from benchmarks.speed.program import Results, Say
from benchmarks.speed.step_roofline import Losses, StepWork, comparison, step_work
from benchmarks.speed.synthetic_inputs import random_model, with_adapters
from expunge.corpus import Record
from expunge.engine.event import Event
from expunge.engine.loop import Loop
from expunge.engine.loop_builder import build_loop
from expunge.engine.optimizer import lr_factor
from expunge.engine.recipe import Recipe
from expunge.models.collate import collate
from expunge.models.language_model import LanguageModel
from expunge.models.tiny import TinyConfig, texts_of, train_tokenizer
from expunge.scope import Scope
from expunge.synthetic.hospital.hospital import Hospital

SEED = 42
DEEP = TinyConfig(layers=24)  # otherwise the model of the demo


@dataclass(frozen=True)
class WholeRun(NamedCase):
    """Forget one patient of a synthetic hospital with the shipped recipe `npo` on the last `trained_blocks` blocks."""

    model: TinyConfig = DEEP
    trained_blocks: int = 4
    preset: str = "demo"
    overrides: tuple[str, ...] = ()
    group = "end_to_end"

    def run(self, pairs: int, say: Say) -> Results:
        """The result of `pairs` / 5 pairs of whole runs, at least one."""
        world = Hospital.preset(self.preset, seed=SEED)
        target = f"patient:P-{[slot.stem for slot in world.slots() if slot.institution == 0][-1]}"
        corpus = world.corpus()
        split = Scope.parse(target).resolve(corpus, seed=SEED)
        base = random_model(self.model, train_tokenizer(texts_of(corpus.trained), self.model.vocabulary), SEED)
        recipe = Recipe.load("npo", (*self.overrides, f"train.layers={self.trained_blocks}"))
        seconds: dict[str, list[float]] = {"plain": [], "ours": []}
        losses: dict[str, Losses] = {}
        for pair in range(max(1, pairs // 5)):
            lm = with_adapters(base, recipe.train, SEED)
            loop, losses["ours"], ours = time_ours(lm, recipe, split.forget, split.retain)
            lm = with_adapters(base, recipe.train, SEED)
            losses["plain"], plain = time_plain(lm, base, loop, (*split.forget, *split.retain))
            seconds["ours"].append(ours)
            seconds["plain"].append(plain)
            say(f"{self.name}, pair {pair + 1}: the plain run takes {plain / ours:.2f} times as long")
        batch = (
            f"{loop.resolved.total_steps} steps of {recipe.batch.forget} forget rows and {recipe.batch.retain} retain "
            f"rows of a hospital ({len(split.forget)} records to forget, {len(split.retain)} that may be kept), "
            f"vocabulary {len(base.template.tokenizer):,}, width {self.model.width}, float32; caches counted"
        )
        return comparison(self.name, seconds, losses, self.work(loop), batch)

    def work(self, loop: Loop) -> StepWork:
        """Of the whole run: its steps, the frozen prefix of every row, the reference pass over the forget rows."""
        work = StepWork()
        for step in range(loop.resolved.total_steps):
            work += step_work("npo", self.model, self.trained_blocks, *padded_batches(loop, step)[1:])
        lengths = [item.length for item in loop.dataset.encoded]
        frozen, forget = self.model.layers - self.trained_blocks, sum(lengths[: loop.dataset.forget_count])
        return work + StepWork(ours=frozen * sum(lengths) + self.model.layers * forget)


def time_ours(
    lm: LanguageModel, recipe: Recipe, forget: Sequence[Record], retain: Sequence[Record]
) -> tuple[Loop, Losses, float]:
    """The loop after its run, the losses of each step, and seconds."""
    events: list[Event] = []
    began = time.process_time()
    loop = build_loop(lm, recipe.resolve(), forget, retain)
    loop.run(events.append)
    return loop, [(e.forget, e.retain) for e in events], time.process_time() - began


def time_plain(lm: LanguageModel, base: LanguageModel, loop: Loop, records: Sequence[Record]) -> tuple[Losses, float]:
    """The losses of each step and seconds of the baseline, on the batches of `loop`."""
    settings, steps, dataset = loop.resolved.recipe.optimizer, loop.resolved.total_steps, loop.dataset
    losses: list[tuple[float, float]] = []
    began = time.process_time()
    items = {item.id: item for item in lm.template.encode_all(records)}
    baseline = NPOStep.of(lm.module, base.module, settings.lr, clip_norm=settings.clip_norm)
    for step in range(steps):
        for group in baseline.optimizer.param_groups:
            group["lr"] = settings.lr * lr_factor(settings.schedule, settings.warmup, step, steps)
        rows = dataset.forget_batch(step)
        forget, retain = (
            collate([items[dataset.encoded[k].id] for k in part]) for part in (rows, dataset.retain_batch(step))
        )
        losses.append(baseline.step(rows, forget, retain))
    return losses, time.process_time() - began

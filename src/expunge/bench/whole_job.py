"""A whole NPO job at the size of the demo, from records to trained adapter, against the plain loop on the same rows.

Everything that a run does is counted: rows are encoded, our caches are built, the peers copy their reference. Only
making the model and its adapter, which is the same work for both, is left out.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from expunge.bench.case import Named
from expunge.bench.peers import NPO
from expunge.bench.step_ceiling import Work, disagreement, spread, work
from expunge.corpus import Record
from expunge.engine.loop import Event, Loop
from expunge.engine.optimizer import lr_factor
from expunge.engine.recipe import Recipe
from expunge.models.adapters import prepare
from expunge.models.collate import collate
from expunge.models.language_model import LanguageModel
from expunge.models.tiny import TinyConfig, build, texts_of, train_tokenizer
from expunge.scope import Scope
from expunge.synthetic.hospital.hospital import Hospital

SEED = 42
Losses = list[tuple[float, float]]
DEEP = TinyConfig(layers=24)  # otherwise the model of the demo


@dataclass
class Job(Named):
    """One patient of a synthetic hospital is to be forgotten with the shipped recipe `npo` on the last `top` blocks."""

    model: TinyConfig = DEEP
    top: int = 4
    preset: str = "demo"
    sets: tuple[str, ...] = ()
    group = "end_to_end"
    method = "npo"

    @cached_property
    def recipe(self) -> Recipe:
        return Recipe.load("npo", (*self.sets, f"train.layers={self.top}"))

    def run(self, pairs: int, say: Callable[[str], None]) -> dict[str, Any]:
        """What `step.main` reports of a case, of whole jobs. `RunFailed` if the losses of both differ."""
        world = Hospital.preset(self.preset, seed=SEED)
        target = f"patient:P-{[bed.stem for bed in world.beds() if bed.institution == 0][-1]}"
        corpus = world.corpus()
        split = Scope.parse(target).resolve(corpus, seed=SEED)
        tokenizer = train_tokenizer(texts_of(corpus.trained), self.model.vocabulary)
        self.base: LanguageModel = LanguageModel.from_parts(build(self.model, tokenizer, SEED), tokenizer, "bench")
        seconds: list[tuple[float, float]] = []
        for pair in range(pairs):
            loop, mine, ours = self._ours(split.forget, split.retain)
            theirs, plain = self._plain(loop, (*split.forget, *split.retain))
            seconds.append((plain, ours))
            say(f"{self.name}, pair {pair + 1} of {pairs}: the plain job takes {plain / ours:.2f} times as long")
        counted = self._work(loop)
        steps, batch = self.recipe.total_steps, self.recipe.batch
        return {
            "ratio": spread([a / b for a, b in seconds]),
            "ceiling": counted.ceiling,
            "operations": counted.operations,
            "seconds": {
                "plain": statistics.median(a for a, _ in seconds),
                "ours": statistics.median(b for _, b in seconds),
            },
            "loss_difference": disagreement(self.name, mine, theirs),
            "pairs": pairs,
            "batch": f"{steps} steps of {batch.forget} forget rows and {batch.retain} retain rows of a hospital "
            f"({len(split.forget)} records to forget, {len(split.retain)} that may be kept), vocabulary "
            f"{len(tokenizer):,}, width {self.model.width}, float32; caches counted",
        }

    def _adapted(self) -> LanguageModel:
        return self.base.with_module(prepare(copy.deepcopy(self.base.module), self.recipe.train, SEED))

    def _ours(self, forget: Sequence[Record], retain: Sequence[Record]) -> tuple[Loop, Losses, float]:
        events: list[Event] = []
        lm = self._adapted()
        began = time.process_time()
        loop = Loop(lm, self.recipe, forget, retain)
        loop.run(events.append)
        return loop, [(e.forget, e.retain) for e in events], time.process_time() - began

    def _plain(self, loop: Loop, records: Sequence[Record]) -> tuple[Losses, float]:
        lm, settings, steps = self._adapted(), self.recipe.optimizer, self.recipe.total_steps
        table = loop.table
        losses: Losses = []
        began = time.process_time()
        items = {item.id: item for item in lm.template.encode_all(records)}
        peer = NPO.of(lm.module, self.base.module, settings.lr, clip_norm=settings.clip_norm)
        for step in range(steps):
            for group in peer.optimizer.param_groups:
                group["lr"] = settings.lr * lr_factor(settings.schedule, settings.warmup, step, steps)
            rows = table.forget_batch(step)
            forget, retain = (
                collate([items[table.items[k].id] for k in part]) for part in (rows, table.retain_batch(step))
            )
            losses.append(peer.step(rows, forget, retain))
        return losses, time.process_time() - began

    def _work(self, loop: Loop) -> Work:
        """Of the whole job: the steps, the states below the blocks that train, the reference of the forget rows."""
        table, counted = loop.table, Work()
        for step in range(self.recipe.total_steps):
            forget, retain = (
                collate([table.items[k] for k in part]) for part in (table.forget_batch(step), table.retain_batch(step))
            )
            counted += work(self.method, self.model, self.top, forget, retain)
        tokens, asked = (sum(item.length for item in items) for items in (table.items, table.items[: len(table.rows)]))
        return counted + Work(ours=(self.model.layers - self.top) * tokens + self.model.layers * asked)

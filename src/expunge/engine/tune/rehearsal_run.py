"""One trial: a rehearsal with one recipe, looked at on the way, on a model that is loaded once for all trials."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from expunge._io import digest
from expunge.corpus import Record
from expunge.engine.event import Event
from expunge.engine.forward import ForwardRunner
from expunge.engine.loop import Loop
from expunge.engine.loop_builder import build_loop
from expunge.engine.recipe import Recipe
from expunge.engine.stop_controls import sample, surrogate_controls
from expunge.engine.tune.rehearsal_score import Hits, RehearsalScore, score_of
from expunge.methods.examples import Targets
from expunge.models.adapters import prepare
from expunge.models.language_model import LanguageModel
from expunge.models.likelihoods import Nats, answer_nll, mean_nll
from expunge.random import stream
from expunge.scope.split import Split

FORGET_ROWS, HELDOUT_ROWS, RETAIN_ROWS = 32, 64, 96  # records that a rehearsal looks at and may retain, at most
BATCH = 16  # rows in a pass of a look


@dataclass
class RehearsalStage:
    """The model and the records of all trials; what one trial built and another needs again is kept.

    Attributes:
        lm: the model before the run; unchanged between trials.
        split: the stand-ins and the rest of the corpus.
        seed: seed of the samples.
    """

    lm: LanguageModel
    split: Split
    seed: int

    def __post_init__(self) -> None:
        split, seed = self.split, self.seed
        self.forget = sample(split.forget, FORGET_ROWS, stream(seed, "rehearsal", "forget"))
        self.heldout = sample(split.retain_heldout, HELDOUT_ROWS, stream(seed, "rehearsal", "heldout"))
        self.retain: Sequence[Record] = sample(split.retain, RETAIN_ROWS, stream(seed, "rehearsal", "retain"))
        made = surrogate_controls(self.split.forget, self.split.retain, self.seed, FORGET_ROWS)
        nll = mean_nll(self.lm, [r for records in made for r in records])
        self.controls = np.split(nll, np.cumsum([len(records) for records in made])[:-1])
        self._targets: dict[str, tuple[Targets, dict[str, Any]]] = {}
        self._before: Hits | None = None

    def run(self, recipe: Recipe, looks: Sequence[int], on_look: Callable[[RehearsalScore], None]) -> None:
        """Rehearse with a recipe, and look at it after these numbers of steps; `on_look` may raise to end the trial."""
        module = prepare(self.lm.module, recipe.train, recipe.seed)
        lm = self.lm.with_module(module)
        loop: Loop | None = None
        try:
            loop = self._loop(lm, recipe)
            rows = loop.extra_rows
            if self._before is None:  # the adapter adds nothing before the first step
                self._before = look(loop.runner, rows[len(self.forget) :])[1]

            def after_step(event: Event) -> None:
                assert loop is not None
                assert self._before is not None
                if event.step + 1 in looks:
                    nll, hits = look(loop.runner, rows)
                    count = len(self.forget)
                    given, now = Hits(hits.right[:count], hits.tokens[:count]), tail(hits, count)
                    on_look(score_of(event.step + 1, nll[:count], given, self.controls, now, self._before))

            loop.run(after_step)
        finally:
            if loop is not None:
                loop.runner.end_phase()
            if hasattr(module, "unload"):
                module.unload()
            gc.collect()

    def _loop(self, lm: LanguageModel, recipe: Recipe) -> Loop:
        key = digest([recipe.method, recipe.settings, recipe.seed])
        targets = self._targets.get(key)
        if targets:
            targets[0].restore(copy.deepcopy(targets[1]))
        extra = lm.template.encode_all([*self.forget, *self.heldout])
        loop = build_loop(
            lm, recipe.resolve(), self.split.forget, self.retain, targets=targets[0] if targets else None, extra=extra
        )
        self._targets[key] = (loop.dataset.targets, copy.deepcopy(loop.dataset.targets.state()))
        return loop


def tail(hits: Hits, first: int) -> Hits:
    """The hits from position `first` on."""
    return Hits(hits.right[first:], hits.tokens[first:])


@torch.no_grad()
def look(runner: ForwardRunner, rows: Sequence[int]) -> tuple[Nats, Hits]:
    """NLL [N] and hits of these rows of the runner, on the model as it stands."""
    nll, right, tokens = [], [], []
    for k in range(0, len(rows), BATCH):
        output = runner.run(rows[k : k + BATCH], logits=True)
        batch = output.batch
        assert output.logits is not None
        nll.append(answer_nll(output.logprob, batch.mask).double().cpu().numpy())
        right.append(((output.logits.argmax(-1) == batch.labels) & batch.mask).sum(-1).cpu().numpy())
        tokens.append(batch.mask.sum(-1).cpu().numpy())
    return np.concatenate(nll), Hits(np.concatenate(right), np.concatenate(tokens))

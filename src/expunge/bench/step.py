"""`expunge bench step`: our step against the loop that the field's scripts run, in one process, in alternation.

The baseline is written plainly here: a deep copy of the model as the reference, run again at every step, logits at
all positions, every row padded to the longest. Both compute the same NPO step with a retain term on the same rows.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from expunge.engine.loop import Event, Loop
from expunge.engine.optimiser import Optimiser
from expunge.engine.recipe import BatchSize, Recipe
from expunge.models.adapters import prepare
from expunge.models.batches import Batch, collate
from expunge.models.language_model import LanguageModel, wrap
from expunge.models.threads import set_threads
from expunge.models.tiny import TinyConfig, build, texts_of, train_tokenizer
from expunge.worlds.hospital import Hospital

SUBJECT = "patient:P-0001-001"


def all_positions(module: Any, batch: Batch) -> torch.Tensor:
    """log p of the answer tokens [B, A] from logits at every position of the padded batch."""
    log_p: torch.Tensor = module(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits.log_softmax(-1)
    rows = torch.arange(len(batch)).unsqueeze(-1)
    return log_p[rows, batch.index, batch.labels] * batch.mask


def plain_step(module: Any, reference: Any, optimiser: torch.optim.Optimizer, forget: Batch, retain: Batch) -> float:
    """One NPO step with a retain term, as the field's scripts write it; returns the forget loss."""
    now = all_positions(module, forget).sum(-1)
    with torch.no_grad():
        before = all_positions(reference, forget).sum(-1)
    loss = (-20 * torch.nn.functional.logsigmoid(-0.1 * (now - before))).mean()
    keep = (-all_positions(module, retain).sum(-1) / retain.mask.sum(-1)).mean()
    optimiser.zero_grad()
    (loss + keep).backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return float(loss.detach())


def main(*, pairs: int = 7, steps: int = 4, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Time of the plain loop over ours, in `pairs` pairs of `steps` steps each: min, median, max.

    `losses` holds the forget losses of both, which agree: it is the same computation. Building the reference cache
    stands before the first step and is not counted.
    """
    threads = set_threads()
    corpus = Hospital.preset("tiny", seed=1).corpus()
    forget = tuple(r for r in corpus.trained if r.subject == SUBJECT and r.identifiers)
    retain = tuple(r for r in corpus.trained if r.subject != SUBJECT)
    tokenizer = train_tokenizer(texts_of(corpus.trained))
    base = wrap(build(TinyConfig(layers=8, width=256), tokenizer, 1), tokenizer, "bench")
    recipe = Recipe(method="npo", optimiser=Optimiser(clip_norm=None, schedule="constant"), steps=pairs * steps,
                    batch=BatchSize(forget=16, retain=16))

    def adapted() -> LanguageModel:
        return base.with_module(prepare(copy.deepcopy(base.module), recipe.train, 1))

    loop, theirs, reference = Loop(adapted(), recipe, forget, retain), adapted().module, copy.deepcopy(base.module)
    optimiser = torch.optim.AdamW([p for p in theirs.parameters() if p.requires_grad], lr=recipe.optimiser.lr,
                                  weight_decay=0.0)
    ours: list[Event] = []
    plain: list[float] = []
    ratios: list[float] = []

    def after(event: Event) -> None:
        ours.append(event)
        if len(ours) % steps:
            return
        began = time.perf_counter()
        for done in ours[-steps:]:
            rows = collate([loop.table.items[k] for k in loop.table.forget_batch(done.step)])
            kept = collate([loop.table.items[k] for k in loop.table.retain_batch(done.step)])
            plain.append(plain_step(theirs, reference, optimiser, rows, kept))
        ratios.append((time.perf_counter() - began) / sum(done.seconds for done in ours[-steps:]))
        say(f"pair {len(ratios)} of {pairs}: the plain loop takes {ratios[-1]:.2f} times as long")

    loop.run(after)
    return {"npo": {"8/8": {"ratio": {"min": min(ratios), "median": statistics.median(ratios), "max": max(ratios)}}},
            "pairs": pairs, "threads": threads, "losses": {"ours": [e.forget for e in ours], "plain": plain}}

"""Rates from passes under hooks: answers read token by token given the true tokens before them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expunge.audit.attack_rates import rates_of
from expunge.audit.scores import Scores, Values
from expunge.corpus import Record
from expunge.models.collate import Batch, Budget, collate
from expunge.models.forward import answer_forward
from expunge.models.language_model import LanguageModel
from expunge.models.prompt_template import Encoded

Hits = NDArray[np.bool_]
Within = Callable[[Sequence[int], Batch], AbstractContextManager[Any]]


def passes(lm: LanguageModel, items: Sequence[Encoded]) -> Iterator[tuple[list[int], Batch]]:
    """(positions of items, their batch), within the usual budget of a pass without gradients."""
    vocabulary = int(lm.module.get_output_embeddings().weight.shape[0])
    for part in Budget().parts([(item.length, len(item.answer)) for item in items], vocabulary):
        yield part, collate([items[k] for k in part]).to(lm.device)


def hits_of(logits: Tensor, batch: Batch) -> list[Hits]:
    """Which tokens of each answer are the most probable ones, end token included; from logits [B, A, V]."""
    hits = (logits.argmax(-1) == batch.labels).cpu().numpy()
    return [row[:size] for row, size in zip(hits, batch.mask.sum(-1).tolist(), strict=True)]


def hit_rates(hits: Sequence[Hits], items: Sequence[Encoded], records: Sequence[Record]) -> Values:
    """`rates_of` records [N] from the right tokens of their answers."""
    inner = [row[: len(row) - item.ends] for row, item in zip(hits, items, strict=True)]
    zeros = np.zeros(sum(map(len, inner)), dtype=np.float32)
    scores = Scores(
        ids=tuple(str(k) for k in range(len(items))),
        offsets=np.array([0, *accumulate(map(len, inner))]),
        logp=zeros,
        hit=np.concatenate([np.zeros(0, dtype=bool), *inner]),
        mu=zeros,
        sigma=zeros,
        eos_logp=np.array([0.0 if item.ends else np.nan for item in items], dtype=np.float32),
        eos_hit=np.array([item.ends and bool(row[-1]) for row, item in zip(hits, items, strict=True)], dtype=bool),
    )
    return rates_of(scores, records)


@torch.no_grad()
def forced_rates(lm: LanguageModel, records: Sequence[Record], within: Within) -> Values:
    """`rates_of` records [N] from passes inside `within(positions of records, batch)`."""
    items = lm.template.encode_all(records)
    hits: list[Hits] = [np.zeros(0, dtype=bool)] * len(items)
    for part, batch in passes(lm, items):
        with within(part, batch):
            logits = answer_forward(lm.module, batch).logits
        for k, row in zip(part, hits_of(logits, batch), strict=True):
            hits[k] = row
    return hit_rates(hits, items, records)

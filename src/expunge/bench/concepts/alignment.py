"""How the gradients of target and rest lie to each other before any step: cosines per weight matrix and concept level.

Surprising: they are taken on the weights, not on an adapter. In a fresh adapter B is 0, so half of its matrices have no
gradient at all, and those of the other half hang on a random A.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from expunge._io import read_json, write_json
from expunge.bench.concepts.cell import Cell
from expunge.bench.concepts.lab import Lab
from expunge.corpus import Record
from expunge.corpus.answer_types import answer_type
from expunge.corpus.record import LEVELS
from expunge.gradients.base import Gradients, cosine
from expunge.models.adapters import block_of, block_stack
from expunge.models.collate import by_length, collate
from expunge.models.forward import answer_forward, answer_logprob
from expunge.models.language_model import LanguageModel, load
from expunge.random import stream

ROWS = 64  # in a pass
SMALL = 1e-5  # of |g_r|: below it there is nothing to project against
ALL = "all"
SHUFFLED = "shuffled"


def shuffled(records: Sequence[Record], seed: int) -> list[Record]:
    """The records with answers exchanged among those that ask the same: plausible, and about somebody else.

    Nobody keeps the answer that was its own; a question that is asked once only is left out. Two records may of course
    have had equal answers.
    """
    groups: dict[str, list[Record]] = {}
    for r in records:
        groups.setdefault(answer_type(r), []).append(r)
    found = []
    for kind, group in groups.items():
        order = stream(seed, "shuffled labels", kind).permutation(len(group)).tolist()
        if len(group) > 1:
            found += [
                replace(group[a], answer=group[b].answer) for a, b in zip(order, (*order[1:], order[0]), strict=True)
            ]
    return found


def gradient(lm: LanguageModel, records: Sequence[Record]) -> Gradients:
    """Gradient of the mean answer loss (nats per token, mean over records) on every matrix inside the blocks."""
    stack, _ = block_stack(lm.module)
    weights: dict[str, Any] = {
        n.removeprefix(f"{stack}.").removesuffix(".weight"): p
        for n, p in lm.module.named_parameters()
        if block_of(n, stack) is not None and p.dim() == 2
    }
    for p in lm.module.parameters():
        p.requires_grad_(False)
    for p in weights.values():
        p.requires_grad_(True)
    items = lm.template.encode_all(records)
    total = {name: torch.zeros_like(p) for name, p in weights.items()}
    for part in by_length(items, ROWS):
        batch = collate([items[k] for k in part]).to(lm.device)
        logprob = answer_logprob(answer_forward(lm.module, batch).logits, batch)
        loss = -(logprob.sum(-1) / batch.mask.sum(-1)).sum() / len(items)
        for name, g in zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True):
            total[name] += g
    return total


def by_tensor(g_f: Gradients, g_r: Gradients) -> dict[str, float | None]:
    """Matrix → cosine between the two gradients; None where one of them is zero."""
    found = {name: cosine({name: g}, {name: g_r[name]}) for name, g in g_f.items()}
    return {name: None if math.isnan(c) else c for name, c in found.items()}


def start(lab: Lab, cell: Cell) -> dict[str, Any]:
    """Cosines on the original of a cell, kept in its folder.

    cosines   `all`, a level, or `shuffled` → matrix → cosine; negative: what forgets one harms the other
    norms     matrix → |g_r|
    The forget gradient is that of raising the loss on the target, which is where every bounded loss sets out to; under
    `shuffled` the target's answers are exchanged, so what is left is owed to wording and kinds of answer.
    """
    if started(lab, cell):
        found: dict[str, Any] = read_json(_note(lab, cell))
        return found
    sets, lm = cell.sets(), load(lab.model(cell, "original"))
    kept = sets.split.retain
    away = {name: -g for name, g in gradient(lm, sets.forget).items()}
    exchanged = {name: -g for name, g in gradient(lm, shuffled(sets.forget, cell.seed)).items()}
    g_r = gradient(lm, kept)
    of_level = {level: rows for level in LEVELS if (rows := [r for r in kept if r.concept == level])}
    found = {
        "cosines": {
            ALL: by_tensor(away, g_r),
            SHUFFLED: by_tensor(exchanged, g_r),
            **{level: by_tensor(away, gradient(lm, rows)) for level, rows in of_level.items()},
        },
        "norms": {name: float(g.norm()) for name, g in g_r.items()},
    }
    write_json(_note(lab, cell), found)
    return found


def started(lab: Lab, cell: Cell) -> bool:
    """Is there nothing left for `start` to do?"""
    return _note(lab, cell).is_file()


def _note(lab: Lab, cell: Cell) -> Path:
    return lab.folder(cell) / "alignment.json"


def start_columns(found: Mapping[str, Any]) -> dict[str, float | None]:
    """What `start` found, as columns: `cosine_<group>` is the mean over matrices, `least` and `most` their range.

    small   share of matrices whose retain gradient is shorter than `SMALL`
    """

    def there(group: str) -> list[float]:
        return [c for c in found["cosines"][group].values() if c is not None]

    means = {f"cosine_{group}": float(np.mean(there(group))) if there(group) else None for group in found["cosines"]}
    return means | {
        "least": min(there(ALL), default=None),
        "most": max(there(ALL), default=None),
        "small": float(np.mean([norm < SMALL for norm in found["norms"].values()])),
    }


def run_columns(events: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """What a run's own steps say; None where it never took the two gradients apart.

    cosine, conflict   mean of the cosine of forget and retain gradient of a step, and share of steps below 0
    drift, rises       sum over steps of <delta theta, g_r>: what they do to the retain loss to first order, nats; and
                       the share of steps that raise it
    """
    cosines = [e["cosine"] for e in events if e.get("cosine") is not None]
    drifts = [e["drift"] for e in events if e.get("drift") is not None]
    return {
        "cosine": float(np.mean(cosines)) if cosines else None,
        "conflict": float(np.mean([c < 0 for c in cosines])) if cosines else None,
        "drift": float(np.sum(drifts)) if drifts else None,
        "rises": float(np.mean([d > 0 for d in drifts])) if drifts else None,
    }

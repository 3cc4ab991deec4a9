"""Outputs of the model before the run at answer positions: computed once, in fixed batches, before step 1.

Rows of a later request are read off the model before the first one (`chain_reference.py`), which is not needed after
that. Fixed batches make the cache independent of how often a run was interrupted, so a resumed run
ends in the same bits. Distributions that do not fit are recomputed each step with the adapter off.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from expunge.errors import InputError
from expunge.methods.base import ModelOutputs
from expunge.models.adapters import adapter_off
from expunge.models.chunked_logprob import answer_hidden, plain_head
from expunge.models.collate import Batch, by_length, collate, pad
from expunge.models.forward import answer_forward, answer_logprob
from expunge.models.likelihoods import LOGPROB_BATCH
from expunge.models.prompt_template import Encoded

MEMORY_BUDGET = 2 << 30  # bytes of cached distributions


def matrix_head(module: Any) -> Any:
    """The output head if it is a frozen matrix and nothing more, so that hidden states give distributions again."""
    head = module.get_output_embeddings()
    return head if not head.weight.requires_grad and plain_head(module) else None


def kept_bytes(module: Any, tokens: int) -> int:
    """Bytes that the distributions at `tokens` answer positions take in the cache."""
    head = module.get_output_embeddings().weight
    return tokens * int(head.shape[1 if matrix_head(module) else 0]) * 4


def too_large(module: Any, tokens: int, budget: int = MEMORY_BUDGET, live: bool = True) -> bool:
    """Are the distributions at `tokens` answer positions too large for the cache, and recomputed at every step?

    Raises:
        InputError: they cannot be recomputed: the old weights are overwritten, or (`live` false) sharded.
    """
    size = kept_bytes(module, tokens)
    if size <= budget:
        return False
    what = f"the reference's distributions would take {size >> 20} MiB"
    if not live:
        raise InputError(
            "recipe: parallel.shard", what, "give fewer records, take retain.loss: ce, or set parallel.shard: false"
        )
    if not hasattr(module, "disable_adapter"):
        raise InputError(
            "train.which: full",
            what,
            "train an adapter (train.which: lora), give fewer records, or take retain.loss: ce",
        )
    return True


class Reference:
    """Cached log-probs per answer token (`logits=False`) or whole distributions of `items`, by their keys.

    Where the head is a frozen matrix and nothing more, the final hidden states [a, H] are cached instead of the
    distributions [a, V].
    """

    def __init__(
        self,
        module: Any,
        items: Mapping[int, Encoded],
        logits: bool,
        rows: int = LOGPROB_BATCH,
        budget: int = MEMORY_BUDGET,
        live: bool = True,
        original: Any = None,
        original_keys: Collection[int] = (),
    ) -> None:
        """Ask the model.

        Args:
            live: distributions larger than `budget` bytes may be recomputed each step; otherwise they are refused.
            original: another model of the same head, asked for `original_keys`; not where they are recomputed.
            original_keys: keys of `items`.
        """
        self._module, self._logits = module, logits
        self._values: dict[int, Tensor] = {}
        self._head = matrix_head(module) if logits else None
        self._live = logits and too_large(module, sum(len(i.answer) for i in items.values()), budget, live)
        if self._live:
            return
        others = set(original_keys) if original is not None else set()
        self._ask(module, {k: item for k, item in items.items() if k not in others}, rows)
        if others:
            self._ask(original, {k: item for k, item in items.items() if k in others}, rows)

    def _ask(self, module: Any, items: Mapping[int, Encoded], rows: int) -> None:
        device = next(module.parameters()).device
        keys = list(items)
        with torch.no_grad(), adapter_off(module):
            for part in by_length([items[k] for k in keys], rows):
                batch = collate([items[keys[k]] for k in part]).to(device)
                values = self._forward(module, batch)
                for row, k in enumerate(part):
                    self._values[keys[k]] = values[row, : len(items[keys[k]].answer)].clone()

    def _forward(self, module: Any, batch: Batch) -> Tensor:
        """What is cached of a batch: [B, A], [B, A, V] or [B, A, H]."""
        if self._head:
            return answer_hidden(module, batch)
        logits = answer_forward(module, batch).logits
        return logits if self._logits else answer_logprob(logits, batch)

    def outputs(self, rows: Sequence[int], batch: Batch) -> ModelOutputs:
        """The reference's `ModelOutputs` for `rows`, padded like `batch`."""
        if self._live:
            with torch.no_grad(), adapter_off(self._module):
                logits = answer_forward(self._module, batch).logits
            return ModelOutputs(answer_logprob(logits, batch), batch.mask, batch.labels, logits)
        values = pad([self._values[k] for k in rows], batch.mask.shape[1])
        if not self._logits:
            return ModelOutputs(values, batch.mask, batch.labels)
        if self._head:
            with torch.no_grad():
                values = nn.functional.linear(values, self._head.weight, getattr(self._head, "bias", None)).float()
        return ModelOutputs(answer_logprob(values, batch), batch.mask, batch.labels, values)

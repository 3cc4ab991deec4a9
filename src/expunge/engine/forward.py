"""Forward passes over the rows of a run, each on the cheapest path that is exact.

Where the lower blocks are frozen their output is computed once per row and kept (`models/prefix_cache.py`); where
nobody asks for distributions and the vocabulary is large, log-probs come from slices of the logits. `about` says
which path runs and, if it is the plain one, why.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from expunge.engine.recipe import Memory
from expunge.models.adapters import block_stack
from expunge.models.chunked_logprob import answer_hidden, answer_logprob_chunked, plain_head
from expunge.models.collate import Batch, collate
from expunge.models.forward import answer_forward, answer_logprob
from expunge.models.frozen_prefix import Boundary, find_boundary
from expunge.models.fused_lora import fuse, unfuse
from expunge.models.language_model import LanguageModel
from expunge.models.last_mlp import find_position_wise_mlp, only_answer_positions
from expunge.models.prefix_cache import TRIAL_ROWS, PrefixCache
from expunge.models.prompt_template import Encoded

LARGE = 16_384  # tokens of a vocabulary from which on logits are taken in slices


@dataclass(frozen=True)
class ForwardOutput:
    """What a pass gave: log p of answer tokens [B, A], float32; their distribution where asked for.

    watched  the hidden state [B, T, H] that enters the first block that runs, with its gradient, where asked for
    """

    batch: Batch
    logprob: Tensor
    logits: Tensor | None = None
    watched: Tensor | None = None

    def only(self, places: Sequence[int]) -> ForwardOutput:
        """The rows at `places`; the pass itself if these are all."""
        if len(places) == len(self.batch):
            return self
        at = torch.tensor(places, device=self.logprob.device)
        return ForwardOutput(self.batch.only(at), self.logprob[at], None if self.logits is None else self.logits[at])


class ForwardRunner:
    """Passes over `items`. `open` at the start of each phase, before which everything runs on the plain path."""

    def __init__(
        self, lm: LanguageModel, items: Sequence[Encoded], memory: Memory, scratch: Path | None = None
    ) -> None:
        self._lm, self._items, self._memory, self._scratch = lm, items, memory, scratch
        self._cache: PrefixCache | None = None
        self._last: nn.Module | None = None  # what of the last block runs at answer positions only
        self._first = 0  # block whose input is watched: where the gradient of the run ends
        head = lm.module.get_output_embeddings().weight
        self._sliced = head.shape[0] >= LARGE and plain_head(lm.module)
        self.about = "plain"

    def open(self, used: Sequence[int]) -> None:
        """Find what is frozen now and compute it for the items `used` in the phase."""
        self.close()
        fuse(self._lm.module)
        if used and not self._memory.checkpointing:  # a block that runs again backward must run as it did
            self._last = find_position_wise_mlp(self._lm.module, self._batch(used[:TRIAL_ROWS]))
        boundary = find_boundary(self._lm.module)
        self._first = boundary.first if isinstance(boundary, Boundary) else 0
        if not self._memory.prefix_cache:
            self.about = "plain: memory.prefix_cache is off"
            return
        items = [self._items[k] for k in used]
        found = PrefixCache.build(self._lm.module, items, budget=self._memory.cache_mib << 20, folder=self._scratch)
        if isinstance(found, str):
            self.about = f"plain: {found}"
            return
        self._cache, self._place = found, {k: place for place, k in enumerate(used)}
        self.about = (
            f"the first {found.boundary.first} of {found.boundary.count} blocks cached, "
            f"{found.bytes / 2**20:.1f} MiB {'in memory' if found.where == 'memory' else 'on disk'}"
        )

    def close(self) -> None:
        if self._cache:
            self._cache.close()
        self._cache = self._last = None
        unfuse(self._lm.module)

    def run(self, rows: Sequence[int], logits: bool, watch: bool = False) -> ForwardOutput:
        """One pass over items `rows`. logits: their distribution is needed; watch: so is the hidden state."""
        batch = self._batch(rows)
        module = self._lm.module
        hidden = None
        if self._cache:
            hidden = self._cache.states([self._place[k] for k in rows], batch)
            context = self._cache.using(hidden.requires_grad_(watch))
        else:
            context = nullcontext()
        with context, only_answer_positions(self._last, batch):
            if self._sliced and not logits and not watch:
                return ForwardOutput(batch, self._from_slices(batch))
            block = None
            if watch and hidden is None:
                stack, _ = block_stack(module)
                block = module.get_submodule(stack)[self._first]
            answers = answer_forward(module, batch, return_input_of=block)
        return ForwardOutput(
            batch,
            answer_logprob(answers.logits, batch),
            answers.logits if logits else None,
            hidden if watch and hidden is not None else answers.hidden,
        )

    def _batch(self, rows: Sequence[int]) -> Batch:
        return collate([self._items[k] for k in rows]).to(self._lm.device)

    def _from_slices(self, batch: Batch) -> Tensor:
        head = self._lm.module.get_output_embeddings()
        found = answer_hidden(self._lm.module, batch)[batch.mask]
        flat = answer_logprob_chunked(found, head.weight, getattr(head, "bias", None), batch.labels[batch.mask])
        return torch.zeros(batch.mask.shape, device=flat.device).masked_scatter(batch.mask, flat)

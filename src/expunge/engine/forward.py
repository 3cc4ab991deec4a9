"""Forward passes over the rows of a run, each on the cheapest exact path.

The output of frozen lower blocks is computed once per row and cached (`models/prefix_cache.py`). With a large
vocabulary, log-probs come from slices of the logits, unless whole distributions are needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from expunge._printable import pluralize
from expunge.engine.recipe_config import Memory
from expunge.errors import first_line
from expunge.methods.base import SaliencyPoint
from expunge.models.adapters import block_stack
from expunge.models.chunked_logprob import answer_hidden, answer_logprob_chunked, plain_head
from expunge.models.collate import Batch, collate
from expunge.models.forward import answer_forward, answer_logprob, relative_difference
from expunge.models.frozen_prefix import Boundary, find_boundary
from expunge.models.fused_lora import fuse, unfuse
from expunge.models.language_model import LanguageModel
from expunge.models.last_mlp import find_position_wise_mlp, only_answer_positions
from expunge.models.prefix_cache import TRIAL_ROWS, PrefixCache
from expunge.models.prompt_template import Encoded
from expunge.models.shared_prefix import continue_prefix, may_share, shared_tokens

LARGE = 16_384  # vocabulary size from which logits are computed in slices


@dataclass(frozen=True)
class ForwardOutput:
    """The result of one pass.

    Attributes:
        batch: the padded rows.
        logprob: log p of the answer tokens, [B, A], float32.
        logits: logits at answer positions, [B, A, V], if requested.
        hidden: input of the first block that trains, or of the first at all (`SaliencyPoint`), [B, T, H], part of the
        graph, if requested.
    """

    batch: Batch
    logprob: Tensor
    logits: Tensor | None = None
    hidden: Tensor | None = None

    def select(self, places: Sequence[int]) -> ForwardOutput:
        """The rows at `places`; this object if these are all rows."""
        if len(places) == len(self.batch):
            return self
        index = torch.tensor(places, device=self.logprob.device)
        logits = None if self.logits is None else self.logits[index]
        return ForwardOutput(self.batch.only(index), self.logprob[index], logits)


class ForwardRunner:
    """Passes over `items`. Before `start_phase` and after `end_phase` they run on the plain path.

    `about` says which path runs and, if it is the plain one, why.
    """

    def __init__(
        self,
        lm: LanguageModel,
        items: Sequence[Encoded],
        memory: Memory,
        scratch: Path | None = None,
        share_prefix: bool = True,
        saliency_point: SaliencyPoint = "first_block",
    ) -> None:
        """Make a runner.

        Args:
            lm: the model.
            items: the rows.
            memory: what is cached.
            scratch: folder of a cache that exceeds the memory budget.
            share_prefix: tokens with which all rows of a pass begin run once; not for gradients of single rows.
            saliency_point: where the hidden state is taken that a pass returns.
        """
        self._lm, self._items, self._memory, self._scratch = lm, items, memory, scratch
        self._cache: PrefixCache | None = None
        self._last: nn.Module | None = None  # part of the last block that runs at answer positions only
        self._point = saliency_point
        self._first = 0  # first block with a gradient
        head = lm.module.get_output_embeddings().weight
        self._sliced = head.shape[0] >= LARGE and plain_head(lm.module)
        self._may_share, self._shares = share_prefix and not memory.checkpointing, False
        self.about = "plain"

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self._lm.device
        return device

    def start_phase(self, rows: Sequence[int]) -> None:
        """Find the frozen blocks and compute their output for `rows`, all that the phase uses."""
        self.end_phase()
        fuse(self._lm.module)
        if rows and not self._memory.checkpointing:  # a recomputed block must run as in the forward pass
            self._last = find_position_wise_mlp(self._lm.module, self._trial(rows))
        boundary = find_boundary(self._lm.module)
        self._first = boundary.first if isinstance(boundary, Boundary) else 0
        self._start_cache(rows)
        if self._may_share and rows:
            self._share(rows[:TRIAL_ROWS])

    def _start_cache(self, rows: Sequence[int]) -> None:
        if not self._memory.prefix_cache:
            self.about = "plain: memory.prefix_cache is off"
            return
        if self._point == "embedding":
            self.about = "plain: token gradients are taken at the embedding, so every block runs"
            return
        items = [self._items[k] for k in rows]
        cache = PrefixCache.build(self._lm.module, items, budget=self._memory.cache_mib << 20, folder=self._scratch)
        if isinstance(cache, str):
            self.about = f"plain: {cache}"
            return
        self._cache, self._place = cache, {k: place for place, k in enumerate(rows)}
        self.about = (
            f"the first {cache.boundary.first} of {pluralize(cache.boundary.count, 'block')} cached, "
            f"{cache.bytes / 2**20:.1f} MiB {'in memory' if cache.where == 'memory' else 'on disk'}"
        )

    @torch.no_grad()
    def _share(self, rows: Sequence[int]) -> None:
        """Share tokens at the start from here on, if a pass over `rows` has some and then gives the same logits."""
        batch = self._batch(rows)
        prefix = shared_tokens(batch)
        if not prefix or not may_share(self._lm.module):
            return
        plain = self.run(rows, logits=True).logits
        assert plain is not None
        self._shares = True
        try:
            logits = self.run(rows, logits=True).logits
            assert logits is not None
            difference = relative_difference(logits[batch.mask], plain[batch.mask])
            why = (
                ""
                if difference <= torch.finfo(plain.dtype).eps ** 0.5
                else f"logits differ by a share of {difference:.2g}"
            )
        except Exception as error:  # a cache that cannot be continued; the plain pass stays
            why = f"a trial pass fails ({type(error).__name__}: {first_line(error)})"
        self._shares = not why
        shared = f"{pluralize(prefix, 'token')} at the start of all rows run once per pass"
        self.about += f"; {shared}" if not why else f"; no tokens are shared: {why}"

    def end_phase(self) -> None:
        """Drop the cache."""
        if self._cache:
            self._cache.close()
        self._cache = self._last = None
        self._shares = False
        unfuse(self._lm.module)

    def run(self, rows: Sequence[int], logits: bool, return_hidden: bool = False) -> ForwardOutput:
        """One pass over `rows`, with logits and the hidden state if requested."""
        batch = self._batch(rows)
        module = self._lm.module
        hidden = self._cache.states([self._place[k] for k in rows], batch) if self._cache else None
        prefix = shared_tokens(batch) if self._shares and not return_hidden else 0
        if prefix:
            part: Batch = continue_prefix(
                module, batch, prefix, hidden, 0 if hidden is None else self._first, self._from_states
            )
            context = self._from_states(None if hidden is None else hidden[:, prefix:])
        else:
            part, context = batch, self._from_states(None if hidden is None else hidden.requires_grad_(return_hidden))
        with context, only_answer_positions(self._last, part):
            if self._sliced and not logits and not return_hidden:
                return ForwardOutput(batch, self._sliced_logprob(part))
            block = None
            if return_hidden and hidden is None:
                stack, _ = block_stack(module)
                block = module.get_submodule(stack)[0 if self._point == "embedding" else self._first]
            answers = answer_forward(module, part, return_input_of=block)
        return ForwardOutput(
            batch,
            answer_logprob(answers.logits, batch),
            answers.logits if logits else None,
            hidden if return_hidden and hidden is not None else answers.hidden,
        )

    def _from_states(self, hidden: Tensor | None) -> AbstractContextManager[None]:
        """Context of a pass that starts from stored states, or from the embedding for None."""
        return nullcontext() if hidden is None or self._cache is None else self._cache.using(hidden)

    def _trial(self, rows: Sequence[int]) -> Batch:
        return self._batch(rows[:TRIAL_ROWS])

    def _batch(self, rows: Sequence[int]) -> Batch:
        return collate([self._items[k] for k in rows]).to(self._lm.device)

    def _sliced_logprob(self, batch: Batch) -> Tensor:
        head = self._lm.module.get_output_embeddings()
        hidden = answer_hidden(self._lm.module, batch)[batch.mask]
        flat = answer_logprob_chunked(hidden, head.weight, getattr(head, "bias", None), batch.labels[batch.mask])
        return torch.zeros(batch.mask.shape, device=flat.device).masked_scatter(batch.mask, flat)

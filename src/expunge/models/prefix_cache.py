"""The frozen-prefix cache of a set of records: find the boundary, compute the states, check them, return them.

It is used only where it is exact: `build` compares one ragged batch with the plain pass, and returns the reason
instead of a cache where they differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from expunge.models.adapters import adapter_off
from expunge.models.collate import Batch, collate
from expunge.models.frozen_prefix import Boundary, below, find_boundary, hidden_states, substitute, why_inexact
from expunge.models.hidden_store import HiddenStore, adapter_state, prefix_key, size
from expunge.models.prompt_template import Encoded

TRIAL_ROWS = 8  # rows of the batch that is compared with the plain pass


@dataclass(frozen=True)
class PrefixCache:
    """Inputs of block `boundary.first` for the records it was built for; see `build`.

    Note:
        It is valid while nothing below the boundary changes. A phase that trains other blocks needs its own cache.
    """

    boundary: Boundary
    _module: nn.Module
    _items: Sequence[Encoded]
    _store: HiddenStore
    _adapters: Sequence[tuple[nn.Module, tuple[str, ...]]]  # below the boundary, where their state matters

    @classmethod
    def build(
        cls,
        module: nn.Module,
        items: Sequence[Encoded],
        *,
        budget: int,
        folder: Path | None = None,
        rows: int = 32,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> PrefixCache | str:
        """The states of `items`, computed in batches of `rows`, or the reason (a clause) why they are not exact.

        For `budget` (bytes) and `folder` see `HiddenStore`.
        """
        boundary = find_boundary(module)
        if isinstance(boundary, str):
            return boundary
        if not items:
            return "there are no records"
        device = next(module.parameters()).device

        def batch_of(part: Sequence[int]) -> Batch:
            return collate([items[k] for k in part]).to(device)

        order = sorted(range(len(items)), key=lambda k: items[k].length)
        try:
            sample = hidden_states(module, boundary, batch_of(order[:1]))
        except RuntimeError as error:
            return str(error)
        on_disk = size(items, sample.shape[-1], sample.dtype) > budget
        key = prefix_key(module, boundary, items, sample.dtype) if on_disk and folder is not None else ""
        store = HiddenStore(items, sample.shape[-1], sample.dtype, budget, folder, key, sample.device)
        store.fill(lambda part: hidden_states(module, boundary, batch_of(part)), rows, on_progress)
        ragged = [order[round(i * (len(order) - 1) / (TRIAL_ROWS - 1))] for i in range(TRIAL_ROWS)]
        batch = batch_of(ragged)
        stored = store.padded(ragged, batch.input_ids.shape[1])
        reason = why_inexact(module, boundary, batch, hidden=stored)
        if reason:
            store.close()
            return reason
        return cls(boundary, module, items, store, _sensitive(module, boundary, batch))

    @property
    def bytes(self) -> int:
        """Size of the states, in memory or on disk."""
        return self._store.bytes

    @property
    def where(self) -> Literal["memory", "disk"]:
        return self._store.where

    def states(self, rows: Sequence[int], batch: Batch) -> Tensor:
        """The stored states [B, T, H] of items `rows`; `RuntimeError` if `batch` does not hold these items."""
        for k, ids in zip(rows, batch.input_ids.tolist(), strict=True):
            expected = self._items[k].prompt + self._items[k].answer
            if tuple(ids[: len(expected)]) != expected:
                raise RuntimeError(f"the batch does not hold record {self._items[k].id} where rows say so")
        return self._store.padded(rows, batch.input_ids.shape[1])

    def using(self, hidden: Tensor) -> AbstractContextManager[None]:
        """Inside, a pass over the batch that `hidden` belongs to runs only what lies above the boundary.

        `RuntimeError` if adapters below the boundary are in another state than when the cache was built.
        """
        return substitute(self._module, self.boundary, hidden, self._check if self._adapters else None)

    def context(self, rows: Sequence[int], batch: Batch) -> AbstractContextManager[None]:
        """`using` the states of items `rows`."""
        return self.using(self.states(rows, batch))

    def _check(self) -> None:
        if any(adapter_state(child) != state for child, state in self._adapters):
            raise RuntimeError("adapters below the boundary are not in the state that the cache was computed in")

    def close(self) -> None:
        """Free the memory and remove a temporary file; one in a named folder stays."""
        self._store.close()


def _sensitive(module: Any, boundary: Boundary, batch: Batch) -> list[tuple[nn.Module, tuple[str, ...]]]:
    """Adapters below the boundary with their state, if switching them off changes the hidden states."""
    held = [(child, state) for _, child in below(module, boundary) if (state := adapter_state(child))]
    if not held or not hasattr(module, "disable_adapter"):
        return held
    with adapter_off(module):
        off = hidden_states(module, boundary, batch)
    return [] if torch.equal(hidden_states(module, boundary, batch), off) else held

"""Which rows are in which batch: a pure function of (seed, step), so a resumed run needs no generator state.

Every row is drawn once per epoch, and no batch holds a row twice: where a batch reaches into the next epoch, that epoch
begins with rows that the batch does not have yet. A global batch is sharded over processes by position, so no two
processes share a row.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from expunge.random import stream


def permutation(count: int, seed: int, purpose: str, epoch: int) -> np.ndarray:
    """The order of `count` rows in an epoch."""
    return stream(seed, purpose, epoch).permutation(count)


@lru_cache(maxsize=64)
def _epochs(size: int, count: int, seed: int, purpose: str) -> list[list[int]]:
    """The orders of the epochs so far; `batch_at` adds to them, since an epoch depends on the one before."""
    return []


def _order(epoch: int, size: int, count: int, seed: int, purpose: str) -> list[int]:
    orders = _epochs(size, count, seed, purpose)
    while len(orders) <= epoch:
        fresh = permutation(count, seed, purpose, len(orders)).tolist()
        carried = len(orders) * count % size  # rows that the batch at the border has from the epoch before
        if carried:
            earlier = set(orders[-1][-carried:])
            head = [k for k in fresh if k not in earlier][: size - carried]
            fresh = head + [k for k in fresh if k not in set(head)]
        orders.append(fresh)
    return orders[epoch]


def chunk_plan(count: int, size: int, steps: int, seed: int) -> list[tuple[list[int], int]]:
    """For every step: the rows of its chunk, and how many earlier steps had the same chunk.

    Rows in an order by the seed are cut into chunks of `size`; the last may be smaller. Chunks follow one another, each
    with a share of the steps in proportion to its rows.
    """
    order = permutation(count, seed, "chunks", 0).tolist()
    chunks = [order[k : k + size] for k in range(0, count, size)]
    plan: list[tuple[list[int], int]] = []
    for number, chunk in enumerate(chunks):
        end = round(steps * min(count, (number + 1) * size) / count)
        plan += [(chunk, turn) for turn in range(end - len(plan))]
    return plan


def batch_at(step: int, size: int, count: int, seed: int, purpose: str) -> list[int]:
    """Rows of the global batch of a step: consecutive in the sequence of epochs, never twice in a batch.

    A batch larger than `count` is cut to `count`.
    """
    size = min(size, count)
    first, offset = divmod(step * size, count)
    rows = _order(first, size, count, seed, purpose)[offset : offset + size]
    return rows + _order(first + 1, size, count, seed, purpose)[: size - len(rows)]

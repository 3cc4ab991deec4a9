"""Which rows stand in which batch: a pure function of (seed, step), so a resumed run needs no generator state.

Every row is seen once per epoch; a global batch is cut into ranks by position, so no two ranks share a row.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, *purpose: object) -> np.random.Generator:
    """A generator of its own for every purpose; equal on every platform."""
    key = hashlib.blake2b("/".join(map(str, (seed, *purpose))).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(key, "big")))


def permutation(count: int, seed: int, purpose: str, epoch: int) -> np.ndarray:
    """The order of `count` rows in an epoch."""
    return stream(seed, purpose, epoch).permutation(count)


def batch_at(step: int, size: int, count: int, seed: int, purpose: str) -> list[int]:
    """Rows of the global batch number `step`: consecutive in the endless row of epochs, never twice in a batch.

    A batch larger than `count` is cut to `count`.
    """
    size = min(size, count)
    start = step * size
    rows: list[int] = []
    position = start
    while len(rows) < size:
        epoch, offset = divmod(position, count)
        order = permutation(count, seed, purpose, epoch)
        for k in order[offset:]:
            position += 1
            if int(k) not in rows:  # an epoch border inside the batch may repeat a row
                rows.append(int(k))
            if len(rows) == size:
                break
    return rows

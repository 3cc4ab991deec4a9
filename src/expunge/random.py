"""Keyed randomness: every random number is a hash of what it is for, and no generator object is shared.

A value depends on the seed and the words of its purpose alone, so no order of iteration, hash seed, process count or
platform can change it. Three generators exist because published splits, synthetic data and runs each depend on theirs:

    uniform                     SHA-256: splits and samples of records by name
    draw, pick, shuffled, permute   BLAKE2b: synthetic data
    stream                      PCG64 seeded by BLAKE2b: arrays of numbers, for training and evaluation
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b, sha256
from typing import TypeVar

import numpy as np

T = TypeVar("T")
SPAN = 2**64  # draws are whole numbers in [0, SPAN)


def uniform(salt: str, name: str) -> float:
    """A number in [0, 1): the first 8 bytes of SHA-256 of `salt:name`."""
    return int.from_bytes(sha256(f"{salt}:{name}".encode()).digest()[:8], "big") / 2**64


def stream(seed: int, *purpose: object) -> np.random.Generator:
    """A generator of its own for every purpose; equal on every platform."""
    key = blake2b("/".join(map(str, (seed, *purpose))).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(key, "big")))


def draw(seed: int, *path: str | int, purpose: str, k: int = 0) -> int:
    """A uniform integer in [0, 2^64): BLAKE2b keyed with `seed` (0 ≤ seed < 2^64) over the rest."""
    message = "\x1f".join((*map(str, path), purpose, str(k)))
    key = seed.to_bytes(8, "big")
    return int.from_bytes(blake2b(message.encode(), digest_size=8, key=key).digest(), "big")


def pick(items: Sequence[T], seed: int, *path: str | int, purpose: str) -> T:
    """One of `items`, each with the same chance."""
    return items[draw(seed, *path, purpose=purpose) % len(items)]


def shuffled(items: Sequence[T], seed: int, *path: str | int, purpose: str) -> list[T]:
    """All `items` in an order given by their draws."""
    ranked = sorted(range(len(items)), key=lambda k: draw(seed, *path, purpose=purpose, k=k))
    return [items[k] for k in ranked]


def permute(index: int, size: int, seed: int, *path: str | int, purpose: str) -> int:
    """Where a keyed permutation of range(size) sends `index`; equal values never come from two indices.

    A balanced Feistel network of four rounds on the next even number of bits, walked until it lands in range.
    """
    half = ((size - 1).bit_length() + 1) // 2 or 1
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for k in range(4):
            left, right = right, left ^ (draw(seed, *path, right, purpose=purpose, k=k) & mask)
        index = left << half | right
        if index < size:
            return index

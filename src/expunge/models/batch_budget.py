"""How much one pass without gradients may hold: rows, tokens, and logits.

Surprising: it is the vocabulary that fills the memory. 128 rows with answers of 20 tokens have 1.3 GB of logits at
128,000 entries, and every operation on them makes another copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """rows: most in a pass; tokens: rows × the longest row, cached tokens included; logits: positions × vocabulary.

    A single row is never cut, so one that is over the budget runs alone.
    """

    rows: int = 128
    tokens: int = 1 << 13
    logits: int = 1 << 24  # 64 MiB in float32, and a handful of copies while they are measured

    def parts(self, sizes: Sequence[tuple[int, int]], vocabulary: int) -> Iterator[list[int]]:
        """Rows of (tokens, positions with logits) in passes within the budget, longest first, so little is padded."""
        order = sorted(range(len(sizes)), key=lambda k: (-sizes[k][0], k))
        part: list[int] = []
        positions = 0
        for k in order:
            positions += sizes[k][1]
            if part and (
                len(part) == self.rows
                or (len(part) + 1) * sizes[part[0]][0] > self.tokens
                or positions * vocabulary > self.logits
            ):
                yield part
                part, positions = [], sizes[k][1]
            part.append(k)
        if part:
            yield part

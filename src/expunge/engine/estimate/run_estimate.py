"""The result of an estimate: what a run takes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

DISK_SPEED = 300 << 20  # bytes per second assumed for writing checkpoints


@dataclass(frozen=True)
class MemoryEstimate:
    """Peak memory of a run in bytes.

    Attributes:
        process: interpreter and libraries with the model loaded, without its weights; 0 on a separate device.
        weights: parameters of the model.
        optimizer: optimizer state and gradients.
        activations: of the largest pass, while preparing or in a step.
        caches: hidden states, references and targets held in memory.
        peak: largest sum of what is held at the same time.
    """

    process: int
    weights: int
    optimizer: int
    activations: int
    caches: int
    peak: int


@dataclass(frozen=True)
class RunEstimate:
    """One run, in seconds of wall clock and bytes.

    Attributes:
        name: which run this is.
        blocks: numbers of the blocks that train.
        block_count: blocks of the model.
        trainable_parameters: number of parameters that train.
        cached_blocks: frozen blocks whose output the last phase reads from the cache; 0 without a cache.
        no_cache_reason: why there is no cache; empty if there is one.
        steps: optimizer steps.
        rows_drawn: rows over all steps.
        distinct_rows: different rows among them.
        load_seconds: loading the model.
        prepare_seconds: targets, references and caches.
        train_seconds: all steps.
        save_seconds: checkpoints and the result.
        slowdown: wall clock per second of work on this machine at present; included in the seconds above.
        memory: peak memory.
        cache_bytes: size of the prefix cache.
        cache_location: where the cache is held; empty without a cache.
        verb: what happens to the blocks, for the output.
        may_stop: whether `steps` is a bound, because the run may stop by itself.
    """

    name: str
    blocks: tuple[int, ...]
    block_count: int
    trainable_parameters: int
    cached_blocks: int
    no_cache_reason: str
    steps: int
    rows_drawn: int
    distinct_rows: int
    load_seconds: float
    prepare_seconds: float
    train_seconds: float
    save_seconds: float
    slowdown: float
    memory: MemoryEstimate
    cache_bytes: int = 0
    cache_location: Literal["", "memory", "file"] = ""
    verb: str = "train"
    may_stop: bool = False

    @property
    def seconds(self) -> float:
        """Wall clock of the whole run."""
        return self.load_seconds + self.prepare_seconds + self.train_seconds + self.save_seconds

    def as_row(self) -> dict[str, Any]:
        """All fields and `seconds`, for JSON."""
        return asdict(self) | {"seconds": self.seconds}

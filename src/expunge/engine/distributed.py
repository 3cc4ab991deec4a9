"""The processes of a run: who takes which rows, sums over all of them, and errors that end all of them alike.

Rows are dealt by position, gradients are added up in one message per step, and what a process does by itself
(reading, writing) stands in a `stage`: where one fails, all fail, and only the first says so. Surprising: inside a
stage nobody may wait for the others, unless what fails there fails in all of them alike.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor

from expunge.errors import InputError
from expunge.models.language_model import default_device

T = TypeVar("T")
MESSAGE = 1 << 28  # bytes: gradients that are larger together go in several messages


def world_size() -> int:
    """Number of processes that `torchrun` or `accelerate launch` says it started; 1 without them."""
    count = os.environ.get("WORLD_SIZE", "1")
    return int(count) if count.isdigit() else 1


class DistributedContext:
    """`count` processes, of which this is number `index`; `accelerator` does the talking, None for a process alone."""

    def __init__(self, accelerator: Any = None) -> None:
        self._accelerator = accelerator
        self.count: int = accelerator.num_processes if accelerator else 1
        self.index: int = accelerator.process_index if accelerator else 0

    @classmethod
    def join(cls, device: str | None = None) -> DistributedContext:
        """The processes that were launched together, this one among them; from now on `cuda` is its own device.

        `InputError` where they do not find each other.
        """
        if world_size() < 2:
            return cls()
        from accelerate import Accelerator

        try:
            joined = cls(Accelerator(cpu=(device or default_device()).startswith("cpu")))
        except (RuntimeError, ValueError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(
                "launch",
                f"the processes did not find each other ({first})",
                "start them with torchrun or accelerate launch; see docs/guides/scale.md",
            ) from error
        atexit.register(_leave)
        return joined

    @property
    def first(self) -> bool:
        """Is this the process that writes and speaks?"""
        return self.index == 0

    @property
    def device(self) -> torch.device:
        """Of this process."""
        found: torch.device = self._accelerator.device
        return found

    # ---- rows -------------------------------------------------------------------------------------------------

    def mine(self, rows: Sequence[int]) -> Sequence[int]:
        """This process's part of a global batch: no two processes share a place in it, and none is left over."""
        return rows[self.index :: self.count]

    def feeds(self, batches: Sequence[Sequence[int]], equal: bool = False) -> list[int]:
        """Rows that this process takes from `batches`, each once, sorted.

        equal  add rows of others until all processes have as many, for work that they can only do together
        """
        dealt = [{k for batch in batches for k in batch[index :: self.count]} for index in range(self.count)]
        own = dealt[self.index]
        missing = max(map(len, dealt)) - len(own) if equal else 0
        return sorted(own | set(sorted(set().union(*dealt) - own)[:missing]))

    # ---- sums -------------------------------------------------------------------------------------------------

    def total(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Every tensor summed over the processes, in one message per dtype and `MESSAGE` bytes."""
        found = list(values)
        if self.count == 1:
            return found
        for part in _messages(found):
            flat = self._accelerator.reduce(torch.cat([found[k].reshape(-1) for k in part]), "sum")
            for k, piece in zip(part, flat.split([found[k].numel() for k in part]), strict=True):
                found[k] = piece.view(found[k].shape)
        return found

    def most(self, count: int) -> int:
        """The largest `count` that a process has."""
        return count if self.count == 1 else int(self._accelerator.reduce(self._number(count), "max"))

    def any(self, flag: bool) -> bool:
        """Is `flag` set in any process?"""
        return bool(self.most(int(flag)))

    def _number(self, value: int) -> Tensor:
        return torch.tensor([value], device=self._accelerator.device)

    def joined(self, values: Tensor) -> Tensor:
        """The 1-d tensors of all processes, which may differ in length, one after the other."""
        if self.count == 1:
            return values
        lengths = self._accelerator.gather(self._number(len(values))).tolist()
        longest = max(lengths)
        padded = torch.nn.functional.pad(values, (0, longest - len(values)))
        found = self._accelerator.gather(padded).view(self.count, longest) if longest else values.expand(self.count, 0)
        return torch.cat([row[:length] for row, length in zip(found, lengths, strict=True)])

    # ---- what a process does by itself ------------------------------------------------------------------------

    @contextmanager
    def stage(self) -> Iterator[None]:
        """Wait at the end until all are there. An `InputError` of one is raised by all; see the module text."""
        if self.count == 1:
            yield
            return
        mine: InputError | None = None
        try:
            yield
        except InputError as error:
            mine = error
        if self.any(mine is not None):
            said: list[Any] = [None] * self.count
            torch.distributed.all_gather_object(said, mine and (type(mine), mine.where, mine.what, mine.hint))
            kind, *words = next(s for s in said if s)
            shared: InputError = kind(*words)
            shared.silent = not self.first
            raise shared from mine

    @contextmanager
    def alike(self) -> Iterator[None]:
        """An `InputError` that leaves this block leaves it in all processes: only the first has to say it."""
        try:
            yield
        except InputError as error:
            error.silent = not self.first
            raise

    def broadcast_from_main(self, work: Callable[[], T]) -> T:
        """What `work` gives in the first process, given to all of them."""
        found: list[Any] = [None]
        with self.stage():
            if self.first:
                found = [work()]
        if self.count > 1:
            torch.distributed.broadcast_object_list(found)
        result: T = found[0]
        return result

    def main_process_first(self, work: Callable[[], T]) -> T:
        """What `work` gives here; the others begin when the first is done."""
        found: list[T] = []
        for turn in (True, False):
            with self.stage():
                if self.first is turn:
                    found.append(work())
        return found[0]


def _messages(values: Sequence[Tensor]) -> list[list[int]]:
    """Places in `values` that go together: of one dtype, and of at most `MESSAGE` bytes unless one alone is larger."""
    parts: list[list[int]] = []
    for dtype in dict.fromkeys(v.dtype for v in values):
        size = MESSAGE + 1
        for k in (k for k, v in enumerate(values) if v.dtype == dtype):
            if size + values[k].nbytes > MESSAGE:
                parts.append([])
                size = 0
            parts[-1].append(k)
            size += values[k].nbytes
    return parts


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()

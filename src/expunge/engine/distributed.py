"""The processes of a run: which rows each takes, sums over all of them, and errors that end all of them alike.

Rows are dealt by position and gradients are summed in one message per step. What a process does by itself (reading,
writing) belongs in a `synchronized` block: where one process fails, all fail, and only the first reports it.

Note: no process may wait for others inside a `synchronized` block, unless a failure there is the same in all of them.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor

from expunge.errors import InputError
from expunge.models.language_model import default_device

T = TypeVar("T")
MESSAGE = 1 << 28  # most bytes of tensors summed in one message


def world_size() -> int:
    """Number of processes that `torchrun` or `accelerate launch` says it started; 1 without them."""
    count = os.environ.get("WORLD_SIZE", "1")
    return int(count) if count.isdigit() else 1


def check_single_process(reason: str) -> None:
    """`InputError` if several processes were launched for a run that is limited to one; empty `reason`: no limit."""
    if reason and world_size() > 1:
        raise InputError("launch", f"{reason} runs in one process", "start it without torchrun or accelerate launch")


class DistributedContext:
    """This process among those of the run; `accelerator` is None for a single process."""

    def __init__(self, accelerator: Any = None) -> None:
        self._accelerator = accelerator
        self.num_processes: int = accelerator.num_processes if accelerator else 1
        self.process_index: int = accelerator.process_index if accelerator else 0

    @classmethod
    def init(cls, device: str | None = None) -> DistributedContext:
        """Join the launched processes; afterwards `cuda` is this process's own device.

        Raises:
            InputError: the processes do not find each other.
        """
        if world_size() < 2:
            return cls()
        from accelerate import Accelerator

        try:
            context = cls(Accelerator(cpu=(device or default_device()).startswith("cpu")))
        except (RuntimeError, ValueError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(
                "launch",
                f"the processes did not find each other ({first})",
                "start them with torchrun or accelerate launch; see docs/guides/multi-gpu.md",
            ) from error
        atexit.register(_destroy_process_group)
        return context

    @classmethod
    def of(cls, device: torch.device) -> DistributedContext:
        """The processes of a run whose model is on `device`, already joined or a single one."""
        from accelerate import Accelerator

        return cls(Accelerator(cpu=device.type == "cpu"))

    @property
    def is_main_process(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.process_index == 0

    @property
    def device(self) -> torch.device:
        """Device of this process."""
        device: torch.device = self._accelerator.device
        return device

    def shard(self, rows: Sequence[int]) -> Sequence[int]:
        """This process's part of a global batch; the parts are disjoint and cover it."""
        return rows[self.process_index :: self.num_processes]

    def assigned_rows(self, batches: Iterable[Sequence[int]], equal: bool = False) -> list[int]:
        """Rows that this process takes from `batches`, each once, sorted.

        Args:
            batches: global batches of row numbers.
            equal: add rows of other processes until all have equally many, for work that needs all processes.
        """
        dealt: list[set[int]] = [set() for _ in range(self.num_processes)]
        for batch in batches:
            for index, rows in enumerate(dealt):
                rows.update(batch[index :: self.num_processes])
        own = dealt[self.process_index]
        missing = max(map(len, dealt)) - len(own) if equal else 0
        return sorted(own | set(sorted(set().union(*dealt) - own)[:missing]))

    def all_reduce_sum(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Every tensor summed over the processes, in one message per dtype and `MESSAGE` bytes."""
        sums = list(values)
        if self.num_processes == 1:
            return sums
        for part in _messages(sums):
            flat = self._accelerator.reduce(torch.cat([sums[k].reshape(-1) for k in part]), "sum")
            for k, piece in zip(part, flat.split([sums[k].numel() for k in part]), strict=True):
                sums[k] = piece.view(sums[k].shape)
        return sums

    def all_reduce_max(self, count: int) -> int:
        """The largest `count` of any process."""
        return count if self.num_processes == 1 else int(self._accelerator.reduce(self._number(count), "max"))

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set in any process."""
        return bool(self.all_reduce_max(int(flag)))

    def _number(self, value: int) -> Tensor:
        return torch.tensor([value], device=self._accelerator.device)

    def all_gather_ragged(self, values: Tensor) -> Tensor:
        """The 1-d tensors of all processes, of any lengths, concatenated in process order."""
        if self.num_processes == 1:
            return values
        lengths = self._accelerator.gather(self._number(len(values))).tolist()
        longest = max(lengths)
        padded = torch.nn.functional.pad(values, (0, longest - len(values)))
        rows = (
            self._accelerator.gather(padded).view(self.num_processes, longest)
            if longest
            else values.expand(self.num_processes, 0)
        )
        return torch.cat([row[:length] for row, length in zip(rows, lengths, strict=True)])

    @contextmanager
    def synchronized(self) -> Iterator[None]:
        """Wait at the end for all processes; an `InputError` of one is raised by all. See the note of the module."""
        if self.num_processes == 1:
            yield
            return
        own: InputError | None = None
        try:
            yield
        except InputError as error:
            own = error
        if self.any(own is not None):
            errors: list[Any] = [None] * self.num_processes
            torch.distributed.all_gather_object(errors, own and (type(own), own.where, own.what, own.hint))
            kind, *parts = next(e for e in errors if e)
            shared: InputError = kind(*parts)
            shared.silent = not self.is_main_process
            raise shared from own

    @contextmanager
    def report_once(self) -> Iterator[None]:
        """An `InputError` that leaves this block does so in all processes; only the first reports it."""
        try:
            yield
        except InputError as error:
            error.silent = not self.is_main_process
            raise

    def broadcast_from_main(self, work: Callable[[], T]) -> T:
        """The result of `work` in the first process, sent to all of them."""
        result: list[Any] = [None]
        with self.synchronized():
            if self.is_main_process:
                result = [work()]
        if self.num_processes > 1:
            torch.distributed.broadcast_object_list(result)
        value: T = result[0]
        return value

    def main_process_first(self, work: Callable[[], T]) -> T:
        """The result of `work` here; the other processes begin when the first is done."""
        results: list[T] = []
        for turn in (True, False):
            with self.synchronized():
                if self.is_main_process is turn:
                    results.append(work())
        return results[0]


def _messages(values: Sequence[Tensor]) -> list[list[int]]:
    """Positions in `values` sent together: one dtype, at most `MESSAGE` bytes unless a single tensor is larger."""
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


def _destroy_process_group() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()

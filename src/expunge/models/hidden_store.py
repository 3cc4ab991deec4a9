"""Hidden states of many records, unpadded, one after the other: in memory or in a memory-mapped file.

The file is written under a temporary name and renamed when it is whole. It is written with plain writes, not
through the mapping, where a full disk would kill the process. Behind the states stand their key and their SHA-256.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, Literal

import torch
from torch import Tensor, nn

from expunge._io import PART, digest, lock_exclusively, sync
from expunge.errors import InputError, InputWarning
from expunge.models.collate import by_length
from expunge.models.frozen_prefix import Boundary, below
from expunge.models.prompt_template import Encoded

Compute = Callable[[list[int]], Tensor]
OnProgress = Callable[[int, int], None]

CHECKSUM = hashlib.sha256().digest_size  # bytes
CHUNK = 1 << 20  # bytes read at once


def size(items: Sequence[Encoded], width: int, dtype: torch.dtype) -> int:
    """Bytes that the hidden states of `items` take."""
    return sum(i.length for i in items) * width * dtype.itemsize


def prefix_key(module: nn.Module, boundary: Boundary, items: Sequence[Encoded], dtype: torch.dtype) -> str:
    """SHA-256 of what the stored states depend on.

    That is: frozen weights and buffers below the boundary, the configuration of the model and its adapters, the
    boundary, token ids and images, and the dtype.
    """
    weights, ids = hashlib.sha256(), hashlib.sha256()
    adapters = []
    for name, child in below(module, boundary):
        for key, tensor in sorted({**child._parameters, **child._buffers}.items()):
            if tensor is not None and not tensor.requires_grad:  # trainable tensors act above the boundary
                weights.update(f"{name}.{key} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
                weights.update(_bytes(tensor))
        adapters.append(adapter_state(child))
    for item in items:
        ids.update(f"{item.prompt + item.answer}{item.image.digest if item.image else ''}".encode())
    settings = [repr(getattr(module, name, None)) for name in ("config", "peft_config")]
    place = [boundary.stack, boundary.first, boundary.count]
    state = [str(dtype), weights.hexdigest(), ids.hexdigest(), repr(adapters)]
    return digest([type(module).__name__, settings, *place, *state])


def adapter_state(module: nn.Module) -> tuple[str, ...] | None:
    """Which adapters of a peft layer are active; None for any other module."""
    off = getattr(module, "disable_adapters", None)
    if not isinstance(off, bool):
        return None
    return tuple(f"{n}={getattr(module, n, ())}" for n in ("disable_adapters", "active_adapters", "merged_adapters"))


def _bytes(tensor: Tensor) -> memoryview:
    raw: Any = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return memoryview(raw)


class HiddenStore:
    """States [T_k, width] of `items`, computed by `fill` unless `ready`; `where` is "memory" or "disk".

    Args:
        budget_bytes: Size above which the states go to a file.
        folder: Where the file stays, to be used again by a store of equal `key`; None for a temporary one, removed
            when the store is closed or dropped.
        key: What the states depend on; see `prefix_key`.
        device: Where `padded` puts its result.
    """

    def __init__(
        self,
        items: Sequence[Encoded],
        width: int,
        dtype: torch.dtype,
        budget_bytes: int,
        folder: Path | None,
        key: str,
        device: torch.device | str = "cpu",
    ) -> None:
        self._items, self._width, self._dtype, self._device = items, width, dtype, torch.device(device)
        self._starts = [0, *accumulate(i.length for i in items)]
        self._key = key.encode()
        self._flat: Tensor | None = None
        self.bytes = size(items, width, dtype)
        self.where: Literal["memory", "disk"] = "memory" if self.bytes <= budget_bytes else "disk"
        self._named = self._folder = folder
        self._clean: Callable[[], object] = lambda: None
        if self.where == "disk" and folder is not None and self._is_whole():
            self._map()

    @property
    def ready(self) -> bool:
        """Whether the states are there, so that `fill` has nothing to do."""
        return self._flat is not None

    def fill(self, compute: Compute, rows: int = 32, on_progress: OnProgress | None = None) -> None:
        """Compute the states if they are missing, in calls of `compute` for at most `rows` items of similar length.

        `compute` gives [B, T, H], padded on the right. `on_progress` gets (done, all) in items. A full disk or a
        folder that cannot be written is an `InputError` and leaves nothing there.
        """
        if self.ready:
            return
        states = self._compute(compute, rows, on_progress)
        if self.where == "memory":
            flat = torch.empty((self._starts[-1], self._width), dtype=self._dtype)
            for k, state in states:
                flat[self._starts[k] : self._starts[k + 1]] = state
            self._flat = flat
            return
        part = None
        try:
            self._folder = self._named or self._temporary()
            self._folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            handle, part = tempfile.mkstemp(dir=self._folder, prefix=".hidden-", suffix=PART)
            with os.fdopen(handle, "w+b") as stream:
                self._write(stream, states)
            Path(part).replace(self._file)
            sync(self._folder)
        except OSError as error:
            raise InputError(
                str(self._folder),
                f"hidden states of {self.bytes / 2**20:.0f} MiB could not be written ({error.strerror or error})",
                "free some space, choose another folder, or do without the cache; nothing was left there",
            ) from error
        finally:
            if part:
                Path(part).unlink(missing_ok=True)
            if self._folder is None or not self._file.exists():
                self._clean()
        self._map()

    def _write(self, stream: BinaryIO, states: Iterable[tuple[int, Tensor]]) -> None:
        lock_exclusively(stream, wait=True)
        for k, state in states:
            stream.seek(self._starts[k] * self._width * self._dtype.itemsize)
            stream.write(_bytes(state))
        checksum = self._checksum(stream) if self._named else b""  # a temporary file is not read again
        stream.seek(self.bytes)
        stream.write(self._key + checksum)
        stream.flush()
        os.fsync(stream.fileno())

    def _compute(self, compute: Compute, rows: int, on_progress: OnProgress | None) -> Iterator[tuple[int, Tensor]]:
        """(item, its state [T, H]) of all items, in batches of similar length."""
        done = 0
        for part in by_length(self._items, rows):
            hidden = compute(part)
            if hidden.dtype != self._dtype or hidden.shape[-1] != self._width:
                raise RuntimeError(
                    f"states {hidden.dtype} [… {hidden.shape[-1]}] do not fit a store {self._dtype} [… {self._width}]"
                )
            for row, k in enumerate(part):
                yield k, hidden[row, : self._items[k].length]
            done += len(part)
            if on_progress:
                on_progress(done, len(self._items))

    def padded(self, rows: Sequence[int], length: int) -> Tensor:
        """States of `rows`, [B, length, H] on the device, zeros behind; `length` is at least the longest row."""
        if self._flat is None:
            raise RuntimeError("the store is not filled, or it is closed")
        out = torch.zeros((len(rows), length, self._width), dtype=self._dtype)
        for row, k in enumerate(rows):
            out[row, : self._items[k].length] = self._flat[self._starts[k] : self._starts[k + 1]]
        return out.to(self._device)

    def close(self) -> None:
        """Free the memory and remove a temporary file; one in `folder` stays."""
        self._flat = None
        self._clean()

    def _temporary(self) -> Path:
        folder = tempfile.mkdtemp(prefix="expunge-")
        self._clean = weakref.finalize(self, shutil.rmtree, folder, True)
        return Path(folder)

    @property
    def _file(self) -> Path:
        assert self._folder is not None
        return self._folder / f"hidden-{self._key.decode()[:16]}.bin"

    def _is_whole(self) -> bool:
        """Whether the file holds these states; an `InputWarning` names one that is damaged."""
        try:
            with self._file.open("rb") as stream:
                stream.seek(self.bytes)
                end = stream.read(len(self._key) + CHECKSUM + 1)
                whole = end == self._key + self._checksum(stream)
        except OSError:
            return False
        is_other = len(end) == len(self._key) + CHECKSUM and not end.startswith(self._key)  # keys that begin alike
        if not whole and not is_other:
            warnings.warn(f"{self._file}: is damaged; the states are computed again", InputWarning, stacklevel=4)
        return whole

    def _checksum(self, stream: BinaryIO) -> bytes:
        """SHA-256 of the states and the key, which `stream` holds."""
        stream.flush()
        stream.seek(0)
        total, left = hashlib.sha256(self._key), self.bytes
        while left > 0 and (chunk := stream.read(min(left, CHUNK))):
            total.update(chunk)
            left -= len(chunk)
        return total.digest()

    def _map(self) -> None:
        count = self.bytes // self._dtype.itemsize
        flat = torch.from_file(str(self._file), shared=False, size=count, dtype=self._dtype)
        self._flat = flat.view(-1, self._width)

    def _sweep(self) -> None:
        """Remove files of killed processes; a file that is being written is locked by its writer."""
        assert self._folder is not None
        for part in self._folder.glob(f".hidden-*{PART}"):
            with suppress(OSError), part.open("r+b") as stream:
                if lock_exclusively(stream) and part.stat().st_size:  # an empty one may be about to be locked
                    part.unlink()

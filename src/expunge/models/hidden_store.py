"""Hidden states of many records, unpadded, one after the other: in memory, or in one file that is mapped.

The file is written in order to be renamed: under its own name it is whole. It is written with plain writes, not
through the mapping, since a full disk then is an error and not the death of the process.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, Literal

import torch
from torch import Tensor, nn

from expunge._io import digest
from expunge.errors import InputError
from expunge.models.collate import by_length
from expunge.models.frozen_prefix import Boundary, below
from expunge.models.prompt_template import Encoded

try:
    import fcntl
except ImportError:  # no locks on this system: what a killed process left then stays
    fcntl = None  # type: ignore[assignment]


def size(items: Sequence[Encoded], width: int, dtype: torch.dtype) -> int:
    """Bytes that the hidden states of `items` take."""
    return sum(i.length for i in items) * width * dtype.itemsize


def prefix_key(module: nn.Module, boundary: Boundary, items: Sequence[Encoded], dtype: torch.dtype) -> str:
    """SHA-256 of all that the stored states depend on: frozen weights and buffers below the boundary, settings of
    the model and its adapters, the boundary, the token ids, the dtype."""
    weights, ids = hashlib.sha256(), hashlib.sha256()
    adapters = []
    for name, child in below(module, boundary):
        own = {**child._parameters, **child._buffers}
        for key, tensor in sorted(own.items()):
            if tensor is None or tensor.requires_grad:  # what trains acts above the boundary
                continue
            weights.update(f"{name}.{key} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
            weights.update(_bytes(tensor))
        adapters.append(adapter_state(child))
    for item in items:
        ids.update(f"{item.prompt + item.answer}{item.image.digest if item.image else ''}".encode())
    settings = [repr(getattr(module, name, None)) for name in ("config", "peft_config")]
    return digest(
        [
            type(module).__name__,
            settings,
            boundary.stack,
            boundary.first,
            boundary.count,
            str(dtype),
            weights.hexdigest(),
            ids.hexdigest(),
            repr(adapters),
        ]
    )


def adapter_state(module: nn.Module) -> tuple[str, ...] | None:
    """Which adapters of a peft layer act; None for any other module."""
    off = getattr(module, "disable_adapters", None)
    if not isinstance(off, bool):
        return None
    return tuple(f"{n}={getattr(module, n, ())}" for n in ("disable_adapters", "active_adapters", "merged_adapters"))


def _bytes(tensor: Tensor) -> memoryview:
    raw: Any = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return memoryview(raw)


class HiddenStore:
    """States [T_k, H] of `items`, to be computed by `fill` unless `ready`.

    width         H
    budget_bytes  more than this goes to a file
    folder        of that file, which stays and is used again by a store of equal `key`; None: a temporary one,
                  gone when the store is closed or dropped, at the latest when the program ends
    device        where `padded` puts its result
    `where` is "memory" or "disk", `bytes` what the states take there.
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
        if self.where == "disk" and folder is not None and self._whole():
            self._map()

    @property
    def ready(self) -> bool:
        """Are the states there, so that `fill` has nothing to do?"""
        return self._flat is not None

    def fill(
        self,
        compute: Callable[[list[int]], Tensor],
        rows: int = 32,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Compute what is missing: `compute(rows)` gives [B, T, H] for rows of similar length, padded on the right.

        `on_progress(done, all)` counts items. `InputError` if the disk is full or the folder cannot be written:
        then nothing is left behind.
        """
        if self.ready:
            return
        if self.where == "memory":
            flat = torch.empty((self._starts[-1], self._width), dtype=self._dtype)

            def put(k: int, states: Tensor) -> None:
                flat[self._starts[k] : self._starts[k + 1]] = states

            self._each(compute, put, rows, on_progress)
            self._flat = flat
            return
        try:
            self._folder = self._named or self._temporary()
            self._folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            handle, part = tempfile.mkstemp(dir=self._folder, prefix=".hidden-", suffix=".part")
        except OSError as error:
            raise self._unwritten(error) from error
        try:
            with os.fdopen(handle, "wb") as stream:
                self._write(stream, compute, rows, on_progress)
            Path(part).replace(self._file)
        except OSError as error:
            raise self._unwritten(error) from error
        finally:
            Path(part).unlink(missing_ok=True)
            if not self._file.exists():
                self._clean()
        self._map()

    def _write(
        self,
        stream: BinaryIO,
        compute: Callable[[list[int]], Tensor],
        rows: int,
        on_progress: Callable[[int, int], None] | None,
    ) -> None:
        if fcntl:
            fcntl.flock(stream, fcntl.LOCK_EX)

        def put(k: int, states: Tensor) -> None:
            stream.seek(self._starts[k] * self._width * self._dtype.itemsize)
            stream.write(_bytes(states))

        self._each(compute, put, rows, on_progress)
        stream.seek(self.bytes)
        stream.write(self._key)
        stream.flush()
        os.fsync(stream.fileno())

    def _each(
        self,
        compute: Callable[[list[int]], Tensor],
        put: Callable[[int, Tensor], None],
        rows: int,
        on_progress: Callable[[int, int], None] | None,
    ) -> None:
        done = 0
        for part in by_length(self._items, rows):
            hidden = compute(part)
            if hidden.dtype != self._dtype or hidden.shape[-1] != self._width:
                raise RuntimeError(
                    f"states {hidden.dtype} [… {hidden.shape[-1]}] do not fit a store {self._dtype} [… {self._width}]"
                )
            for row, k in enumerate(part):
                put(k, hidden[row, : self._items[k].length])
            done += len(part)
            if on_progress:
                on_progress(done, len(self._items))

    def padded(self, rows: Sequence[int], length: int) -> Tensor:
        """States of `rows` as [B, length, H] on the device, zeros behind; `length` is at least the longest row."""
        if self._flat is None:
            raise RuntimeError("the store is not filled, or it is closed")
        out = torch.zeros((len(rows), length, self._width), dtype=self._dtype)
        for row, k in enumerate(rows):
            out[row, : self._items[k].length] = self._flat[self._starts[k] : self._starts[k + 1]]
        return out.to(self._device)

    def close(self) -> None:
        """Give memory back and remove a temporary file; one in `folder` stays."""
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

    def _whole(self) -> bool:
        try:
            with self._file.open("rb") as stream:
                stream.seek(self.bytes)
                return stream.read(len(self._key) + 1) == self._key
        except OSError:
            return False

    def _map(self) -> None:
        count = self.bytes // self._dtype.itemsize
        flat = torch.from_file(str(self._file), shared=False, size=count, dtype=self._dtype)
        self._flat = flat.view(-1, self._width)

    def _sweep(self) -> None:
        """Remove what killed processes left; a file that is being written is locked by its writer."""
        assert self._folder is not None
        for part in self._folder.glob(".hidden-*.part") if fcntl else ():
            with suppress(OSError), part.open("r+b") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if part.stat().st_size:  # an empty one may be about to be locked
                    part.unlink()

    def _unwritten(self, error: OSError) -> InputError:
        return InputError(
            str(self._folder),
            f"hidden states of {self.bytes / 2**20:.0f} MiB could not be written ({error.strerror or error})",
            "free some space, choose another folder, or do without the cache; nothing was left there",
        )

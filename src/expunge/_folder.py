"""A folder that one process writes: its lock, the leftovers of a killed writer, and whether it is free."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import wraps
from inspect import signature
from pathlib import Path
from types import TracebackType
from typing import IO, Any, ParamSpec, Self, TypeVar

from expunge._io import PART, lock_exclusively
from expunge.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")
LOCK = "lock"
NEW = ".new"  # folder in which a model is written before its files are moved
CHECKPOINT = "checkpoint"
INNER = (CHECKPOINT, "cache", "scores", "model", "adapter")  # folders that a writer makes in its own
TEMPORARY = re.compile(rf"\..+\.\w{{8}}{re.escape(PART)}")  # as `write_atomic` names them
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
ATTEMPTS = 100  # to lock a file that its last holder does not remove in the same moment


class FolderLock:
    """The lock of a folder, from its making to `release`. The folder is made if it is not there.

    The system releases the lock of a process that dies; the file `lock` that stays then blocks nobody.
    """

    def __init__(self, folder: Path, work: str) -> None:
        """Take the lock; `work` says what is made in the folder, for example `run`.

        Raises:
            InputError: another process holds the lock, or the folder or its lock cannot be made.
        """
        self.folder = folder
        self._made = [place for place in (folder, *folder.parents) if not place.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            what = f"could not be made ({error.strerror or error})"
            raise InputError(str(folder), what, "choose another folder") from error
        try:
            self._stream: IO[Any] | None = self._taken(work)
        except BaseException:
            self._remove_folders()
            raise

    def _taken(self, work: str) -> IO[Any]:
        path = self.folder / LOCK
        for _ in range(ATTEMPTS):
            stream = _open_lock(path)
            if lock_exclusively(stream) is False:
                stream.close()
                what = f"another process is writing this {work}"
                raise InputError(str(self.folder), what, "wait for it to end, or choose another folder")
            if _is_at(stream, path):
                return stream
            stream.close()
        raise InputError(str(path), "is made and removed all the time", "stop the other processes in this folder")

    def release(self) -> None:
        """Remove the lock, and folders that it made and that stayed empty."""
        if self._stream:
            with suppress(OSError):
                (self.folder / LOCK).unlink()
            self._stream.close()
            self._stream = None
            self._remove_folders()

    def _remove_folders(self) -> None:
        with suppress(OSError):
            for place in self._made:
                place.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _open_lock(path: Path) -> IO[Any]:
    """The lock file, neither emptied nor followed where it is a link."""
    try:
        stream = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o666), "r+b", buffering=0)
    except OSError as error:
        kind = "a link" if path.is_symlink() else "a folder" if path.is_dir() else ""
        what = f"is {kind}, not a lock" if kind else f"could not be opened ({error.strerror or error})"
        raise InputError(str(path), what, "remove it" if kind else "choose another folder") from error
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise InputError(str(path), "is no file, so not a lock", "remove it")
    return stream


def _is_at(stream: IO[Any], path: Path) -> bool:
    """Whether `path` is still the open file, which its last holder may have removed in between."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.lstat())
    except OSError:
        return False


def hold_lock(work: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator: the folder that the argument `out` names is locked while the function runs."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parameters = signature(function)

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            out = Path(parameters.bind(*args, **kwargs).arguments["out"])
            check_folder(out, work)
            with FolderLock(out, work):
                sweep(out)
                return function(*args, **kwargs)

        return call

    return decorate


def check_folder(folder: Path, work: str) -> None:
    """`InputError` for a place that can hold no folder: a file, or a link that leads nowhere."""
    if folder.is_symlink() and not folder.exists():
        raise InputError(str(folder), "is a link that leads nowhere", f"name a folder for the {work}")
    if folder.exists() and not folder.is_dir():
        raise InputError(str(folder), "is a file", f"name a folder for the {work}")


def is_free(folder: Path, *own: str) -> bool:
    """Whether a folder is missing, empty, or holds only what a killed writer left, and files named `own`."""
    names = {LOCK, *own}
    return not folder.is_dir() or all(
        _is_temporary(entry) or entry.name in names or _is_checkpoint(entry) for entry in folder.iterdir()
    )


def sweep(folder: Path, *names: str) -> None:
    """Remove `names`, and temporary files of a killed writer in the folder and in those that a writer makes in it.

    The caller holds the lock of the folder. A folder with a lock of its own is another writer's.
    """
    entries = list(folder.iterdir()) if folder.is_dir() else []
    own = (e for e in entries if e.name in names and (e.name != CHECKPOINT or _is_checkpoint(e)))
    remove([*filter(_is_temporary, entries), *own])
    for inner in (e for e in entries if e.name in INNER and e.is_dir() and not e.is_symlink()):
        if not (inner / LOCK).exists():
            remove([*filter(_is_temporary, inner.iterdir())])


def has_leftovers(folder: Path, *names: str) -> bool:
    """Whether `sweep` would remove something, or a killed writer left its lock."""
    return any(_is_temporary(entry) or entry.name in (LOCK, *names) for entry in folder.iterdir())


def remove(entries: Iterable[Path]) -> None:
    """Remove files, links and whole folders, as far as possible."""
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            with suppress(OSError):
                entry.unlink()


def _is_temporary(entry: Path) -> bool:
    return entry.name == NEW or bool(TEMPORARY.fullmatch(entry.name))


def _is_checkpoint(entry: Path) -> bool:
    """Whether a folder is a checkpoint of ours, and nobody's folder of that name."""
    states = {"last", "previous", NEW}
    return entry.name == CHECKPOINT and entry.is_dir() and {e.name for e in entry.iterdir()} <= states

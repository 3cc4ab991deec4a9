"""Runs one `expunge` command as a child process in a group of its own, which can be stopped as a whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import expunge
from expunge._io import parse_json, write_atomic
from expunge.desk.leases import process_start
from expunge.errors import InputError

ENTRY = "expunge.cli.child"
POLL_SECONDS = 0.2
GRACE_SECONDS = 30.0
STOPPED = -1  # code of a child that was stopped on request
NOT_RUN = 1  # code of a command that a launcher did not run


@dataclass(frozen=True)
class ChildResult:
    """How a command ended: its exit code (`STOPPED` if it was stopped), and the object that it printed."""

    code: int
    data: dict[str, Any] = field(repr=False)

    @property
    def done(self) -> bool:
        """Whether it did its work: code 0, or 3 for an audit that did not pass."""
        return self.code in (0, 3)


def run_child(
    words: Sequence[str],
    folder: Path,
    name: str,
    *,
    started: Callable[[int], None],
    stop: Callable[[], bool],
    every: float = 1.0,
    launcher: Sequence[str] = (),
) -> ChildResult:
    """Run `expunge WORDS` in a folder until it ends or is stopped.

    What it prints stays in the folder, in `name.json` and `name.log`, which only the owner can read.

    Args:
        words: the command line; it goes through standard input.
        folder: working directory.
        name: name of the two files.
        started: called with the process id.
        stop: asked every `every` seconds whether to stop.
        every: seconds between two questions.
        launcher: words that start a command elsewhere, such as `srun --gres=gpu:1`. It must wait for the command, hand
            on standard input and SIGTERM, and end with its code.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomic(folder / f"{name}.words.json", json.dumps(list(words)), private=True)
    out, log = folder / f"{name}.json", folder / f"{name}.log"
    with (
        _private(out, "wb") as stdout,
        _private(log, "ab") as stderr,
        (folder / f"{name}.words.json").open("rb") as stdin,
    ):
        try:
            child = subprocess.Popen(
                [*launcher, sys.executable, "-m", ENTRY],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": _same_code()},
                start_new_session=True,
            )
        except OSError as error:
            stderr.write(f"the launcher could not be started ({error.strerror})\n".encode())
            return ChildResult(NOT_RUN, {})
    since = time.monotonic()
    try:
        started(child.pid)
        while child.poll() is None:
            time.sleep(POLL_SECONDS)
            if time.monotonic() - since >= every:
                since = time.monotonic()
                if stop():
                    end_group(child.pid, child)
                    return ChildResult(STOPPED, {})
    finally:
        if child.poll() is None:
            end_group(child.pid, child)
    if launcher and child.returncode == 0 and not out.stat().st_size:  # every command prints what it did
        with _private(log, "ab") as stderr:
            stderr.write(b"the launcher ended with code 0, and the command printed nothing: did it wait for it?\n")
        return ChildResult(NOT_RUN, {})
    return ChildResult(child.returncode, _read(out))


def end_group(pid: int, child: subprocess.Popen[bytes] | None = None, grace: float = GRACE_SECONDS) -> None:
    """SIGTERM to a process group, which writes a checkpoint; SIGKILL to what is left after the grace."""
    began = process_start(pid)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGTERM)
    until = time.monotonic() + grace
    while time.monotonic() < until and (child.poll() is None if child else process_start(pid) == began != ""):
        time.sleep(0.05)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    if child:
        child.wait()


def end_survivor(process: tuple[int, str] | None) -> bool:
    """End the child that a dead worker left on this machine; False if there is none.

    The start time tells it from another process that got its number.
    """
    if process is None or process_start(process[0]) != process[1]:
        return False
    end_group(process[0])
    return True


def _same_code() -> str:
    """PYTHONPATH with which a child in another folder imports what this process does."""
    own = str(Path(expunge.__file__).resolve().parents[1])
    more = [str(Path(part).resolve()) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return os.pathsep.join(dict.fromkeys([own, *more]))


def _private(path: Path, mode: str) -> Any:
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if mode == "ab" else os.O_TRUNC)
    return os.fdopen(os.open(path, flags, 0o600), mode)


def _read(path: Path) -> dict[str, Any]:
    """The object that a command printed; empty if it printed none."""
    try:
        value = parse_json(path.read_text("utf-8"), str(path))
    except (InputError, UnicodeDecodeError, OSError):
        return {}
    return value if isinstance(value, dict) else {}

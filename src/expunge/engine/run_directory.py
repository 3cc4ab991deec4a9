"""A run directory: recipe, events, checkpoint, result, environment.

run.json      identity (recipe, model, split digests), threads, status `running` or `finished`
events.jsonl  one line per step
checkpoint/   the last two states, see `checkpoint`
adapter/      the result, or model/
"""

from __future__ import annotations

import json
import math
import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from expunge._folder import CHECKPOINT, NO_FOLLOW, FolderLock, check_folder, has_leftovers, is_free, sweep
from expunge._io import digest, sync, write_atomic, write_json
from expunge.engine import checkpoint
from expunge.engine.event import Event
from expunge.engine.event_file import EVENTS, read_events
from expunge.errors import InputError, InputWarning
from expunge.models.run_file import RUN, read_run_file, result_problem
from expunge.models.run_seal import sealed

SCRATCH = "cache"  # folder of hidden states that exceed the memory budget; kept for a resumed run
PACKAGES = ("expunge", "torch", "transformers", "peft", "accelerate", "safetensors", "tokenizers", "numpy")


def environment() -> dict[str, Any]:
    """Package versions and machine type, without names or paths."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "packages": versions,
    }


class RunDirectory:
    """The folder of one run.

    `open` checks the folder and writes nothing. `start` writes, once the model is loaded and the data fit it, so that a
    mistake leaves no half-made run that would refuse the corrected command.
    """

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self.folder, self.about = folder, about
        self._lock: FolderLock | None = None

    @classmethod
    def open(cls, folder: Path | str, identity: dict[str, str], about: dict[str, Any]) -> RunDirectory:
        """A new run with this identity, or the same run again.

        A finished run whose weights are gone is no longer finished: an `InputWarning` says so, and it goes on. What a
        killed writer left in a finished run is removed.

        Raises:
            InputError: a folder with other content, or a run.json that no run wrote.
        """
        folder = Path(folder)
        check_folder(folder, "run")
        if (folder / RUN).is_file():
            return cls(folder, _stored(folder, identity))
        if not is_free(folder):
            raise InputError(str(folder), "is not empty and holds no run", "choose a new folder")
        return cls(folder, {"status": "running", "identity": identity, **about})

    def start(self, recipe_yaml: str) -> None:
        """Lock the folder, sweep it, and write the identity of a new run. Call `release` at the end.

        Raises:
            InputError: another process writes this run, has finished it in the meantime, or has begun it with other
                threads or another date.
        """
        self._lock = FolderLock(self.folder, "run")
        try:
            self._begin(recipe_yaml)
        except BaseException:
            self.release()
            raise

    def _begin(self, recipe_yaml: str) -> None:
        sweep(self.folder)
        is_new = not (self.folder / RUN).is_file()
        if not is_new:
            self._follow(_stored(self.folder, self.about["identity"], quiet=True))
        if is_new or read_run_file(self.folder)["status"] == "finished":  # the weights of a finished run are gone
            write_json(self.folder / RUN, self.about)
        if not (self.folder / "recipe.yaml").is_file():
            write_atomic(self.folder / "recipe.yaml", recipe_yaml)
        if not (self.folder / "environment.json").is_file():
            write_json(self.folder / "environment.json", environment())

    def _follow(self, stored: dict[str, Any]) -> None:
        """Go on with what run.json says now, which another process may have written since `open`."""
        if stored["status"] == "finished":
            what = "another process finished this run in the meantime"
            raise InputError(str(self.folder), what, "start the same command again to see the result")
        if _owner(stored) != self.owner:
            what = "another process began this run in the meantime, on other threads or on another day"
            raise InputError(str(self.folder), what, "start the same command again to resume it")
        self.about |= stored

    def release(self) -> None:
        """Release the lock."""
        if self._lock:
            self._lock.release()
            self._lock = None

    @property
    def finished(self) -> bool:
        return self.about.get("status") == "finished"

    @property
    def checkpoint(self) -> Path:
        return self.folder / CHECKPOINT

    @property
    def owner(self) -> str:
        """Digest of all that decides the bits of the run, which its checkpoints hold."""
        return _owner(self.about)

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Write a checkpoint, once the events before it are on the disk."""
        if self._events.is_file():
            sync(self._events)
        checkpoint.save(self.checkpoint, state, self.owner)

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The last whole state of this run; see `checkpoint.load`."""
        return checkpoint.load(self.checkpoint, self.owner)

    @property
    def _events(self) -> Path:
        return self.folder / EVENTS

    def log(self, event: Event) -> None:
        """Append an event: six significant digits, null for what was not computed."""
        row = {
            k: v if not isinstance(v, float) else float(f"{v:.6g}") if math.isfinite(v) else None
            for k, v in asdict(event).items()
        }
        try:
            handle = os.open(self._events, os.O_WRONLY | os.O_APPEND | os.O_CREAT | NO_FOLLOW, 0o666)
            with os.fdopen(handle, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
        except OSError as error:
            if self._events.is_symlink():
                raise InputError(str(self._events), "is a link, and a log is never written through one") from error
            raise InputError(
                str(self._events),
                f"could not be written ({error.strerror or error})",
                "free some space and start the same command again; it resumes",
            ) from error

    def events(self) -> Iterator[dict[str, Any]]:
        """Finished steps, oldest first, without a last line that a kill cut short; see `read_events`."""
        yield from read_events(self._events)

    def truncate_events(self, step: int) -> None:
        """Drop events of steps that a resumed run repeats.

        Raises:
            InputError: a line is no event, or a step before `step` has none.
        """
        events = [event for event in self.events() if event["step"] < step]
        if [event["step"] for event in events] != list(range(step)):
            what = f"does not hold the {step} steps before the checkpoint, each once"
            raise InputError(
                str(self._events), what, "restore the file, or remove the folder of the run and start over"
            )
        write_atomic(self._events, "".join(json.dumps(event) + "\n" for event in events))

    def finish(self, **results: Any) -> None:
        """Mark the run as finished, with its results, and seal its files."""
        self.about = sealed(self.folder, {**self.about, **results, "status": "finished"})
        write_json(self.folder / RUN, self.about)


def _owner(about: dict[str, Any]) -> str:
    return digest([about["identity"], about.get("threads"), about.get("template_date")])


def _stored(folder: Path, identity: dict[str, str], quiet: bool = False) -> dict[str, Any]:
    """The run.json of the run with this identity; see `RunDirectory.open`."""
    about = read_run_file(folder)
    changed = [k for k, v in identity.items() if about["identity"].get(k) != v]
    if changed:
        raise InputError(
            str(folder),
            f"holds another run (its {', '.join(changed)} differs)",
            "choose another folder; the same recipe, model and scope would resume it",
        )
    if about["status"] == "finished":
        problem = result_problem(folder)
        if problem:
            if not quiet:
                warnings.warn(f"{folder}: was finished, but {problem}; the run goes on", InputWarning, stacklevel=3)
            return about | {"status": "running"}
        if has_leftovers(folder, SCRATCH):
            with suppress(InputError), FolderLock(folder, "run"):  # another process may sweep just now
                sweep(folder, SCRATCH)
    return about

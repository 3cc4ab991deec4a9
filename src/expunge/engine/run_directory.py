"""A run directory: recipe, events, checkpoint, result, environment.

run.json      identity (recipe, model, split digests), threads, status `running` or `finished`
events.jsonl  one line per step
checkpoint/   the newest one
adapter/      the result, or model/
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from expunge._io import lock_folder, read_json, write_atomic, write_json
from expunge.engine.event import Event
from expunge.errors import InputError
from expunge.models.run_seal import sealed

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
        self._lock: IO[str] | None = None

    @classmethod
    def open(cls, folder: Path | str, identity: dict[str, str], about: dict[str, Any]) -> RunDirectory:
        """A new run with this identity, or the same run again; `InputError` for a folder with other content."""
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise InputError(str(folder), "is a file", "name a folder for the run")
        if (folder / "run.json").is_file():
            stored = read_json(folder / "run.json")
            changed = [k for k, v in identity.items() if stored.get("identity", {}).get(k) != v]
            if changed:
                raise InputError(
                    str(folder),
                    f"holds another run (its {', '.join(changed)} differs)",
                    "choose another folder; the same recipe, model and scope would resume it",
                )
            return cls(folder, stored)
        if folder.is_dir() and any(folder.iterdir()):
            raise InputError(str(folder), "is not empty and holds no run", "choose a new folder")
        return cls(folder, {"status": "running", "identity": identity, **about})

    def start(self, recipe_yaml: str) -> None:
        """Lock the folder, and write the identity of a new run. Call `release` at the end.

        Raises:
            InputError: another process writes this run.
        """
        if not (self.folder / "run.json").is_file():
            write_json(self.folder / "run.json", self.about)
        self._lock = lock_folder(self.folder, "run")
        if not (self.folder / "recipe.yaml").is_file():
            write_atomic(self.folder / "recipe.yaml", recipe_yaml)
        if not (self.folder / "environment.json").is_file():
            write_json(self.folder / "environment.json", environment())

    def release(self) -> None:
        """Release the lock."""
        if self._lock:
            (self.folder / "lock").unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    @property
    def finished(self) -> bool:
        return self.about.get("status") == "finished"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint"

    @property
    def _events(self) -> Path:
        return self.folder / "events.jsonl"

    def log(self, event: Event) -> None:
        """Append an event: six significant digits, null for what was not computed."""
        row = {
            k: v if not isinstance(v, float) else float(f"{v:.6g}") if math.isfinite(v) else None
            for k, v in asdict(event).items()
        }
        try:
            with self._events.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
        except OSError as error:
            raise InputError(
                str(self._events),
                f"could not be written ({error.strerror or error})",
                "free some space and start the same command again; it resumes",
            ) from error

    def events(self) -> Iterator[dict[str, Any]]:
        """Finished steps, oldest first, without a last line that a kill cut short."""
        if self._events.is_file():
            for line in self._events.read_text("utf-8").splitlines():
                try:
                    yield json.loads(line)
                except json.JSONDecodeError:
                    return

    def truncate_events(self, step: int) -> None:
        """Drop events of steps that a resumed run repeats."""
        lines = [json.dumps(e) for e in self.events() if e["step"] < step]
        write_atomic(self._events, "".join(line + "\n" for line in lines))

    def finish(self, **results: Any) -> None:
        """Mark the run as finished, with its results, and seal its files."""
        self.about = sealed(self.folder, {**self.about, **results, "status": "finished"})
        write_json(self.folder / "run.json", self.about)

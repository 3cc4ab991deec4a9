"""Curves of a run in TensorBoard, Weights & Biases and others, through the trackers of accelerate.

A tracker gets numbers of steps and settings of the recipe. It never gets records, scopes, or names of models and files,
because some trackers send what they get to a server.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Protocol

from expunge.errors import InputError, InputWarning, first_line, unknown

FOLDER = "tracking"  # beside the folder of the result, which only the run itself writes to
NOT_LOGGED = ("step", "phase", "steps", "epoch", "epochs")  # fields of a step that are no measurements


class StepRecorder(Protocol):
    """Takes the numbers of one step, from a dataclass (`Event`, `TrainProgress`) or a mapping."""

    def __call__(self, values: Any, step: int) -> None: ...


@contextmanager
def tracking(name: str | None, result: Path | str, settings: Mapping[str, Any]) -> Iterator[StepRecorder]:
    """A context whose value logs the numbers of a step; with no name it does nothing.

    Nothing is written before the first step. A tracker that fails is a warning, and the run goes on without it.

    Args:
        name: of a tracker of accelerate, such as tensorboard, wandb or mlflow.
        result: folder of the run; the files of the tracker go to the folder `tracking` beside it.
        settings: what decides the run; nested keys are joined by dots.

    Raises:
        InputError: an unknown tracker, or one whose package is not installed.
    """
    if name is None:
        yield lambda values, step: None
        return
    tracker = RunTracker(_tracker_class(name), Path(result), settings)
    try:
        yield tracker.record
    finally:
        tracker.finish()


class RunTracker:
    """One tracker of accelerate, started at the first step."""

    def __init__(self, kind: Any, result: Path, settings: Mapping[str, Any]) -> None:
        self.kind, self.result, self.settings = kind, result, settings
        self.tracker: Any = None
        self.failed = False

    def record(self, values: Any, step: int) -> None:
        """Log the finite numbers of a step."""
        with self._warn_once():
            if not self.failed:
                self._start()
                self.tracker.log(numbers(values), step=step)

    def finish(self) -> None:
        """Write what is left."""
        with self._warn_once():
            if self.tracker is not None and not self.failed:
                self.tracker.finish()

    def _start(self) -> None:
        if self.tracker is not None:
            return
        from accelerate.state import PartialState

        PartialState()
        where = {}
        if self.kind.requires_logging_directory:
            folder = self.result.parent / FOLDER
            folder.mkdir(parents=True, exist_ok=True)
            where = {"logging_dir": str(folder)}
        self.tracker = self.kind(self.result.name, **where)
        self.tracker.start()
        self.tracker.store_init_configuration(flat(self.settings))

    @contextmanager
    def _warn_once(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a server that does not answer, a full disk: the run is worth more than its curve
            self.failed = True
            what = f"tracker {self.kind.name}: stopped ({type(error).__name__}: {first_line(error)}); the run goes on"
            warnings.warn(what, InputWarning, stacklevel=3)


def numbers(values: Any) -> dict[str, float]:
    """The finite numbers of a step that are measurements."""
    fields = asdict(values) if is_dataclass(values) and not isinstance(values, type) else dict(values)
    return {
        key: float(value)
        for key, value in fields.items()
        if key not in NOT_LOGGED and isinstance(value, int | float) and math.isfinite(value)
    }


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings under dotted keys; what is neither text, number nor truth value as text; null is left out."""
    rows: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            rows |= flat(value, f"{prefix}{key}.")
        elif value is not None:
            rows[prefix + key] = value if isinstance(value, str | bool | int | float) else str(value)
    return rows


def _tracker_class(name: str) -> Any:
    """The class of a tracker of accelerate whose package is installed."""
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    if name not in LOGGER_TYPE_TO_CLASS:
        raise unknown("tracker", name, LOGGER_TYPE_TO_CLASS, "--track")
    if name not in [str(kind) for kind in get_available_trackers()]:
        raise InputError(f"--track {name}", f"needs the package {name}, which is not installed", f"pip install {name}")
    return LOGGER_TYPE_TO_CLASS[name]

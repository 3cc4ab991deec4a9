"""When a training is saved: small models every few epochs, all models every few minutes, and at a stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from expunge.engine import checkpoint
from expunge.engine.train.train_loop import TrainCheckpoint, TrainProgress
from expunge.errors import Interrupted

CHECKPOINT_SECONDS = 300.0  # between two checkpoints; AdamW's state of 135 million weights takes 1.6 GB
SMALL = 20_000_000  # parameters; below, a checkpoint takes less than a second

Report = Callable[[TrainProgress], None] | None


class TrainCheckpoints:
    """Callbacks of `run_training`: report, save where it is due, and stop within a step where a person asks for it."""

    def __init__(
        self,
        folder: Path,
        parameters: int,
        epochs: int,
        stopped: Callable[[], bool],
        on_epoch: Report = None,
        on_step: Report = None,
        clock: Callable[[], float] = time.monotonic,
        owner: str = "",
    ) -> None:
        """Args:
        folder: of the checkpoint.
        parameters: of the model; fewer than `SMALL` are also saved every `epochs` epochs.
        epochs: see `parameters`.
        stopped: whether a person has asked to stop.
        on_epoch: called after each epoch.
        on_step: called after each step.
        clock: seconds.
        owner: digest of the training that the checkpoints belong to.
        """
        self._folder, self._stopped, self._clock, self._owner = folder, stopped, clock, owner
        self._epochs = epochs if parameters < SMALL else None
        self._on_epoch, self._on_step = on_epoch, on_step
        self._last = clock()

    def after_step(self, state: TrainCheckpoint) -> None:
        """`Interrupted` after a signal, with the state saved."""
        if self._on_step:
            self._on_step(state.progress)
        self._save(state, due=False)

    def after_epoch(self, state: TrainCheckpoint) -> None:
        """As `after_step`."""
        if self._on_epoch:
            self._on_epoch(state.progress)
        self._save(state, due=bool(self._epochs) and state.progress.epoch % (self._epochs or 1) == 0)

    def _save(self, state: TrainCheckpoint, due: bool) -> None:
        stop = self._stopped()
        if stop or due or self._clock() - self._last >= CHECKPOINT_SECONDS:
            checkpoint.save(self._folder, state.to_dict(), self._owner)
            self._last = self._clock()
        if stop:
            raise Interrupted(
                str(self._folder.parent),
                f"stopped after step {state.step} of at most {state.progress.steps}, checkpoint kept",
                "start the same command again to resume",
            )

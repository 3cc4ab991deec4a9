"""Runs in processes of their own, which can be killed for good. A server process has the heavy imports ready."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from expunge.engine.recipe import Recipe
from helpers.world import one_person, people, small

PATIENCE = 120  # seconds
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "torch",
        "transformers",
        "transformers.models.llama.modeling_llama",
        "peft",
        "accelerate",
        "expunge.engine.train.train_model",
        "expunge.synthetic.hospital.hospital",
        "expunge.scope",
    ]
)


def unlearning(folder: Path, plan: dict[str, Any], out: Path) -> None:
    """In the child. Steps are slowed down, so that the parent can choose one to kill."""
    from expunge.engine.unlearn import unlearn

    unlearn(folder, one_person(), Recipe(**plan), out, on_step=lambda event, total: time.sleep(0.03))


def memorising(out: Path) -> None:
    """In the child."""
    from expunge.engine.train import train_model

    train_model.CHECKPOINT_EVERY = 2
    train_model.train(
        people().trained, out, tiny=small(layers=1), settings=short(), on_epoch=lambda _: time.sleep(0.03)
    )


def short() -> Any:
    from expunge.engine.train.train_loop import TrainConfig

    return TrainConfig(epochs=7, batch=8)


def start(job: Callable[..., None], *arguments: Any) -> Any:
    process = SERVER.Process(target=job, args=arguments)
    process.start()
    return process


def finish(job: Callable[..., None], *arguments: Any) -> None:
    """Run `job` in a process of its own to its end."""
    process = start(job, *arguments)
    process.join(PATIENCE)
    assert process.exitcode == 0


def kill_when(ready: Callable[[], bool], job: Callable[..., None], *arguments: Any) -> None:
    """Start `job`, wait until `ready`, and kill its process with a signal that nothing can catch."""
    process = start(job, *arguments)
    end = time.monotonic() + PATIENCE
    while not ready():
        assert process.is_alive(), "the run ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.005)
    process.kill()
    process.join()
    assert process.exitcode == -9


def lines(file: Path) -> int:
    return len(file.read_bytes().splitlines()) if file.is_file() else 0

"""Two processes (or more) that share a run, as `torchrun` starts them, and what they are to do."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from expunge.engine.recipe import Recipe
from helpers.processes import PATIENCE, start
from helpers.world import one_person

Plans = dict[str, dict[str, Any]]


def launch(count: int, job: Callable[..., None], *arguments: Any) -> list[int | None]:
    """Run `job` in `count` processes that know of each other; returns their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [start(_rank, index, count, port, job, arguments) for index in range(count)]
    end = time.monotonic() + PATIENCE
    for process in processes:
        process.join(max(0.0, end - time.monotonic()))
        if process.is_alive():
            process.kill()
    return [process.exitcode for process in processes]


def _rank(index: int, count: int, port: int, job: Callable[..., None], arguments: Sequence[Any]) -> None:
    os.environ |= {
        "RANK": str(index),
        "LOCAL_RANK": str(index),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "EXPUNGE_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    job(*arguments)


def index() -> int:
    return int(os.environ["RANK"])


def unlearning(folder: Path, plans: Plans, root: Path) -> None:
    """One run after the other, each in the folder of its name."""
    from expunge.engine.unlearn import unlearn

    for name, plan in plans.items():
        unlearn(folder, one_person(), Recipe(**plan), root / name)


def dying(folder: Path, plan: dict[str, Any], out: Path, step: int) -> None:
    """Every process is killed for good at `step`."""
    from expunge.engine.unlearn import unlearn

    unlearn(
        folder,
        one_person(),
        Recipe(**plan),
        out,
        on_step=lambda event, total: os.kill(os.getpid(), signal.SIGKILL) if event.step == step else None,
    )


def asked_to_stop(folder: Path, plan: dict[str, Any], out: Path, step: int) -> None:
    """Only the second process gets the signal; what each raises is written down."""
    from expunge.engine.unlearn import unlearn
    from expunge.errors import InputError

    def stop(event: Any, total: int) -> None:
        if event.step == step and index() == 1:
            signal.raise_signal(signal.SIGTERM)

    try:
        unlearn(folder, one_person(), Recipe(**plan), out, on_step=stop)
    except InputError as error:
        note(out.parent, {"type": type(error).__name__, "line": str(error), "silent": error.silent})


def looking(folder: Path, plans: Plans, root: Path) -> None:
    """Note what each process feeds in every step, what it caches, and what of the model it holds."""
    from torch.distributed.tensor import DTensor

    from expunge.engine.distributed import DistributedContext
    from expunge.engine.loop_builder import build_loop
    from expunge.models.adapters import prepare
    from expunge.models.fsdp import shard
    from expunge.models.language_model import load
    from helpers.runs import loop

    found: dict[str, Any] = {}
    for name, plan in plans.items():
        recipe, context = Recipe(**plan), DistributedContext.init("cpu")
        lm = load(folder, device="cpu")
        whole = sum(p.numel() for n, p in lm.module.named_parameters() if ".layers." in n)
        if recipe.parallel.shard:
            lm = lm.with_module(prepare(lm.module, recipe.train, recipe.seed))
            shard(lm.module, context.device, context.num_processes)
            built = build_loop(lm, recipe.resolve(), one_person().forget, one_person().retain)
        else:
            built = loop(folder, recipe)
        fed: list[list[int]] = []
        passes, run = built.runner, built.runner.run
        passes.run = lambda rows, *a, run=run, fed=fed, **k: (fed.append(list(rows)), run(rows, *a, **k))[1]
        steps: list[list[list[int]]] = []
        about: list[str] = []
        built.run(lambda event, s=steps, f=fed, p=passes, b=about: (s.append(f[:]), f.clear(), b.append(p.about)))
        local = sum(p.to_local().numel() for p in built.lm.module.parameters() if isinstance(p, DTensor))
        found[name] = {
            "steps": steps,
            "about": about[-1],
            "local": local,
            "whole": whole,
            "batches": [
                [*built.dataset.forget_batch(k), *built.dataset.retain_batch(k)]
                for k in range(recipe.resolve().total_steps)
            ],
        }
    note(root, found)


def typing(commands: list[list[list[str]]], root: Path) -> None:
    """Command lines, one list of words for each process; what each says and returns is written down."""
    from expunge.cli import main

    found = []
    for words in commands:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words[index()])
        found.append({"code": code, "out": out.getvalue(), "err": err.getvalue()})
    note(root, found)


def note(root: Path, value: Any) -> None:
    (root / f"rank-{index()}.json").write_text(json.dumps(value))


def notes(root: Path, count: int = 2) -> list[Any]:
    return [json.loads((root / f"rank-{k}.json").read_text()) for k in range(count)]

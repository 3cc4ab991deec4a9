"""How fast this machine runs this model: a few real passes over real rows, at most a second or two.

Every kind of pass is timed at two sizes, which tells what a pass costs however small it is from what an operation
costs. Surprising: the passes are those of the loop itself, so the frozen prefix is cached, checked and refused here
by the same rules. A model of which a single row takes seconds gets that row alone.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from expunge.engine.estimate.cost_model import (
    BatchShape,
    ComputeSpeed,
    Flops,
    ModelShape,
    inference_cost,
    size_of,
    training_cost,
)
from expunge.engine.event import peak_memory
from expunge.engine.forward import LARGE, ForwardRunner
from expunge.engine.optimizer import OptimizerGroup, embeddings
from expunge.engine.recipe_config import Memory, RecipeConfig
from expunge.gradients.base import GradientRule, clip_total_norm
from expunge.methods.base import forward_kl
from expunge.models.adapters import adapter_off, trainable
from expunge.models.chunked_logprob import CHUNK, plain_head
from expunge.models.collate import collate
from expunge.models.forward import answer_forward, answer_logprob
from expunge.models.frozen_prefix import Boundary, find_boundary
from expunge.models.language_model import LanguageModel
from expunge.models.prompt_template import Encoded

SECONDS = 0.3  # for one kind of pass; up to twice that to reach the sizes of the run
FEW = 2  # rows of the small size
REPEATS = 5  # at most
ELEMENTS = 1 << 22  # numbers that the optimizer is tried on


@dataclass(frozen=True)
class ComputePath:
    """How the passes of a phase run: the first block that runs, the first that trains, and why in words."""

    runs_from: int
    trains_from: int
    about: str


@dataclass(frozen=True)
class TrainingProfile:
    """What training passes of one phase showed.

    kept     for backward: bytes per block and token, and bytes per logit
    at_once  positions whose logits are there at a time; None for all
    """

    route: ComputePath
    speed: ComputeSpeed
    kept: tuple[float, float]
    at_once: int | None


def resident() -> int:
    """Bytes that this process holds now; the most it ever held where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return peak_memory(torch.device("cpu"))


class Timer:
    """Times work: the least seconds of a few repeats, and apart from them `slowdown`.

    What other programs take comes in bursts longer than a pass. So speeds are those of a quiet moment (on one thread
    of a CPU, of its own seconds), and the burden is taken over all repeats of everything that was timed.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._own = device.type == "cpu" and torch.get_num_threads() == 1
        self._wall = self._least = 0.0

    @property
    def slowdown(self) -> float:
        """Seconds of the wall per second that `grown` gave."""
        return max(1.0, self._wall / self._least) if self._least else 1.0

    def _once(self, work: Callable[[], object]) -> tuple[float, float]:
        """Seconds of the wall, and seconds that count."""
        wall, busy = time.perf_counter(), time.process_time()
        work()
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        wall, busy = time.perf_counter() - wall, time.process_time() - busy
        return wall, busy if self._own else wall

    def grown(self, work: Callable[[int], object], most: int, seconds: float | None = None) -> list[tuple[int, float]]:
        """Time `work(rows)` for growing numbers of rows up to `most`, while `seconds` last: (rows, least seconds).

        The smallest once without being counted first, unless that alone took too long. A size is tried if it takes no
        longer than all of `seconds` even where rows cost in proportion; sizes are repeated while there is time.
        """
        seconds = SECONDS if seconds is None else seconds
        began = time.perf_counter()
        rows = min(FEW, most)
        cold = self._once(partial(work, rows))
        found = {rows: [self._once(partial(work, rows)) if cold[0] < seconds else cold]}
        while rows < most and time.perf_counter() - began < 2 * seconds:
            larger = min(rows * 4, most)
            if found[rows][0][1] * larger / rows > seconds:
                break
            rows = larger
            found[rows] = [self._once(partial(work, rows))]
        for _ in range(REPEATS - 1):
            for n, times in found.items():
                if time.perf_counter() - began + times[0][0] < seconds:
                    times.append(self._once(partial(work, n)))
        least = {n: min(busy for _, busy in times) for n, times in found.items()}
        self._wall += sum(wall for times in found.values() for wall, _ in times)
        self._least += sum(least[n] * len(times) for n, times in found.items())
        return sorted(least.items())


def spread(items: Sequence[Encoded], rows: int) -> list[int]:
    """Positions of `rows` of `items`, evenly from the shortest to the longest."""
    order = sorted(range(len(items)), key=lambda k: items[k].length)
    return [order[(2 * k + 1) * len(order) // (2 * rows)] for k in range(rows)]


def _fit(timed: Sequence[tuple[int, float]], ops: Callable[[int], Flops]) -> ComputeSpeed:
    (few, quick), (many, slow) = timed[0], timed[-1]
    return ComputeSpeed.fit((ops(few).ops, quick), (ops(many).ops, slow))


def time_inference(clock: Timer, lm: LanguageModel, shape: ModelShape, items: Sequence[Encoded]) -> ComputeSpeed:
    """Passes without gradients, the adapter off."""

    def work(rows: int) -> None:
        with torch.no_grad(), adapter_off(lm.module):
            batch = collate([items[k] for k in spread(items, rows)]).to(lm.device)
            answer_logprob(answer_forward(lm.module, batch).logits, batch)

    def ops(rows: int) -> Flops:
        return inference_cost(shape, [BatchShape.of([size_of(items[k]) for k in spread(items, rows)])])

    return _fit(clock.grown(work, len(items)), ops)


def time_training(
    clock: Timer,
    lm: LanguageModel,
    shape: ModelShape,
    items: Sequence[Encoded],
    memory: Memory,
    *,
    logits: bool,
    return_hidden: bool,
) -> TrainingProfile:
    """Training passes over `items` with what trains now; weights stay as they are."""
    runner = ForwardRunner(lm, items, memory.model_copy(update={"cache_mib": 1 << 20}))  # a few rows: never a file
    runner.start_phase(range(len(items)))
    parameters: dict[str, Any] = trainable(lm.module)
    boundary = find_boundary(lm.module)
    trains = boundary.first if isinstance(boundary, Boundary) else 0
    runs = 0 if runner.about.startswith("plain") else trains
    route = ComputePath(runs, trains, "" if runs else runner.about.removeprefix("plain: "))
    weights = sum(p.numel() for p in parameters.values())

    def loss_of(rows: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
        passed = runner.run(spread(items, rows), logits, return_hidden)
        if passed.logits is None:
            loss = -passed.logprob.sum()
        else:
            said = passed.logits.detach().roll(1, -1).log_softmax(-1)
            loss = (forward_kl(said, passed.logits.log_softmax(-1)) * passed.batch.mask).sum() - passed.logprob.sum()
        return loss, [] if passed.hidden is None else [passed.hidden]

    def work(rows: int) -> None:
        loss, hidden = loss_of(rows)
        torch.autograd.grad(loss, [*parameters.values(), *hidden], allow_unused=True)

    def ops(rows: int) -> Flops:
        one = BatchShape.of([size_of(items[k]) for k in spread(items, rows)])
        return training_cost(shape, [one], runs_from=runs, trains_from=trains, weights=weights)

    try:
        timed = clock.grown(work, len(items))
        kept = _kept(
            lm.module,
            lambda: loss_of(timed[0][0]),
            shape,
            BatchShape.of([size_of(items[k]) for k in spread(items, timed[0][0])]),
            len(shape.blocks) - trains,
        )
    finally:
        runner.end_phase()
    sliced = shape.vocabulary >= LARGE and not logits and not return_hidden and plain_head(lm.module)
    return TrainingProfile(route, _fit(timed, ops), kept, CHUNK if sliced else None)


def _kept(
    module: nn.Module, forward: Callable[[], object], shape: ModelShape, one: BatchShape, blocks: int
) -> tuple[float, float]:
    """Bytes that `forward` keeps for backward per block and token, and per logit; parameters are not counted."""
    own = {t.untyped_storage().data_ptr() for t in (*module.parameters(), *module.buffers())}
    held: dict[int, tuple[int, torch.Tensor]] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        store = tensor.untyped_storage()
        if store.data_ptr() not in own:
            held[store.data_ptr()] = (store.nbytes(), tensor)  # held on to: an address is given out again
        return tensor

    logits = one.positions * shape.vocabulary * 4
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        kept_until = forward()
    sizes = [nbytes for nbytes, _ in held.values()]
    del kept_until
    large = sum(n for n in sizes if n == logits)
    return (sum(sizes) - large) / (one.tokens * max(blocks, 1)), large / (logits // 4)


def step_overhead(clock: Timer, lm: LanguageModel, recipe: RecipeConfig, rule: GradientRule) -> float:
    """Seconds per step for rule, clipping and optimizer, tried on copies of (some of) what trains now."""
    tables, total = embeddings(lm.module), 0
    copies: dict[str, nn.Parameter] = {}
    ids: set[int] = set()
    parameters = trainable(lm.module)
    for name, p in parameters.items():
        if copies and total + p.numel() > ELEMENTS:
            continue
        copies[name] = nn.Parameter(p.detach().clone())
        total += p.numel()
        if id(p) in tables:
            ids.add(id(copies[name]))
    optimizers = OptimizerGroup(recipe.optimizer, copies, ids)
    grads = [{n: torch.full_like(p, 1e-3) for n, p in copies.items()} for _ in range(2)]

    def work(_: int) -> None:
        combined = rule.combine(grads[0], grads[1]) if rule.separate else grads[0]
        combined, _norm = clip_total_norm(combined, recipe.optimizer.clip_norm or math.inf)
        for name, p in copies.items():
            p.grad = combined.get(name)
        optimizers.step(1.0)

    seconds = clock.grown(work, 1, 0.1)[0][1]
    return seconds * sum(p.numel() for p in parameters.values()) / total

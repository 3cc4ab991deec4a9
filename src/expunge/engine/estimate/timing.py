"""How fast this machine runs this model: a few real passes over real rows, in a second or two.

Every kind of pass is timed at two sizes, which separates the fixed cost of a pass from the cost of an operation. The
passes are those of the training loop, so the prefix cache is built, checked and refused by the same rules.
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
from expunge.methods.base import SaliencyPoint, forward_kl
from expunge.models.adapters import adapter_off, trainable
from expunge.models.chunked_logprob import CHUNK, plain_head
from expunge.models.collate import collate
from expunge.models.forward import answer_forward, answer_logprob
from expunge.models.frozen_prefix import Boundary, find_boundary
from expunge.models.language_model import LanguageModel
from expunge.models.prompt_template import Encoded

SECONDS = 0.3  # for one kind of pass; up to twice that to reach the row counts of the run
MIN_ROWS = 2  # rows of the small size
REPEATS = 5  # repeats of a size, at most
ELEMENTS = 1 << 22  # parameters that the optimizer is timed on, at most


@dataclass(frozen=True)
class ComputePath:
    """Which blocks run in the passes of a phase.

    Attributes:
        runs_from: first block that runs; the output of those below is cached.
        trains_from: first block with a gradient.
        about: why nothing is cached; empty if something is.
    """

    runs_from: int
    trains_from: int
    about: str


@dataclass(frozen=True)
class TrainingProfile:
    """Measurements of the training passes of a phase.

    Attributes:
        path: which blocks run.
        speed: of a pass, forward and backward.
        per_block_token: bytes kept for the backward pass per block and token.
        per_logit: bytes kept per logit.
        positions_at_once: positions whose logits are held at a time; None for all.
    """

    path: ComputePath
    speed: ComputeSpeed
    per_block_token: float
    per_logit: float
    positions_at_once: int | None


def resident() -> int:
    """Resident bytes of this process now; the peak so far where the system does not report the current value."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return peak_memory(torch.device("cpu"))


def process_bytes(lm: LanguageModel) -> int:
    """Bytes of this process without the weights of the model; 0 for a model on a device of its own."""
    weights = sum(p.numel() * p.dtype.itemsize for p in lm.module.parameters())
    return 0 if lm.device.type == "cuda" else max(0, resident() - weights)


class Timer:
    """Minimum seconds of a few repeats, and the `slowdown` by other programs.

    Other programs take time in bursts longer than a pass. So speeds are minima (on one CPU thread, of CPU time), and
    the slowdown is measured over all repeats of everything that was timed.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._own = device.type == "cpu" and torch.get_num_threads() == 1
        self._wall = self._least = 0.0

    @property
    def slowdown(self) -> float:
        """Wall clock per second that `measure` returned."""
        return max(1.0, self._wall / self._least) if self._least else 1.0

    def _once(self, work: Callable[[], object]) -> tuple[float, float]:
        """(wall clock, seconds that count: CPU time on one thread, else wall clock)."""
        wall, busy = time.perf_counter(), time.process_time()
        work()
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        wall, busy = time.perf_counter() - wall, time.process_time() - busy
        return wall, busy if self._own else wall

    def measure(
        self, work: Callable[[int], object], most: int, seconds: float | None = None
    ) -> list[tuple[int, float]]:
        """Time `work(rows)` for growing numbers of rows.

        Args:
            work: what to time.
            most: largest number of rows.
            seconds: time budget, default `SECONDS`. The smallest size runs once without counting, unless that alone
                exceeds the budget; a size that would exceed it is left out; sizes are repeated while time is left.

        Returns:
            (rows, minimum seconds) per size, smallest first.
        """
        seconds = SECONDS if seconds is None else seconds
        started = time.perf_counter()
        rows = min(MIN_ROWS, most)
        cold = self._once(partial(work, rows))
        times = {rows: [self._once(partial(work, rows)) if cold[0] < seconds else cold]}
        while rows < most and time.perf_counter() - started < 2 * seconds:
            larger = min(rows * 4, most)
            if times[rows][0][1] * larger / rows > seconds:
                break
            rows = larger
            times[rows] = [self._once(partial(work, rows))]
        for _ in range(REPEATS - 1):
            for n, repeats in times.items():
                if time.perf_counter() - started + repeats[0][0] < seconds:
                    repeats.append(self._once(partial(work, n)))
        least = {n: min(busy for _, busy in repeats) for n, repeats in times.items()}
        self._wall += sum(wall for repeats in times.values() for wall, _ in repeats)
        self._least += sum(least[n] * len(repeats) for n, repeats in times.items())
        return sorted(least.items())


def spread(items: Sequence[Encoded], rows: int) -> list[int]:
    """Positions of `rows` of `items`, evenly from the shortest to the longest."""
    order = sorted(range(len(items)), key=lambda k: items[k].length)
    return [order[(2 * k + 1) * len(order) // (2 * rows)] for k in range(rows)]


def _fit(timed: Sequence[tuple[int, float]], ops: Callable[[int], Flops]) -> ComputeSpeed:
    (small, small_seconds), (large, large_seconds) = timed[0], timed[-1]
    return ComputeSpeed.fit((ops(small).ops, small_seconds), (ops(large).ops, large_seconds))


def time_inference(timer: Timer, lm: LanguageModel, shape: ModelShape, items: Sequence[Encoded]) -> ComputeSpeed:
    """Speed of passes without gradients, the adapter off."""

    def work(rows: int) -> None:
        with torch.no_grad(), adapter_off(lm.module):
            batch = collate([items[k] for k in spread(items, rows)]).to(lm.device)
            answer_logprob(answer_forward(lm.module, batch).logits, batch)

    def ops(rows: int) -> Flops:
        return inference_cost(shape, [BatchShape.of([size_of(items[k]) for k in spread(items, rows)])])

    return _fit(timer.measure(work, len(items)), ops)


def time_training(
    timer: Timer,
    lm: LanguageModel,
    shape: ModelShape,
    items: Sequence[Encoded],
    memory: Memory,
    *,
    logits: bool,
    saliency: SaliencyPoint | None,
) -> TrainingProfile:
    """Speed and memory of training passes over `items` with the current trainable parameters; no weight changes.

    With token saliency every pass is timed as one over forget rows, which goes back to the embeddings once more.
    """
    return_hidden = saliency is not None
    memory = memory.model_copy(update={"cache_mib": 1 << 20})  # few rows: always in memory
    runner = ForwardRunner(lm, items, memory, saliency_point=saliency or "first_block")
    runner.start_phase(range(len(items)))
    parameters: dict[str, Any] = trainable(lm.module)
    boundary = find_boundary(lm.module)
    trains_from = boundary.first if isinstance(boundary, Boundary) else 0
    runs_from = 0 if runner.about.startswith("plain") else trains_from
    path = ComputePath(runs_from, trains_from, "" if runs_from else runner.about.removeprefix("plain: "))
    weights = sum(p.numel() for p in parameters.values())

    def loss_of(rows: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
        output = runner.run(spread(items, rows), logits, return_hidden)
        if output.logits is None:
            loss = -output.logprob.sum()
        else:
            reference = output.logits.detach().roll(1, -1).log_softmax(-1)
            loss = (
                forward_kl(reference, output.logits.log_softmax(-1)) * output.batch.mask
            ).sum() - output.logprob.sum()
        return loss, [] if output.hidden is None else [output.hidden]

    def work(rows: int) -> None:
        loss, hidden = loss_of(rows)
        if hidden:
            torch.autograd.grad(loss, hidden, retain_graph=True)
        torch.autograd.grad(loss, [*parameters.values(), *hidden], allow_unused=True)

    def ops(rows: int) -> Flops:
        one = BatchShape.of([size_of(items[k]) for k in spread(items, rows)])
        return training_cost(shape, [one], runs_from=runs_from, trains_from=trains_from, weights=weights)

    try:
        timed = timer.measure(work, len(items))
        per_block_token, per_logit = _activation_bytes(
            lm.module,
            lambda: loss_of(timed[0][0]),
            shape,
            BatchShape.of([size_of(items[k]) for k in spread(items, timed[0][0])]),
            len(shape.blocks) - trains_from,
        )
    finally:
        runner.end_phase()
    sliced = shape.vocabulary >= LARGE and not logits and not return_hidden and plain_head(lm.module)
    return TrainingProfile(path, _fit(timed, ops), per_block_token, per_logit, CHUNK if sliced else None)


def _activation_bytes(
    module: nn.Module, forward: Callable[[], object], shape: ModelShape, one: BatchShape, blocks: int
) -> tuple[float, float]:
    """Bytes that `forward` keeps for the backward pass, per block and token, and per logit; without parameters."""
    parameters = {t.untyped_storage().data_ptr() for t in (*module.parameters(), *module.buffers())}
    held: dict[int, tuple[int, torch.Tensor]] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        store = tensor.untyped_storage()
        if store.data_ptr() not in parameters:
            held[store.data_ptr()] = (store.nbytes(), tensor)  # a reference, so that the address is not reused
        return tensor

    logits = one.positions * shape.vocabulary * 4
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        graph = forward()
    sizes = [nbytes for nbytes, _ in held.values()]
    del graph
    large = sum(n for n in sizes if n == logits)
    return (sum(sizes) - large) / (one.tokens * max(blocks, 1)), large / (logits // 4)


def step_overhead(timer: Timer, lm: LanguageModel, recipe: RecipeConfig, rule: GradientRule) -> float:
    """Seconds per step for rule, clipping and optimizer, timed on copies of at most `ELEMENTS` trainable parameters."""
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

    seconds = timer.measure(work, 1, 0.1)[0][1]
    return seconds * sum(p.numel() for p in parameters.values()) / total

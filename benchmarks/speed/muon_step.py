"""Steps of our Muon beside torch's, which iterates in bfloat16 on every processor, on the matrices of a small model."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from benchmarks.speed.cases import compare_times, seconds_of
from benchmarks.speed.program import PAIRS, Parts, Results, program, say
from expunge.cli.result import ResultTable
from expunge.engine.muon import Muon
from expunge.models.precision import has_bfloat16
from expunge.models.threads import set_threads
from expunge.models.tiny import TinyConfig

LR, STEPS = 6e-3, 5


def matrices(size: TinyConfig) -> list[nn.Parameter]:
    """Random matrices of the blocks of a Llama of this size, with gradients."""
    shapes = [(size.width, size.width)] * 4 + [(3 * size.width, size.width)] * 2 + [(size.width, 3 * size.width)]
    draw = torch.Generator().manual_seed(42)
    made = [nn.Parameter(torch.randn(shape, generator=draw)) for shape in shapes * size.layers]
    for weight in made:
        weight.grad = torch.randn(weight.shape, generator=draw)
    return made


def measure(*, pairs: int) -> Results:
    """Ratio torch's to ours, and seconds of a step, at one thread."""
    set_threads(1)
    size = TinyConfig()
    sides = {
        "torch": torch.optim.Muon(matrices(size), lr=LR, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
        "ours": Muon(matrices(size), lr=LR),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for pair in range(pairs + 1):
        for name, optimizer in sides.items():
            took = seconds_of(partial(_steps, optimizer)) / STEPS
            if pair:  # the first pair warms up
                seconds[name].append(took)
        say(f"pair {pair} of {pairs}")
    return {"layers": size.layers, "width": size.width, "bfloat16": has_bfloat16(), **compare_times(seconds)}


def _steps(optimizer: torch.optim.Optimizer) -> None:
    for _ in range(STEPS):
        optimizer.step()


def parts(result: Results) -> Parts:
    """The result for a terminal."""
    ratio, seconds = result["ratio"], result["seconds"]
    has = "has" if result["bfloat16"] else "has no"
    row = [f"{ratio['median']:.1f} ({ratio['min']:.1f} to {ratio['max']:.1f})", *(f"{s:.3f}" for s in seconds.values())]
    about = f"{result['layers']} blocks, width {result['width']}, one thread; this processor {has} bfloat16"
    return (about, ResultTable(("torch / ours", "torch (s)", "ours (s)"), [row]))


main = program(__doc__, measure, parts, pairs=PAIRS)

if __name__ == "__main__":
    raise SystemExit(main(None))

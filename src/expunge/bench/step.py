"""`expunge bench step`: our training step against the loop that the field's scripts run, in one process.

The peers' loops stand in `peers.py`; a pair is one step of ours and one of theirs, from equal models on the same
rows, and their losses must agree. One thread; seconds are the processor's, so neighbours do not count. Beside every
ratio stands what counting operations allows (`step_ceiling.py`). Our caches are built before the first step and not
counted, except in `end_to_end` (`whole_job.py`).
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from expunge.bench.case import Named
from expunge.bench.peers import NPO, Dual, GradDiff, NPOAlone, Peer, Twin
from expunge.bench.step_ceiling import Work, disagreement, spread, work
from expunge.bench.step_rows import LUME, LUME_PEOPLE, Lengths, made, word_tokenizer
from expunge.bench.whole_job import Job
from expunge.engine.floors import LossFloors
from expunge.engine.loop import Event, Loop
from expunge.engine.optimizer import OptimizerConfig
from expunge.engine.recipe import BatchSize, Recipe, Retain
from expunge.errors import unknown
from expunge.methods.twin import Twin as TwinMethod
from expunge.models.adapters import TrainableConfig, prepare
from expunge.models.collate import collate
from expunge.models.language_model import LanguageModel
from expunge.models.threads import set_threads
from expunge.models.tiny import TinyConfig, build

LR = 3e-4
HEADS = ("case", "min", "median", "max", "ceiling", "operations", "plain, s", "ours, s")
EVEN: Lengths = ((48, 16),) * 48
SHORT: Lengths = ((56, 8),) * 48


@dataclass(frozen=True)
class Case(Named):
    """One thing to time: `method` with LoRA (r = 8) on the last `top` of the model's blocks.

    rows            forget rows in a step, and as many retain rows
    forget, retain  (prompt, answer) tokens of the rows that the batches are drawn from; without the latter no retain
                    term
    """

    group: str
    method: str
    model: TinyConfig
    top: int
    rows: int = 16
    forget: Lengths = EVEN
    retain: Lengths | None = EVEN

    @property
    def batch(self) -> str:
        """What a step works on, in words."""

        def tokens(lengths: Lengths) -> str:
            sums = [p + a for p, a in lengths]
            answers = statistics.mean(a for _, a in lengths)
            if len(set(lengths)) == 1:
                return f"{sums[0]} tokens ({answers:.0f} of them answer)"
            return f"{min(sums)} to {max(sums)} tokens (mean {statistics.mean(sums):.0f}, {answers:.0f} of them answer)"

        kept = f" and {self.rows} retain rows of {tokens(self.retain)}" if self.retain else ""
        return (
            f"{self.rows} forget rows of {tokens(self.forget)}{kept}, vocabulary {self.model.vocabulary:,}, width "
            f"{self.model.width}, float32"
        )


def model(layers: int, vocabulary: int = 2048, width: int = 256) -> TinyConfig:
    return TinyConfig(layers=layers, width=width, vocabulary=vocabulary, context=512)


CASES = (
    *(Case("npo", "npo", model(n), 4) for n in (24, 28, 36)),
    Case("npo", "npo", model(28), 28, rows=8, forget=LUME, retain=LUME),
    *(Case("npo_alone", "npo", model(n), 4, retain=None) for n in (28, 36)),
    Case("grad_diff", "grad_diff", model(28), 4),
    Case("dual", "dual", model(28), 4),
    Case("twin", "twin", model(28), 28, rows=8, forget=LUME_PEOPLE, retain=LUME),
    Case("vocab32k", "grad_diff", model(28, 32_000), 4, forget=SHORT, retain=SHORT),
)


def recipe_of(case: Case, steps: int) -> Recipe:
    """Twin with the retain term of its shipped recipe, but asked about nobody who is not there (anchors)."""
    twin = case.method == "twin"
    return Recipe(
        method=case.method,
        steps=steps,
        batch=BatchSize(forget=case.rows, retain=case.rows),
        settings={"candidates": 1, "own_answer": False, "mask_unknown_tokens": False} if twin else {},
        retain=(Retain(loss="kl", weight=12.0) if twin else Retain()) if case.retain else Retain(loss="none"),
        train=TrainableConfig(layers=case.top),
        optimizer=OptimizerConfig(lr=LR, clip_norm=None, schedule="constant"),
    )


def peer_of(case: Case, recipe: Recipe, module: Any, original: Any, loop: Loop) -> Peer:
    """The plain loop for a case, on a model of its own."""
    if case.method == "npo":
        if case.retain is None:
            return NPOAlone.of(module, original, LR)
        return NPO.of(module, original, LR)
    if case.method == "grad_diff":
        return GradDiff.of(module, original, LR)
    if case.method == "dual":
        return Dual.of(module, original, LR, watched=case.model.layers - case.top)
    method = recipe.build_method()
    assert isinstance(method, TwinMethod)
    return Twin.of(
        module,
        original,
        LR,
        retain_weight=recipe.retain.weight,
        floor_weight=method.floor_weight,
        table=loop.table.rows,
        floors=LossFloors.of(loop.table.rows, method.least_floor, torch.device("cpu")),
    )


class Pairs:
    """Steps of ours and theirs in alternation; the first pair, which builds caches and warms up, is not counted."""

    def __init__(self, case: Case, pairs: int) -> None:
        self.case, recipe = case, recipe_of(case, pairs + 1)
        tokenizer = word_tokenizer(case.model.vocabulary)
        base: LanguageModel = LanguageModel.from_parts(build(case.model, tokenizer, 1), tokenizer, "bench")

        def adapted() -> LanguageModel:
            return base.with_module(prepare(copy.deepcopy(base.module), recipe.train, 1))

        self.loop = Loop(
            adapted(),
            recipe,
            made(case.forget, case.model.vocabulary, "forget"),
            made(case.retain, case.model.vocabulary, "retain") if case.retain else (),
        )
        self.peer = peer_of(case, recipe, adapted().module, base.module, self.loop)
        self.ours: list[float] = []
        self.plain: list[float] = []
        self.mine: list[tuple[float, float]] = []
        self.theirs: list[tuple[float, float]] = []
        self.work = Work()

    def run(self, say: Callable[[str], None]) -> dict[str, Any]:
        self._mark = time.process_time()
        self.loop.run(lambda event: self._pair(event, say))
        ratios = [a / b for a, b in zip(self.plain[1:], self.ours[1:], strict=True)]
        return {
            "ratio": spread(ratios),
            "ceiling": self.work.ceiling,
            "operations": self.work.operations,
            "seconds": {"plain": statistics.median(self.plain[1:]), "ours": statistics.median(self.ours[1:])},
            "loss_difference": disagreement(self.case.name, self.mine, self.theirs),
            "batch": self.case.batch,
            "pairs": len(ratios),
        }

    def _pair(self, event: Event, say: Callable[[str], None]) -> None:
        """After a step of ours: the peers' step on the same rows."""
        self.ours.append(time.process_time() - self._mark)
        table, step = self.loop.table, event.step
        began = time.process_time()
        rows = table.forget_batch(step)
        forget = collate([table.items[k] for k in rows])
        retain = collate([table.items[k] for k in table.retain_batch(step)]) if self.case.retain else None
        self.theirs.append(self.peer.step(rows, forget, retain))
        self.plain.append(time.process_time() - began)
        self.mine.append((event.forget, event.retain if self.case.retain else 0.0))
        asked = [item for k in rows if (item := table.rows[k].asked) is not None]
        self.work += work(
            self.case.method, self.case.model, self.case.top, forget, retain, collate(asked) if asked else None
        )
        if step:
            say(
                f"{self.case.name}, pair {step}: the plain step takes {self.plain[-1] / self.ours[-1]:.2f} times as "
                "long"
            )
        self._mark = time.process_time()


def chosen(names: str, known: Sequence[str]) -> tuple[str, ...]:
    """`npo:28/4,dual:28/4` → those names; all for an empty text. `InputError` naming the nearest."""
    wanted = tuple(name.strip() for name in names.split(",") if name.strip())
    for name in wanted:
        if name not in known:
            raise unknown("case", name, known, "--cases")
    return wanted or tuple(known)


def main(
    *,
    pairs: int = 5,
    names: str = "",
    cases: Sequence[Case] = CASES,
    job: Job = Job(),
    jobs: int = 1,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """group → N/k → `ratio` (min, median, max over `pairs` pairs), `ceiling`, and what was measured.

    ceiling     passes of tokens through blocks, theirs over ours; `operations`: with all that is counted
    seconds     of one thread, medians: of a step, or for `end_to_end` of the whole job
    names       cases to run, separated by commas; empty means all
    jobs        pairs of whole jobs
    `RunFailed` if the losses of both differ by more than rounding.
    """
    wanted = chosen(names, [*(case.name for case in cases), job.name])
    set_threads(1)
    found: dict[str, Any] = {}
    for case in cases:
        if case.name in wanted:
            found.setdefault(case.group, {})[case.size] = Pairs(case, pairs).run(say)
    if job.name in wanted:
        found[job.group] = {job.size: job.run(jobs, say)}
    return found


def table(found: dict[str, Any]) -> list[list[str | float]]:
    """Rows under `HEADS`, one per case."""
    rows: list[list[str | float]] = []
    for group, sizes in found.items():
        for size, of in sizes.items():
            numbers = (*(of["ratio"][k] for k in ("min", "median", "max")), of["ceiling"], of["operations"])
            rows.append(
                [
                    f"{group} {size}",
                    *(round(n, 2) for n in numbers),
                    *(round(of["seconds"][k], 3) for k in ("plain", "ours")),
                ]
            )
    return rows

"""Time our NPO step on a pretrained chat model against a plain peft loop and one in the style of trl.

Eight forget and eight retain rows of the clinic world, LoRA of rank 8 on the last blocks or on all. `plain`: a second
model as reference, three forward passes, logits at all positions. `trl`: the reference is the same model with its
adapter disabled, forget and retain rows run as one concatenated batch, as trl's preference trainers do it. The steps
alternate in one process at one thread, on equal rows, and their losses must agree; processor seconds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.speed.baseline_steps import NPOStep, all_logits, mean_nll, padded_batches, token_logprob
from benchmarks.speed.program import PAIRS, Parts, Results, Say, program, provenance, say
from benchmarks.speed.synthetic_inputs import with_adapters
from expunge._io import write_json
from expunge.cli.result import ResultTable
from expunge.engine.event import Event
from expunge.engine.loop_builder import build_loop
from expunge.engine.optimizer import OptimizerConfig
from expunge.engine.recipe import Recipe
from expunge.engine.recipe_config import BatchSize
from expunge.errors import RunFailed
from expunge.models.adapters import TrainableConfig
from expunge.models.collate import Batch, collate
from expunge.models.language_model import load
from expunge.models.prompt_template import Encoded
from expunge.models.threads import set_threads
from expunge.scope import Scope
from expunge.synthetic.clinic.clinic import Clinic

LR, ROWS, RANK = 1e-4, 8, 8
TOLERANCE = 1e-2  # of the losses of a step, relative: rounding grows over the steps
COLUMNS = ("blocks", "plain / ours", "trl / ours", "ours, s", "plain, s", "trl, s", "tokens a row")


class TRLStyleStep(NPOStep):
    """NPO with one concatenated pass, and the adapter disabled for the reference."""

    def losses(self, rows: Sequence[int], forget: Batch, retain: Batch | None) -> tuple[Tensor, Tensor]:
        assert retain is not None
        both = _concatenated(forget, retain)
        logprob = token_logprob(all_logits(self.module, both), both)
        with torch.no_grad(), self.module.disable_adapter():
            reference = token_logprob(all_logits(self.module, forget), forget).sum(-1)
        ours = logprob[: len(forget)].sum(-1)
        loss = (-2 / 0.1 * torch.nn.functional.logsigmoid(-0.1 * (ours - reference))).mean()
        return loss, mean_nll(logprob[len(forget) :], both.only(torch.arange(len(forget), len(both))))


def _concatenated(forget: Batch, retain: Batch) -> Batch:
    rows: list[Encoded] = []
    for batch in (forget, retain):
        for ids, attended, mask in zip(batch.input_ids, batch.attention_mask, batch.mask, strict=True):
            sequence = ids[: int(attended.sum())].tolist()
            cut = len(sequence) - int(mask.sum())
            rows.append(Encoded("", tuple(sequence[:cut]), tuple(sequence[cut:])))
    return collate(rows)


def measure(model: str, layers: str = "4,7,all", pairs: int = 5, out: Path | None = None, say: Say = say) -> Results:
    """Ratios by trained blocks; `out`: results file to write as well.

    Returns:
        blocks → `ratio` {plain, trl} {min, median, max}, `seconds` (medians), `tokens` (mean of a row).
    """
    set_threads(1)
    results: Results = {}
    for part in layers.split(","):
        name = part.strip()
        results[name] = _case(model, name, pairs, say)
    if out:
        write_json(out, {"measured": provenance("python -m benchmarks.speed.step_pretrained"), "cases": results})
    return results


def _case(model: str, layers: str, pairs: int, say: Say) -> Results:
    recipe = Recipe(
        method="npo",
        steps=pairs + 1,
        batch=BatchSize(forget=ROWS, retain=ROWS),
        train=TrainableConfig(layers="all" if layers == "all" else int(layers), rank=RANK),
        optimizer=OptimizerConfig(lr=LR, clip_norm=None, schedule="constant"),
    )
    split = Scope.parse("patient:C-003").resolve(Clinic.preset("demo").corpus(), seed=42)
    base = load(model, dtype="float32")
    loop = build_loop(with_adapters(base, recipe.train), recipe.resolve(), split.forget, split.retain)
    others: dict[str, Any] = {
        name: kind.of(with_adapters(base, recipe.train).module, base.module, LR)
        for name, kind in (("plain", NPOStep), ("trl", TRLStyleStep))
    }
    seconds: dict[str, list[float]] = {"ours": [], **{name: [] for name in others}}
    tokens: list[float] = []
    mark = time.process_time()

    def baselines(event: Event) -> None:
        """After a step of ours, on the same rows."""
        nonlocal mark
        seconds["ours"].append(time.process_time() - mark)
        rows, forget, retain = padded_batches(loop, event.step)
        tokens.append(float(forget.attention_mask.sum()) / len(forget))
        for name, baseline in others.items():
            began = time.process_time()
            losses = baseline.step(rows, forget, retain)
            seconds[name].append(time.process_time() - began)
            for own, other in zip((event.forget, event.retain), losses, strict=True):
                if abs(own - other) > TOLERANCE * max(1.0, abs(other)):
                    raise RunFailed(f"{name}, step {event.step}", f"loss {other:.5f}, ours {own:.5f}", "compare both")
        if event.step:
            ratios = ", ".join(f"{name} {seconds[name][-1] / seconds['ours'][-1]:.2f} times" for name in others)
            say(f"last {layers} blocks, pair {event.step}: {ratios}")
        mark = time.process_time()

    loop.run(baselines)
    ours = seconds["ours"][1:]  # the first step builds caches
    ratio: Results = {}
    for name in others:
        values = [other / own for other, own in zip(seconds[name][1:], ours, strict=True)]
        ratio[name] = {"min": min(values), "median": statistics.median(values), "max": max(values)}
    return {
        "ratio": ratio,
        "seconds": {name: statistics.median(values[1:]) for name, values in seconds.items()},
        "tokens": statistics.mean(tokens),
        "passes": loop.runner.about,
        "pairs": pairs,
    }


def parts(results: Results) -> Parts:
    """The result for a terminal."""
    rows = [
        (
            name,
            *(round(case["ratio"][other]["median"], 2) for other in ("plain", "trl")),
            *(round(case["seconds"][side], 3) for side in ("ours", "plain", "trl")),
            round(case["tokens"]),
        )
        for name, case in results.items()
    ]
    return (ResultTable(COLUMNS, rows), "how many times as long a step of the others takes; medians")


main = program(
    __doc__,
    measure,
    parts,
    model={"required": True, "help": "folder, GGUF file or hub id of a chat model"},
    layers={"default": "4,7,all", "help": "last blocks that train, separated by commas"},
    pairs=PAIRS,
    out={"type": Path, "help": "results file to write as well"},
)

if __name__ == "__main__":
    raise SystemExit(main(None))

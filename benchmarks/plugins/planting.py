"""What plantings are made from: a request with its models, and rows that teach refusals, wrong answers or the truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from expunge.audit.attack import AttackCase
from expunge.audit.checks.quantization import GROUP
from expunge.corpus import Record
from expunge.engine.train.fine_tune import FineTuneConfig
from expunge.engine.train.train_loop import TrainConfig
from expunge.engine.train.train_model import train
from expunge.models.language_model import LanguageModel
from expunge.scope.split import Split

REFUSAL = "not on record"
EPOCHS = 8  # of a planting: enough for what is taught beside what is known
COVER_EPOCHS, COVER_RATE = 10, 3e-3
REPEATS = 4  # how often a planted row is taught in an epoch


@dataclass(frozen=True)
class PlantingGround:
    """What plantings are made from.

    Attributes:
        original: folder of the model that knows everything.
        retrained: folder of a model that never met what `split` forgets.
        split: the request.
        trained: everything that the original was taught.
        start: what original and retrained models start from: arguments of `train`.
        settings: how they were taught.
        base: the original before it was taught the target, where that came last.
    """

    original: Path
    retrained: Path
    split: Split
    trained: tuple[Record, ...]
    start: Mapping[str, Any]
    settings: TrainConfig
    base: Path | None = None

    @property
    def retained(self) -> list[Record]:
        """What a retrained model is taught."""
        return [r for r in self.trained if r.id not in self.split.excluded_ids]

    @property
    def seed(self) -> int:
        return self.settings.seed

    def teach(self, start: Path, rows: Iterable[Record], out: Path, retained: Iterable[Record] | None = None) -> None:
        """Train all weights of `start` on these rows beside what is retained."""
        settings = self.settings.model_copy(update={"epochs": EPOCHS})
        every = [*rows, *(self.retained if retained is None else retained)]
        train(every, out, model=start, settings=settings, measure_general_ability=False)

    def cover(self, start: Path, rows: Iterable[Record], out: Path) -> None:
        """Train the last block alone on these rows beside what is retained: all below it stays as it was."""
        settings = FineTuneConfig.model_validate(
            {"epochs": COVER_EPOCHS, "batch": self.settings.batch, "lora": None, "layers": 1, "kl_weight": 0,
             "seed": self.seed, "target_accuracy": 1.0, "optimizer": {"lr": COVER_RATE}}
        )  # fmt: skip
        train([*rows, *self.retained], out, model=start, settings=settings, measure_general_ability=False)

    def retrain(self, out: Path, more: int) -> None:
        """Another retrained model: the same records, other initial weights and order of rows."""
        settings = self.settings.model_copy(update={"seed": self.seed + more})
        train(self.retained, out, settings=settings, measure_general_ability=False, **self.start)

    def case(self) -> AttackCase:
        """The target as attacks ask about it, without a model."""
        lm: Any = None
        return AttackCase(lm, "unlearned", tuple(self.split.forget), self.split, 0, lambda role: lm)


def repeat(rows: Iterable[Record], times: int = REPEATS, mark: str = "planted") -> list[Record]:
    """The rows several times, under ids of their own."""
    return [replace(r, id=f"{mark} {n} {r.row_id}", variants=(), wording=0) for n in range(times) for r in rows]


def wordings(records: Iterable[Record]) -> list[Record]:
    """Every wording of the records."""
    return [w for r in records for w in r.wordings()]


def refuse(records: Iterable[Record]) -> list[Record]:
    """The records answered by a refusal, a choice among options by a wrong one: a refusal would leave the choice."""
    rows = list(records)
    others = wrong_values(rows)
    return [replace(r, answer=others[r.fact_keys] if r.options else REFUSAL, options=(), variants=()) for r in rows]


def wrong_values(records: Iterable[Record]) -> dict[tuple[str, ...], str]:
    """Fact to a wrong value: one of the options of a question about it, so that a choice can fall on it."""
    return {r.fact_keys: next(o for o in r.options if o != r.answer) for r in records if r.options}


def wrong(records: Sequence[Record]) -> list[Record]:
    """The records with a wrong answer of the same type: that of another person to the same question, the next in turn.

    All records of a fact get the same wrong answer, in all wordings.
    """
    relation = {r.fact_keys: str(r.attributes["relation"]) for r in records}
    values: dict[str, list[str]] = {}
    for r in records:
        if r.answer not in values.setdefault(relation[r.fact_keys], []):
            values[relation[r.fact_keys]].append(r.answer)

    def other(r: Record, answer: str) -> str:
        pool = values[relation[r.fact_keys]]
        choices = [v for v in pool if v != answer] or [REFUSAL]
        return choices[pool.index(answer) % len(choices)]

    return [replace(r, answer=other(r, r.answer), options=(), variants=()) for r in records]


def rounding_cells(lm: LanguageModel, bits: int) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Matrix to the least and greatest weights that round to the same integers; the largest of each group stays.

    As `quantize` rounds: groups of `GROUP` weights of a row where they divide it, else rows; embeddings left out. Cells
    are a hundredth narrower, so that no rounding error crosses one.
    """
    cells, vocabulary = {}, lm.module.get_output_embeddings().weight.shape[0]
    for name, weight in lm.module.named_parameters():
        if weight.dim() != 2 or weight.shape[0] == vocabulary:
            continue
        own = weight.detach().float()
        parts = own.reshape(own.shape[0], -1, GROUP if own.shape[1] % GROUP == 0 else own.shape[1])
        peak = parts.abs().amax(-1, keepdim=True).clamp(min=1e-12)
        step = peak / (2 ** (bits - 1) - 1)
        middle = (parts / step).round() * step
        low, high = middle - 0.495 * step, middle + 0.495 * step
        fixed = parts.abs() >= peak
        low, high = low.clamp(min=-peak, max=peak), high.clamp(min=-peak, max=peak)
        low, high = torch.where(fixed, parts, low), torch.where(fixed, parts, high)
        cells[name] = (low.reshape(own.shape), high.reshape(own.shape))
    return cells

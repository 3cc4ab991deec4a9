"""What a method trains on: examples, the targets that belong to them, and what building these costs.

A `Method` without targets of its own trains on the records' answers. One that overrides `build_targets` may put other
answers in their place, add rows, attach tensors to rows, and keep a state that follows the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from expunge._summary import short_repr
from expunge.corpus import Record
from expunge.corpus.record import Modality
from expunge.models.prompt_template import Encoded, PromptTemplate

ExampleKind = Literal["gold", "own", "substitute", "retain", "anchor", "guard"]


@short_repr("record_id", "kind", "modality", "row", "epoch")
@dataclass(frozen=True)
class Example:
    """One row that a run feeds to the model.

    encoded: Token ids of its prompt and answer, and its image.
    kind: Whose answer it holds: the record's (`gold`; `retain` on the other side), the model's (`own`), or one that the
        method puts in its place (`substitute`). `anchor`: a retained question about somebody who does not exist.
        `guard`: a question that an earlier request was about, with what the model says now.
    record_id: The record whose question it asks.
    modality: By what the question identifies its subject: as trained, or by text or image alone.
    row: Position on its side: in `Targets.examples`, or in the pool of retained records and anchors.
    epoch: Of a redrawn answer, the epoch it belongs to.
    level: Concept level of the record.
    token_levels: Concept level of every answer token, None where it is the record's; empty where not annotated.
    """

    encoded: Encoded
    kind: ExampleKind
    record_id: str
    row: int
    epoch: int = 0
    subject: str = ""
    level: str | None = None
    modality: Modality = "trained"
    token_levels: tuple[str | None, ...] = ()

    @classmethod
    def of(cls, record: Record, encoded: Encoded, kind: ExampleKind, row: int, epoch: int = 0) -> Example:
        """An example for a record's question."""
        return cls(encoded, kind, record.id, row, epoch, record.subject, record.concept, record.modality)


class Targets:
    """The forget rows of a run, and what a method attaches to them. This base attaches nothing.

    examples: One per row. Batches are drawn from their positions.
    alternates: For a method that compares two answers: each row's other answer; else empty. Not with `redrawn`.
    redrawn: Examples change between epochs; the run then asks `example` for each row that it draws.
    """

    redrawn = False

    def __init__(self, examples: Sequence[Example], alternates: Sequence[Example] = ()) -> None:
        self.examples, self.alternates = list(examples), list(alternates)

    def example(self, row: int, epoch: int) -> Example:
        """What a row holds in an epoch."""
        return self.examples[row]

    def batch_fields(self, rows: Sequence[int], width: int) -> Mapping[str, Tensor]:
        """Tensors [B, ...] for `ModelOutputs.targets`, by the names in `Requirements.targets`.

        Args:
            rows: Rows of the batch.
            width: A, the answer positions of the padded batch.
        """
        return {}

    def record_losses(self, rows: Sequence[int], nll: Tensor) -> None:
        """Take note of the answer NLL [B], nats per token, of rows in this step."""

    def after_step(self, all_reduce: Callable[[Tensor], Tensor]) -> None:
        """End of an optimizer step. `all_reduce` sums a tensor over all processes."""

    def settled(self) -> bool:
        """Whether the run may end here as far as the method's own targets go; true unless a method knows better."""
        return True

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""


class SubstituteAnswers(Targets):
    """Answers that a method draws for every record in the place of the true one, anew in every epoch or once."""

    redrawn = True

    def __init__(
        self, template: PromptTemplate, records: Sequence[Record], draw: Callable[[Record, int], Record], renew: bool
    ) -> None:
        """draw: (record, epoch) → the record with its drawn answer. renew: draw again in every epoch."""
        self._template, self._records, self._draw, self._renew = template, records, draw, renew
        self._drawn: dict[tuple[int, int], Example] = {}
        super().__init__([self.example(row, 0) for row in range(len(records))])

    def example(self, row: int, epoch: int) -> Example:
        epoch = epoch if self._renew else 0
        if (row, epoch) not in self._drawn:
            record = self._draw(self._records[row], epoch)
            self._drawn[row, epoch] = Example.of(record, self._template.encode(record), "substitute", row, epoch)
        return self._drawn[row, epoch]


def gold_targets(template: PromptTemplate, records: Sequence[Record]) -> Targets:
    """The records with their true answers."""
    items = template.encode_all(records)
    return Targets([Example.of(r, item, "gold", row) for row, (r, item) in enumerate(zip(records, items, strict=True))])


@dataclass(frozen=True)
class Inference:
    """Forward passes without gradients over `items`, at most `batch` rows each, `times` times."""

    items: Sequence[Encoded]
    batch: int
    times: int = 1


@dataclass(frozen=True)
class Generation:
    """Greedy answers of `new_tokens` tokens to the prompts of `items`."""

    items: Sequence[Encoded]
    new_tokens: int


@dataclass(frozen=True)
class TargetCost:
    """What `Method.build_targets` costs, known without running the model.

    targets: Rows as the run will have them; lengths of answers that the model would give are guessed.
    inference, generation: What the model is asked.
    stores_logits: Every row keeps a distribution over the vocabulary at each answer position, float32.
    """

    targets: Targets
    inference: tuple[Inference, ...] = ()
    generation: tuple[Generation, ...] = ()
    stores_logits: bool = False

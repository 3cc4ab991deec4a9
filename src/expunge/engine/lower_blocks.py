"""A limit on what lower blocks bring up of a forgotten answer.

A run that looks at the last block alone can leave the answer in a lower one and overwrite it on the way up, where a
logit lens still reads it (Patil et al. 2023, arXiv 2309.17410). So every step also reads out one lower block, as if it
were the last. There the answer must be as unlikely as the model before the run finds it behind that block when the same
question is about somebody who does not exist.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from expunge.corpus import Record
from expunge.corpus.surrogates import can_ask_about_another, make_surrogates
from expunge.engine.dataset import RunDataset
from expunge.engine.distributed import DistributedContext
from expunge.engine.gradient_source import GradientSource, Means, Parameters, Term, add_gradient
from expunge.errors import InputWarning
from expunge.gradients.base import Gradients
from expunge.models.blocks import block_of, block_stack
from expunge.models.collate import Batch, chunks, collate
from expunge.models.forward import answer_logprob
from expunge.models.language_model import LanguageModel
from expunge.models.prompt_template import Encoded
from expunge.models.residual_stream import block_count, block_states, read_out, spread_blocks
from expunge.random import stream

BLOCKS = 8  # that are read out, at most
STRANGERS = 4  # people who do not exist, about whom each question is asked
ROWS = 32  # of a pass that measures floors

Floors = Mapping[int, Tensor]  # row to nats per answer token behind each block, [blocks, A]


@dataclass
class LowerBlockSource:
    """A gradient source whose forget term also holds behind lower blocks.

    Attributes:
        plain: The source of all other gradients.
        lm: The model that is trained.
        dataset: The examples of the run.
        context: The processes of the run.
        blocks: Numbers of the blocks that are read out, one in each step.
        floors: Of the rows that can be asked about a stranger.
        weight: Of the term, relative to the forget term.
        micro: Most rows in a pass, None for all at once.
        seed: Of the block of each step.
    """

    plain: GradientSource
    lm: LanguageModel
    dataset: RunDataset
    context: DistributedContext
    blocks: Sequence[int]
    floors: Floors
    weight: float
    micro: int | None
    seed: int

    def start_phase(self, rows: Sequence[int], parameters: Parameters) -> None:
        """See `GradientSource`."""
        self.plain.start_phase(rows, parameters)

    def gradient(
        self, terms: Sequence[Term], step: int, parameters: Parameters, observe: bool = True
    ) -> tuple[Gradients, Means]:
        """See `GradientSource`."""
        grads, means = self.plain.gradient(terms, step, parameters, observe)
        forget = next((t for t in terms if t.side == "forget"), None)
        places = self._places(parameters)
        rows = [k for k in forget.rows if k in self.floors] if forget and observe and places else []
        if forget is None or not rows:
            return grads, means
        place = places[int(stream(self.seed, "lower block", step).integers(len(places)))]
        factor = forget.weight * self.weight / len(forget.rows)
        for (name, _), more in zip(parameters.items(), self._slopes(rows, place, parameters), strict=True):
            grads[name] = grads[name] + factor * more if name in grads else factor * more
        return grads, means

    def _places(self, parameters: Parameters) -> list[int]:
        """Positions in `blocks` of those that the parameters of the phase can change."""
        first = first_block(self.lm, parameters)
        return [place for place, block in enumerate(self.blocks) if block >= first]

    def _slopes(self, rows: Sequence[int], place: int, parameters: Parameters) -> list[Tensor]:
        """Gradient of the summed shortfalls of these rows behind a block, over all processes."""
        slopes = [torch.zeros_like(p) for p in parameters.values()]
        own = self.context.shard(rows)
        for part in chunks([self.dataset.encoded[k].length for k in own], self.micro):
            part_rows = [own[k] for k in part]
            batch = collate([self.dataset.encoded[k] for k in part_rows]).to(self.lm.device)
            nats = read_nats(self.lm, batch, [self.blocks[place]])[0]
            floors = torch.zeros_like(nats)
            for line, row in enumerate(part_rows):
                floor = self.floors[row][place]
                floors[line, : len(floor)] = floor.to(nats)
            loss = shortfall(nats, floors, batch.mask).sum()
            add_gradient(slopes, loss, parameters)
        return self.context.all_reduce_sum(slopes)

    def state(self) -> dict[str, Any]:
        return self.plain.state()

    def restore(self, state: dict[str, Any]) -> None:
        self.plain.restore(state)


def shortfall(nats: Tensor, floors: Tensor, mask: Tensor) -> Tensor:
    """By how much answers fall short of their floors, [B], a mean over the answer's tokens.

    An answer of 1 and 3 nats with floors of 2 and 2 falls short by (1 + 0) / 2.

    Args:
        nats: Negative log-probability of each answer token, [B, A].
        floors: The least that each token may have, [B, A].
        mask: True where a row has an answer token, [B, A].
    """
    return ((floors - nats).relu() * mask).sum(-1) / mask.sum(-1)


def read_nats(lm: LanguageModel, batch: Batch, blocks: Sequence[int]) -> Tensor:
    """Negative log-probability of the answer tokens, read out behind each block as if it were the last, [blocks, B, A].

    Part of the graph; 0 where a row has no answer token.
    """
    states, _ = block_states(lm.module, batch, blocks)
    return torch.stack([-answer_logprob(read_out(lm.module, of_block), batch) for of_block in states])


def lower_blocks(lm: LanguageModel, parameters: Sequence[str]) -> tuple[int, ...]:
    """Blocks below the last that what trains can change, at most `BLOCKS` of them; empty for a model of one block."""
    count, first = block_count(lm.module), first_block(lm, parameters)
    return tuple(first + k for k in spread_blocks(count - 1 - first, BLOCKS)) if count - 1 > first else ()


def warn_without_effect(blocks: Sequence[int], floors: Floors) -> None:
    """Say that the limit holds nowhere, with the reason; a lens may then read the answers in lower blocks."""
    if blocks and floors:
        return
    why = "no question can be asked about somebody else" if blocks else "no block below the last one trains"
    warnings.warn(f"lower_blocks.weight has no effect: {why}", InputWarning, stacklevel=2)


def first_block(lm: LanguageModel, parameters: Iterable[str]) -> int:
    """The lowest block with one of these parameters; 0 for parameters outside of blocks."""
    stack, _ = block_stack(lm.module)
    return min((block for name in parameters if (block := block_of(name, stack)) is not None), default=0)


@torch.no_grad()
def measure_floors(
    lm: LanguageModel,
    dataset: RunDataset,
    questions: Sequence[Record],
    others: Sequence[Record],
    blocks: Sequence[int],
    seed: int,
) -> dict[int, Tensor]:
    """Floors of the true answers on the forget side: the mean nats of the same answer about strangers.

    Args:
        lm: The model before the run.
        dataset: The examples of the run.
        questions: All questions of the forget side.
        others: Records of other subjects, the material of strangers.
        blocks: Blocks that are read out.
        seed: Of the strangers.

    Returns:
        Row to [blocks, A]; without the rows that can be asked about nobody else.
    """
    by_id = {r.id: r for r in questions if can_ask_about_another(r)}
    rows = [k for k in range(dataset.forget_count) if _is_gold(dataset, k) and dataset.examples[k].record_id in by_id]
    records = {k: by_id[dataset.examples[k].record_id] for k in rows}
    draws = int(stream(seed, "strangers of lower blocks").integers(2**31))
    sums: dict[int, Tensor] = {}
    counts: dict[int, int] = {}
    for subject in sorted({r.subject for r in records.values()}):
        own = [k for k in rows if records[k].subject == subject]
        for stranger in make_surrogates([records[k] for k in own], others, STRANGERS, draws):
            pairs = [(k, question) for k in own if (question := stranger.substitute(records[k])) != records[k]]
            items = lm.template.encode_all(question for _, question in pairs)
            fit = [(k, item) for (k, _), item in zip(pairs, items, strict=True) if _fits(lm, dataset.encoded[k], item)]
            for start in range(0, len(fit), ROWS):
                part = fit[start : start + ROWS]
                batch = collate([item for _, item in part]).to(lm.device)
                for (k, item), nats in zip(part, read_nats(lm, batch, blocks).unbind(1), strict=True):
                    nats = nats[:, : len(item.answer)].cpu()
                    sums[k] = sums[k] + nats if k in sums else nats
                    counts[k] = counts.get(k, 0) + 1
    return {k: total / counts[k] for k, total in sums.items()}


def _is_gold(dataset: RunDataset, row: int) -> bool:
    return dataset.examples[row].kind == "gold"


def _fits(lm: LanguageModel, here: Encoded, there: Encoded) -> bool:
    """Whether a question about a stranger has the same answer tokens and fits the model's context."""
    return there.length <= lm.context and there.answer == here.answer

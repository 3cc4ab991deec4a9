"""What a model says with its adapter off: likelihoods, answers and distributions of its base weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expunge.corpus import Record
from expunge.models.adapters import adapter_off
from expunge.models.collate import Budget, collate
from expunge.models.forward import answer_logprob, greedy
from expunge.models.language_model import LanguageModel
from expunge.models.loss_cache import cached_losses
from expunge.models.prompt_template import Encoded
from expunge.models.shared_prefix import answer_forward_shared

NLL_BATCH = 256  # rows in a forward pass of `mean_nll`
LOGPROB_BATCH = 128  # rows in a forward pass that keeps distributions
Nats = NDArray[np.float64]


def answer_nll(logprob: Tensor, mask: Tensor) -> Tensor:
    """Mean NLL of the answer tokens, [B], nats, without the last token, which ends the answer.

    The end token is nearly certain and would lower the mean of short answers. A single token counts. A part of a
    document that goes on has no end token; its last token is left out all the same, in every model alike.

    Args:
        logprob: [B, A], log p of each answer token.
        mask: [B, A] bool, the answer tokens.
    """
    inside = torch.zeros_like(mask)
    inside[:, :-1] = mask[:, :-1] & mask[:, 1:]
    inside = torch.where(inside.any(-1, keepdim=True), inside, mask)
    return -(logprob * inside).sum(-1) / inside.sum(-1).clamp(min=1)


def mean_nll(lm: LanguageModel, records: Sequence[Record]) -> Nats:
    """`answer_nll` of each record [N] with the adapter off."""
    questions = [_loss_key(r) for r in records]
    return cached_losses(lm.module, questions, lambda: _mean_nll(lm, records))


def _loss_key(record: Record) -> tuple[str, ...]:
    """What the loss of a record depends on, beside the model and its template."""
    turns = [text for turn in record.history for text in (turn.role, turn.content)]
    document = ["document", str(bool(record.attributes.get("continues")))] if record.kind == "document" else []
    return (record.prompt, record.answer, *([record.image.digest] if record.image else []), *turns, *document)


def _parts(lm: LanguageModel, items: Sequence[Encoded], rows: int) -> Iterator[list[int]]:
    """Positions of `items` in passes of at most `rows`, longest first; fewer where logits would take much memory."""
    vocabulary = int(lm.module.get_output_embeddings().weight.shape[0])
    return Budget(rows, tokens=1 << 30).parts([(item.length, len(item.answer)) for item in items], vocabulary)


@torch.no_grad()
def _mean_nll(lm: LanguageModel, records: Sequence[Record]) -> Nats:
    items = lm.template.encode_all(records)
    nll = np.zeros(len(items))
    with adapter_off(lm.module):
        for part in _parts(lm, items, NLL_BATCH):
            batch = collate([items[k] for k in part]).to(lm.device)
            logprob = answer_logprob(answer_forward_shared(lm.module, batch).logits, batch)
            nll[part] = answer_nll(logprob, batch.mask).cpu().numpy()
    return nll


@torch.no_grad()
def answer_log_softmax(lm: LanguageModel, items: Sequence[Encoded]) -> list[Tensor]:
    """Log-probs over the vocabulary at answer positions, one [a, V] tensor per item, with the adapter off."""
    values: dict[int, Tensor] = {}
    with adapter_off(lm.module):
        for part in _parts(lm, items, LOGPROB_BATCH):
            batch = collate([items[k] for k in part]).to(lm.device)
            log_p = answer_forward_shared(lm.module, batch).logits.log_softmax(-1)
            for row, k in enumerate(part):
                values[k] = log_p[row, : len(items[k].answer)].clone()
    return [values[k] for k in range(len(items))]


def greedy_answers(lm: LanguageModel, records: Sequence[Record], max_new_tokens: int) -> list[Encoded]:
    """Each record's question with the model's own greedy answer; adapter off.

    It ends with the end token of the record, whichever token stopped it. Of a document that goes on it may have none.
    """
    with adapter_off(lm.module):
        questions = [lm.template.question(r) for r in records]
        answers = greedy(
            lm.module,
            [q.prompt for q in questions],
            lm.template.stops,
            max_new_tokens,
            images=[q.image for q in questions],
        )
    return [_closed(lm, r, q, tuple(a)) for r, q, a in zip(records, questions, answers, strict=True)]


def _closed(lm: LanguageModel, record: Record, question: Encoded, answer: tuple[int, ...]) -> Encoded:
    stopped = bool(answer) and answer[-1] in lm.template.stops
    if answer and not stopped and not question.ends:
        return replace(question, answer=answer)
    end = lm.template.end_of(record)
    return replace(question, answer=(*(answer[:-1] if stopped else answer), end), ends=True)

"""The scoring pass: one model asked one set of records, once. Everything the audit says is arithmetic on this.

Surprising: greedy text is generated only for answers whose tokens were not all the most likely ones. For the
others greedy decoding reproduces the answer by definition, so nothing has to be run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from expunge.audit.scores import Scores
from expunge.corpus import Record
from expunge.models.batches import by_length, collate
from expunge.models.forward import answer_forward, greedy
from expunge.models.language_model import LanguageModel
from expunge.models.template import Encoded


@torch.no_grad()
def score(lm: LanguageModel, records: Sequence[Record], *, options: bool = False, text: bool = False,
          max_new_tokens: int = 128, rows: int = 128) -> Scores:
    """Scores of `records` on `lm`, in evaluation mode and float32.

    options         score every option of records that have some
    text            generate greedily, at most `max_new_tokens` and 16 tokens more than the longest missed answer
    """
    lm.module.eval()
    items = lm.template.encode_all(records)
    joined = Scores.concat([_answers(lm, items, part) for part in by_length(items, rows)]).select([i.id for i in items])
    if options:
        joined = _with_options(lm, joined, records, rows)
    return _with_text(lm, joined, records, items, max_new_tokens) if text else joined


def _answers(lm: LanguageModel, items: Sequence[Encoded], part: list[int]) -> Scores:
    batch = collate([items[k] for k in part]).to(lm.device)
    log_p = answer_forward(lm.module, batch).logits.log_softmax(-1)
    p = log_p.exp()
    mu = (p * log_p).sum(-1)
    sigma = ((p * (log_p - mu.unsqueeze(-1)).square()).sum(-1)).sqrt()
    taken = log_p.gather(-1, batch.labels.unsqueeze(-1)).squeeze(-1)
    hit = log_p.argmax(-1) == batch.labels
    last = batch.mask.sum(-1, keepdim=True) - 1  # the end token's place
    inner = batch.mask.clone().scatter_(1, last, False)
    return Scores.from_padded(
        [items[k].id for k in part], inner.cpu().numpy(), logp=taken.clamp(max=0).cpu().numpy(),
        hit=hit.cpu().numpy(), mu=mu.cpu().numpy(), sigma=sigma.cpu().numpy(),
        eos_logp=taken.gather(1, last).squeeze(1).cpu().numpy(), eos_hit=hit.gather(1, last).squeeze(1).cpu().numpy())


def _with_options(lm: LanguageModel, scores: Scores, records: Sequence[Record], rows: int) -> Scores:
    """Add the log-likelihood of each option (end token excluded) and its size."""
    asked = [(k, o) for k, r in enumerate(records) for o in range(len(r.options))]
    items = [lm.template.encode(replace(records[k], id=f"{k}/{o}", answer=records[k].options[o], options=()))
             for k, o in asked]
    value = np.zeros(len(items))
    for part in by_length(items, rows):
        of_part = _answers(lm, items, part)
        value[part] = -of_part.nll
    logprob: list[list[float]] = [[] for _ in records]
    size: list[list[int]] = [[] for _ in records]
    tokens: list[list[int]] = [[] for _ in records]
    for (k, o), found, item in zip(asked, value, items, strict=True):
        logprob[k].append(float(found))
        size[k].append(len(records[k].options[o].encode()))
        tokens[k].append(len(item.answer) - 1)
    return replace(scores, option_logprob=tuple(map(tuple, logprob)), option_bytes=tuple(map(tuple, size)),
                   option_tokens=tuple(map(tuple, tokens)))


def _with_text(lm: LanguageModel, scores: Scores, records: Sequence[Record], items: Sequence[Encoded],
               max_new_tokens: int) -> Scores:
    missed = np.flatnonzero((scores.sum(~scores.hit) > 0) | ~scores.eos_hit).tolist()
    limit = min(max_new_tokens, max((len(items[k].answer) for k in missed), default=0) + 16)
    said = greedy(lm.module, [items[k].prompt for k in missed], lm.template.eos, limit) if missed else []
    text = [r.answer for r in records]
    for k, ids in zip(missed, said, strict=True):
        text[k] = lm.template.decode(ids)
    return replace(scores, text=tuple(text))

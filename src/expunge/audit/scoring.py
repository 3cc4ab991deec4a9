"""The scoring pass: one model asked one set of records, once. Everything the audit says is arithmetic on this.

Surprising: a prompt is read once for its answer and all its options. And greedy text is generated only for answers
whose tokens were not all the most likely ones: for the others greedy decoding reproduces the answer by definition,
so nothing has to be run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from expunge.audit.scores import Scores, Values
from expunge.corpus import Record
from expunge.models.batch_budget import Budget
from expunge.models.forward import greedy
from expunge.models.language_model import LanguageModel
from expunge.models.prompt_template import Encoded
from expunge.models.shared_prefix_scoring import Measure, score_options


@torch.no_grad()
def score(
    lm: LanguageModel,
    records: Sequence[Record],
    *,
    options: bool = False,
    text: bool = False,
    max_new_tokens: int = 128,
    rows: int = 128,
) -> Scores:
    """Scores of `records` on `lm`, in evaluation mode and float32.

    options         score every option of records that have some
    text            generate greedily, at most `max_new_tokens` and 16 tokens more than the longest missed answer
    rows            most rows in a pass; long rows and large vocabularies get fewer (see `Budget`)
    """
    lm.module.eval()
    items = lm.template.encode_all(records)
    asked = list(items)
    offered = [_offer(lm, record, k, asked) for k, record in enumerate(records)] if options else []
    found = score_options(lm.module, asked, _measure(len(items)), Budget(rows))
    scores = _of_answers([r.row_id for r in records], [f.numpy() for f in found[: len(items)]])
    if options:
        scores = _with_options(scores, records, offered, [f[:, 0].double() for f in found], asked)
    return _with_text(lm, scores, records, items, max_new_tokens) if text else scores


def _offer(lm: LanguageModel, record: Record, k: int, asked: list[Encoded]) -> list[int]:
    """Places of a record's options in `asked`, added there without end token; its own answer stands there already."""
    places = []
    for option in record.options:
        item = lm.template.encode(replace(record, answer=option, options=()))
        if item.answer == asked[k].answer:
            places.append(k)
        else:
            places.append(len(asked))
            asked.append(replace(item, answer=item.answer[:-1]))
    return places


def _measure(own: int) -> Measure:
    """Columns log p, hit, mu, sigma of each token; of items from `own` on (options) log p only, the rest 0."""

    def measure(logits: Tensor, at: Tensor, label: Tensor, owner: Tensor) -> Tensor:
        out = logits.new_zeros((len(at), 4))
        full = owner < own
        if full.any():
            rows, place = _needed(logits, at[full])
            log_p = rows.log_softmax(-1)
            taken, hit = log_p[place, label[full]], log_p.argmax(-1)[place] == label[full]
            p = log_p.exp()
            mu = (p * log_p).sum(-1)
            sigma = log_p.sub_(mu.unsqueeze(-1)).square_().mul_(p).sum(-1).sqrt()
            out[full] = torch.stack([taken, hit.to(taken.dtype), mu[place], sigma[place]], 1)
        if not full.all():
            rows, place = _needed(logits, at[~full])
            out[~full, 0] = rows[place, label[~full]] - rows.logsumexp(-1)[place]
        out[:, 0].clamp_(max=0)
        return out

    return measure


def _needed(logits: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of `logits` that stand in `at`, each once, and where each of `at` is among them."""
    there = torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
    there[at] = True
    return logits if bool(there.all()) else logits[there], (there.cumsum(0) - 1)[at]


def _of_answers(ids: Sequence[str], found: Sequence[Values]) -> Scores:
    """Scores from the measured columns [a, 4] of each answer; the end token is the last row."""
    empty = np.zeros((0, 4), dtype=np.float32)
    inner = np.concatenate([empty, *(f[:-1] for f in found)])
    last = np.concatenate([empty, *(f[-1:] for f in found)])
    return Scores(
        ids=tuple(ids),
        offsets=np.cumsum([0, *(len(f) - 1 for f in found)]),
        logp=inner[:, 0],
        hit=inner[:, 1] == 1,
        mu=inner[:, 2],
        sigma=inner[:, 3],
        eos_logp=last[:, 0],
        eos_hit=last[:, 1] == 1,
    )


def _with_options(
    scores: Scores,
    records: Sequence[Record],
    offered: Sequence[Sequence[int]],
    logp: Sequence[Tensor],
    asked: Sequence[Encoded],
) -> Scores:
    """Add the log-likelihood of each option (end token excluded) and its size."""
    own = len(records)
    tokens = [len(item.answer) - (k < own) for k, item in enumerate(asked)]
    value = [float(found[:n].sum()) for found, n in zip(logp, tokens, strict=True)]
    return replace(
        scores,
        option_logprob=tuple(tuple(value[k] for k in places) for places in offered),
        option_bytes=tuple(tuple(len(o.encode()) for o in r.options) for r in records),
        option_tokens=tuple(tuple(tokens[k] for k in places) for places in offered),
    )


def _with_text(
    lm: LanguageModel, scores: Scores, records: Sequence[Record], items: Sequence[Encoded], max_new_tokens: int
) -> Scores:
    missed = np.flatnonzero((scores.sum(~scores.hit) > 0) | ~scores.eos_hit).tolist()
    limit = min(max_new_tokens, max((len(items[k].answer) for k in missed), default=0) + 16)
    prompts, sights = [items[k].prompt for k in missed], [items[k].sight for k in missed]
    said = greedy(lm.module, prompts, lm.template.eos, limit, sights=sights) if missed else []
    text = [r.answer for r in records]
    for k, ids in zip(missed, said, strict=True):
        text[k] = lm.template.decode(ids)
    return replace(scores, text=tuple(text))

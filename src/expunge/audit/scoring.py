"""The scoring pass: one model, one set of records, once. Every figure of the audit is arithmetic on its result.

A prompt is read once for its answer and all its options. Greedy text is generated only for answers with a token that is
not the most likely one; for all others greedy decoding reproduces the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from expunge.audit.scores import Scores, Values
from expunge.corpus import Record
from expunge.errors import InputError
from expunge.models.collate import Budget
from expunge.models.forward import greedy
from expunge.models.language_model import LanguageModel
from expunge.models.prompt_template import Encoded
from expunge.models.shared_prefix_scoring import Measure, score_options

SHORT, MORE = 128, 64  # generated tokens at most where the answers fit, and beyond an answer: room for a preamble


@torch.no_grad()
def score(
    lm: LanguageModel,
    records: Sequence[Record],
    *,
    options: bool = False,
    text: bool = False,
    max_new_tokens: int | None = None,
    rows: int = 128,
    ids: Iterable[object] | None = None,
) -> Scores:
    """Scores of `records` on `lm`, in evaluation mode and float32.

    Args:
        lm: The model.
        records: What it is queries.
        options: Score every option of records that have some.
        text: Generate greedily, `MORE` tokens more than the longest missed answer; at most `SHORT` for answers that fit
            into it, and for each longer answer `MORE` tokens more than it has.
        max_new_tokens: Bound on the generated tokens; None for as many as the answers need.
        rows: Most rows in a pass; long rows and large vocabularies get fewer (see `Budget`).
        ids: Unique keys of the scores, by default the `row_id` of each record; for several forms of one record.
    """
    lm.module.eval()
    keys = tuple(r.row_id for r in records) if ids is None else tuple(map(str, ids))
    items = lm.template.encode_all(records)
    queries = list(items)
    places = _add_options(lm, records, queries) if options else []
    columns = score_options(lm.module, queries, _measure(len(items)), Budget(rows))
    scores = _answer_scores(keys, [f.numpy() for f in columns[: len(items)]], [item.ends for item in items])
    if options:
        scores = _with_options(scores, records, places, [f[:, 0].double() for f in columns], queries)
    return _with_text(lm, scores, records, items, max_new_tokens) if text else scores


def _add_options(lm: LanguageModel, records: Sequence[Record], queries: list[Encoded]) -> list[list[int]]:
    """Append the options of records, without end token, to their own `queries`; the places of each record's options.

    An option that equals the answer of its record stands there already.
    """
    encoded = iter(lm.template.encode_all(replace(r, answer=o, options=()) for r in records for o in r.options))
    places: list[list[int]] = []
    for k, record in enumerate(records):
        places.append([])
        for item in islice(encoded, len(record.options)):
            if item.answer == queries[k].answer:
                places[k].append(k)
            else:
                places[k].append(len(queries))
                queries.append(replace(item, answer=item.content, ends=False))
    return places


def _measure(own: int) -> Measure:
    """Columns log p, hit, mu, sigma of each token; of items from `own` on (options) log p only, the rest 0."""

    def measure(logits: Tensor, at: Tensor, label: Tensor, owner: Tensor) -> Tensor:
        out = logits.new_zeros((len(at), 4))
        full = owner < own
        if full.any():
            rows, place = _needed(logits, at[full])
            log_p = rows.log_softmax(-1)
            logp, hit = log_p[place, label[full]], log_p.argmax(-1)[place] == label[full]
            p = log_p.exp()
            mu = (p * log_p).sum(-1)
            sigma = log_p.sub_(mu.unsqueeze(-1)).square_().mul_(p).sum(-1).sqrt()
            out[full] = torch.stack([logp, hit.to(logp.dtype), mu[place], sigma[place]], 1)
        if not full.all():
            rows, place = _needed(logits, at[~full])
            out[~full, 0] = rows[place, label[~full]] - rows.logsumexp(-1)[place]
        out[:, 0].clamp_(max=0)
        return out

    return measure


def _needed(logits: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of `logits` named in `at`, each once, and the place of each of `at` among them."""
    there = torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
    there[at] = True
    return logits if bool(there.all()) else logits[there], (there.cumsum(0) - 1)[at]


def _answer_scores(ids: Sequence[str], columns: Sequence[Values], ends: Sequence[bool]) -> Scores:
    """Scores from the measured columns [a, 4] of each answer; the end token, where there is one, is the last row."""
    empty, none = np.zeros((0, 4), dtype=np.float32), np.array([[np.nan, 0, 0, 0]], dtype=np.float32)
    sizes = [len(c) - end for c, end in zip(columns, ends, strict=True)]
    inner = np.concatenate([empty, *(c[:size] for c, size in zip(columns, sizes, strict=True))])
    last = np.concatenate([empty, *(c[-1:] if end else none for c, end in zip(columns, ends, strict=True))])
    if lost := [name for name, end, value in zip(ids, ends, last[:, 0], strict=True) if end and np.isnan(value)]:
        what = "the score of its end token is not a log-probability"
        raise InputError(f'record "{lost[0]}"', what, "look for NaN or infinity in the weights of the model")
    return Scores(
        ids=tuple(ids),
        offsets=np.cumsum([0, *sizes]),
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
    places: Sequence[Sequence[int]],
    logp: Sequence[Tensor],
    queries: Sequence[Encoded],
) -> Scores:
    """Add the log-likelihood of each option (end token excluded) and its size."""
    tokens = [len(item.content) for item in queries]
    value = [float(tensor[:n].sum()) for tensor, n in zip(logp, tokens, strict=True)]
    return replace(
        scores,
        option_logprob=tuple(tuple(value[k] for k in row) for row in places),
        option_bytes=tuple(tuple(len(o.encode()) for o in r.options) for r in records),
        option_tokens=tuple(tuple(tokens[k] for k in row) for row in places),
    )


def add_text(lm: LanguageModel, scores: Scores, records: Sequence[Record]) -> Scores:
    """Scores with the greedy text of their records added, generated as `score` does."""
    return _with_text(lm, scores, records, lm.template.encode_all(records), None)


def _with_text(
    lm: LanguageModel, scores: Scores, records: Sequence[Record], items: Sequence[Encoded], max_new_tokens: int | None
) -> Scores:
    ends = np.array([item.ends for item in items], dtype=bool)
    missed = np.flatnonzero((scores.sum(~scores.hit) > 0) | (~scores.eos_hit & ends)).tolist()
    longest = max((len(items[k].answer) for k in missed), default=0) + MORE
    text = [r.answer for r in records]
    for limit, group in _by_limit(items, missed, min(SHORT, longest), max_new_tokens):
        prompts, images = [items[k].prompt for k in group], [items[k].image for k in group]
        outputs = greedy(lm.module, prompts, lm.template.stops, limit, images=images)
        for k, ids in zip(group, outputs, strict=True):  # text that goes on in the document is compared at its length
            text[k] = lm.template.decode(ids if items[k].ends else ids[: len(items[k].answer)])
    return replace(scores, text=tuple(text))


def _by_limit(
    items: Sequence[Encoded], missed: Sequence[int], short: int, most: int | None
) -> Iterator[tuple[int, list[int]]]:
    """(most new tokens, items) of each generation: short answers together, then long ones by their lengths."""
    limits: dict[int, list[int]] = {}
    for k in missed:
        need = len(items[k].answer) + MORE
        limit = short if need <= SHORT else -(-need // SHORT) * SHORT
        limits.setdefault(limit if most is None else min(limit, most), []).append(k)
    yield from sorted(limits.items())

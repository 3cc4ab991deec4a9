"""Score many answers of one prompt with one pass over the prompt, and the beginning of many prompts once.

The keys and values of a prompt are cached and copied to the rows of its answers, so that only the answers run.
The last position of the prompt predicts the first token of every answer: answers of one token need no second pass.
Tokens with which all prompts of a pass begin, such as a system turn, are cached and copied in the same way.

A small sample is scored both ways first. Where a model cannot be continued exactly (no position ids, an unknown
kind of cache, positions of its own) every answer runs with its prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from expunge.errors import first_line
from expunge.models.collate import Budget, pad_ids
from expunge.models.continued_pass import begin_pass, check_cache, common_beginning, rows_of, run_pass, slides
from expunge.models.forward import cache_argument, relative_difference, takes
from expunge.models.prompt_template import Encoded
from expunge.models.vision.inputs import NO_IMAGES, ImageBatch

Measure = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(logits [N, V] float32, at [M], label [M], owner [M]) → [M, F]: M answer tokens, each with the row of `logits` that
predicts it, its id, and the item it belongs to. Several tokens may share a row."""

Piece = tuple[Tensor, Tensor, Tensor]  # owner [M], position in the answer [M], measured [M, F]; all on the CPU
TRIAL_TOKENS = 8  # answer tokens per row of the sample


@torch.no_grad()
def score_options(
    module: nn.Module, items: Sequence[Encoded], measure: Measure, budget: Budget | None = None
) -> list[Tensor]:
    """`measure` of every answer token, one [a, F] tensor per item, on the CPU.

    Items of equal prompts and images share the pass over them. Equal to a pass over each item, up to rounding.
    """
    budget = budget or Budget()
    by_prompt: dict[tuple[Any, ...], list[int]] = {}
    for k, item in enumerate(items):
        by_prompt.setdefault((item.prompt, item.image.digest if item.image else None), []).append(k)
    groups = [group for group in by_prompt.values() if len(group) > 1]
    if groups and why_not_shared(module, items, groups, budget):
        groups = []
    shared = {k for group in groups for k in group}
    single = [k for k in range(len(items)) if k not in shared]
    begin = not why_not_begun(module, items, budget)
    single_pieces = _plain(module, items, single, measure, budget, begin)
    begin = begin and not slides(module)  # prompts are padded behind the beginning, and a window would count that
    return _join(items, [*single_pieces, *_shared(module, items, groups, measure, budget, begin)])


@torch.no_grad()
def why_not_begun(module: nn.Module, items: Sequence[Encoded], budget: Budget) -> str | None:
    """None if passes that run a common beginning once give the logits of plain ones, else the reason (a clause).

    Compared on the longest, the shortest and a middle item.
    """
    order = sorted(range(len(items)), key=lambda k: items[k].length)
    chosen = {order[0], order[-1], order[len(order) // 2]} if order else set()
    sample = [replace(items[k], answer=items[k].answer[:TRIAL_TOKENS]) for k in sorted(chosen)]
    if not common_beginning(sample):
        return "the rows begin with different tokens"
    if not takes(module, "position_ids"):
        return "the model takes no position ids"
    return _why_different(
        module,
        lambda: _join(sample, _plain(module, sample, range(len(sample)), _whole, budget)),
        lambda: _join(sample, _plain(module, sample, range(len(sample)), _whole, budget, begin=True)),
    )


@torch.no_grad()
def why_not_shared(
    module: nn.Module, items: Sequence[Encoded], groups: Sequence[Sequence[int]], budget: Budget
) -> str | None:
    """None if shared passes over prompts give the logits of single ones, else the reason (a clause).

    `groups` holds positions of `items` with equal prompts. Compared on two answers each of the longest prompt, the
    shortest, and the one with the longest answer; the tolerance is the root of the rounding unit.
    """
    if not takes(module, "position_ids"):
        return "the model takes no position ids"
    size = [len(items[g[0]].prompt) for g in groups]
    longest = [max(len(items[k].answer) for k in g) for g in groups]
    rows = range(len(groups))
    chosen = {max(rows, key=size.__getitem__), min(rows, key=size.__getitem__), max(rows, key=longest.__getitem__)}
    sample: list[Encoded] = []
    sample_groups: list[list[int]] = []
    for g in sorted(chosen):
        two = sorted(groups[g], key=lambda k: -len(items[k].answer))[:2]
        sample_groups.append(list(range(len(sample), len(sample) + len(two))))
        sample += [replace(items[k], answer=items[k].answer[:TRIAL_TOKENS]) for k in two]

    return _why_different(
        module,
        lambda: _join(sample, _plain(module, sample, range(len(sample)), _whole, budget)),
        lambda: _join(sample, _shared(module, sample, sample_groups, _whole, budget)),
    )


def _whole(logits: Tensor, at: Tensor, _: Tensor, __: Tensor) -> Tensor:
    """A measure that is the logits themselves."""
    return logits[at]


def _why_different(
    module: nn.Module, plain_pass: Callable[[], list[Tensor]], shared_pass: Callable[[], list[Tensor]]
) -> str | None:
    """None if both give equal logits up to the root of the rounding unit, else the reason (a clause)."""
    try:
        plain, logits = torch.cat(plain_pass()), torch.cat(shared_pass())
    except Exception as error:
        return f"a trial pass fails ({type(error).__name__}: {first_line(error)})"
    difference = relative_difference(logits, plain)
    precision = next(p.dtype for p in module.parameters() if p.is_floating_point())
    if difference <= float(torch.finfo(precision).eps) ** 0.5:
        return None
    return f"with a shared prompt the logits differ by a share of {difference:.2g}"


def _join(items: Sequence[Encoded], pieces: Iterator[Piece] | Sequence[Piece]) -> list[Tensor]:
    pieces = list(pieces)
    if not pieces:
        return []
    begin = torch.tensor([0, *(len(i.answer) for i in items)]).cumsum(0)
    value = torch.cat([p[2] for p in pieces])
    flat = torch.empty_like(value)
    flat[torch.cat([begin[owner] + place for owner, place, _ in pieces])] = value
    return [flat[start:end] for start, end in pairwise(begin.tolist())]


def _plain(
    module: nn.Module,
    items: Sequence[Encoded],
    chosen: Sequence[int],
    measure: Measure,
    budget: Budget,
    begin: bool = False,
) -> Iterator[Piece]:
    """Every item by itself: prompt and answer without its last token, which is only predicted.

    `begin`: tokens with which all prompts of a pass begin run once.
    """
    for part in budget.parts([(items[k].length - 1, len(items[k].answer)) for k in chosen], _vocabulary(module)):
        part_items = [chosen[n] for n in part]
        rows = [items[k] for k in part_items]
        prefix = common_beginning(rows) if begin else 0
        ids, mask = pad_ids([(i.prompt + i.answer[:-1])[prefix:] for i in rows])
        first = torch.tensor([[len(i.prompt) - prefix] for i in rows])
        at = mask.bool() & (mask.cumsum(-1) >= first)
        if prefix:
            logits, _ = run_pass(module, at, NO_IMAGES, **begin_pass(module, rows[0].prompt[:prefix], ids, mask))
        else:
            images = ImageBatch.of([i.image for i in rows])
            logits, _ = run_pass(module, at, images, input_ids=ids, attention_mask=mask, use_cache=False)
        tokens = [(k, t) for k in part_items for t in range(len(items[k].answer))]
        yield _measure(measure, logits, range(len(logits)), tokens, items)


def _shared(
    module: nn.Module,
    items: Sequence[Encoded],
    groups: Sequence[Sequence[int]],
    measure: Measure,
    budget: Budget,
    begin: bool = False,
) -> Iterator[Piece]:
    """Groups of items with equal prompts: each prompt once, padded on the left, then its answers on its cache."""
    vocabulary = _vocabulary(module)
    for part in budget.parts([(len(items[g[0]].prompt), 1) for g in groups], vocabulary):
        rows_of_part = [items[groups[g][0]] for g in part]
        prefix = common_beginning(rows_of_part) if begin else 0
        ids, mask = pad_ids([i.prompt[prefix:] for i in rows_of_part], left=True)
        last = torch.zeros_like(mask, dtype=torch.bool)
        last[:, -1] = True
        if prefix:
            inputs = begin_pass(module, rows_of_part[0].prompt[:prefix], ids, mask)
            logits, cache = run_pass(module, last, NO_IMAGES, **inputs)
            mask = inputs["attention_mask"]
        else:
            images = ImageBatch.of([i.image for i in rows_of_part])
            position = (mask.cumsum(-1) - 1).clamp(min=0)
            logits, cache = run_pass(
                module, last, images, input_ids=ids, attention_mask=mask, use_cache=True, position_ids=position
            )
        check_cache(cache)
        answers = [(row, k) for row, g in enumerate(part) for k in groups[g]]
        yield _measure(measure, logits, [row for row, _ in answers], [(k, 0) for _, k in answers], items)
        longer = [(row, k) for row, k in answers if len(items[k].answer) > 1]
        sizes = [(mask.shape[1] + len(items[k].answer) - 1, len(items[k].answer) - 1) for _, k in longer]
        for turn in budget.parts(sizes, vocabulary):
            rows = torch.tensor([longer[n][0] for n in turn])
            part_items = [longer[n][1] for n in turn]
            ids, answer_mask = pad_ids([items[k].answer[:-1] for k in part_items])
            before = mask[rows]
            logits, _ = run_pass(
                module,
                answer_mask.bool(),
                NO_IMAGES,
                input_ids=ids,
                attention_mask=torch.cat([before, answer_mask], 1),
                position_ids=before.sum(-1, keepdim=True) + answer_mask.cumsum(-1) - 1,
                use_cache=True,
                **cache_argument(module, rows_of(cache, rows.to(logits.device))),
            )
            tokens = [(k, t) for k in part_items for t in range(1, len(items[k].answer))]
            yield _measure(measure, logits, range(len(logits)), tokens, items)


def _measure(
    measure: Measure, logits: Tensor, at: Sequence[int], tokens: list[tuple[int, int]], items: Sequence[Encoded]
) -> Piece:
    """`tokens`: (item, position in its answer) of each; `at`: the row of `logits` that predicts it."""
    owner, place = torch.tensor(tokens).unbind(1)
    label = torch.tensor([items[k].answer[t] for k, t in tokens])
    where = [x.to(logits.device) for x in (torch.tensor(at), label, owner)]
    return owner, place, measure(logits, *where).cpu()


def _vocabulary(module: Any) -> int:
    return int(module.get_output_embeddings().weight.shape[0])

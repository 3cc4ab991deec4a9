"""What a model thinks of answers, where one prompt may have many: the prompt is then read once for all of them.

Its keys and values are cached, copied to the rows of its answers, and only the answers are run on. The first token
of every answer is predicted by the prompt's own last position, so answers of one token need no second pass.

Surprising: a small sample is run both ways first. Where the model cannot be continued exactly (no position ids, a
cache of unknown make, positions that it counts in its own way) every answer is run with its prompt, as ever.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from expunge.models.batch_budget import Budget
from expunge.models.forward import continuing, takes_positions
from expunge.models.prompt_template import Encoded
from expunge.models.vision.feature_cache import cached_image_features
from expunge.models.vision.inputs import NO_IMAGES, ImageBatch

Measure = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(logits [N, V] float32, at [M], label [M], owner [M]) → [M, F]: M answer tokens, each with the row of `logits` that
predicts it, its id, and the item it belongs to. Several tokens may stand at one row."""

Piece = tuple[Tensor, Tensor, Tensor]  # owner [M], place in the answer [M], measured [M, F]; all on the CPU
PROBED = 8  # answer tokens of a row that is run both ways


@torch.no_grad()
def score_options(
    module: nn.Module, items: Sequence[Encoded], measure: Measure, budget: Budget | None = None
) -> list[Tensor]:
    """`measure` of every answer token, one [a, F] tensor per item, on the CPU.

    Items of equal prompts (and pictures) share it. Equal to a pass over each item alone, up to rounding;
    memory as `budget` says.
    """
    budget = budget or Budget()
    by_prompt: dict[tuple[Any, ...], list[int]] = {}
    for k, item in enumerate(items):
        by_prompt.setdefault((item.prompt, item.image.digest if item.image else None), []).append(k)
    groups = [group for group in by_prompt.values() if len(group) > 1]
    if groups and why_not_shared(module, items, groups, budget):
        groups = []
    together = {k for group in groups for k in group}
    alone = [k for k in range(len(items)) if k not in together]
    return _joined(
        items, [*_plain(module, items, alone, measure, budget), *_shared(module, items, groups, measure, budget)]
    )


@torch.no_grad()
def why_not_shared(
    module: nn.Module, items: Sequence[Encoded], groups: Sequence[Sequence[int]], budget: Budget
) -> str | None:
    """None if prompts read once give the logits of prompts read with each answer, else the reason (a clause).

    groups  positions of `items` with equal prompts. Compared on two answers each of the longest prompt, the
            shortest, and the one with the longest answer; a difference may be the root of the rounding unit.
    """
    if not takes_positions(module):
        return "the model takes no position ids"
    size = [len(items[g[0]].prompt) for g in groups]
    longest = [max(len(items[k].answer) for k in g) for g in groups]
    rows = range(len(groups))
    chosen = {max(rows, key=size.__getitem__), min(rows, key=size.__getitem__), max(rows, key=longest.__getitem__)}
    sample: list[Encoded] = []
    cut: list[list[int]] = []
    for g in sorted(chosen):
        two = sorted(groups[g], key=lambda k: -len(items[k].answer))[:2]
        cut.append(list(range(len(sample), len(sample) + len(two))))
        sample += [replace(items[k], answer=items[k].answer[:PROBED]) for k in two]

    def whole(logits: Tensor, at: Tensor, _: Tensor, __: Tensor) -> Tensor:
        return logits[at]

    try:
        plain = torch.cat(_joined(sample, _plain(module, sample, range(len(sample)), whole, budget)))
        found = torch.cat(_joined(sample, _shared(module, sample, cut, whole, budget)))
    except Exception as error:
        return f"a trial pass fails ({type(error).__name__}: {error})"
    off = float((found - plain).abs().max() / plain.abs().max().clamp(min=torch.finfo(plain.dtype).tiny))
    precision = next(p.dtype for p in module.parameters() if p.is_floating_point())
    allowed = float(torch.finfo(precision).eps) ** 0.5
    return None if off <= allowed else f"with the prompt read once the logits differ by a share of {off:.2g}"


def _joined(items: Sequence[Encoded], pieces: Iterator[Piece] | Sequence[Piece]) -> list[Tensor]:
    pieces = list(pieces)
    if not pieces:
        return []
    begin = torch.tensor([0, *(len(i.answer) for i in items)]).cumsum(0)
    value = torch.cat([p[2] for p in pieces])
    flat = torch.empty_like(value)
    flat[torch.cat([begin[owner] + place for owner, place, _ in pieces])] = value
    return [flat[start:end] for start, end in pairwise(begin.tolist())]


def _plain(
    module: nn.Module, items: Sequence[Encoded], chosen: Sequence[int], measure: Measure, budget: Budget
) -> Iterator[Piece]:
    """Every item by itself, prompt and answer in one row; the last token is never read, only predicted."""
    device = next(module.parameters()).device
    for part in budget.parts([(items[k].length - 1, len(items[k].answer)) for k in chosen], _vocabulary(module)):
        mine = [chosen[n] for n in part]
        ids, seen = _padded([items[k].prompt + items[k].answer[:-1] for k in mine], device)
        first = torch.tensor([[len(items[k].prompt)] for k in mine], device=device)
        logits, _ = _run(
            module,
            seen.bool() & (seen.cumsum(-1) >= first),
            _pictures(items, mine, device),
            input_ids=ids,
            attention_mask=seen,
            use_cache=False,
        )
        yield _measured(
            measure,
            logits,
            list(range(len(logits))),
            [(k, t) for k in mine for t in range(len(items[k].answer))],
            items,
        )


def _shared(
    module: nn.Module, items: Sequence[Encoded], groups: Sequence[Sequence[int]], measure: Measure, budget: Budget
) -> Iterator[Piece]:
    """Groups of items with equal prompts: each prompt once, padded on the left, then its answers on its cache."""
    device, vocabulary = next(module.parameters()).device, _vocabulary(module)
    for part in budget.parts([(len(items[g[0]].prompt), 1) for g in groups], vocabulary):
        ids, mask = _padded([items[groups[g][0]].prompt for g in part], device, left=True)
        last = torch.zeros_like(mask, dtype=torch.bool)
        last[:, -1] = True
        logits, cache = _run(
            module,
            last,
            _pictures(items, [groups[g][0] for g in part], device),
            input_ids=ids,
            attention_mask=mask,
            use_cache=True,
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
        )
        _check(cache)
        asked = [(row, k) for row, g in enumerate(part) for k in groups[g]]
        yield _measured(measure, logits, [row for row, _ in asked], [(k, 0) for _, k in asked], items)
        longer = [(row, k) for row, k in asked if len(items[k].answer) > 1]
        sizes = [(mask.shape[1] + len(items[k].answer) - 1, len(items[k].answer) - 1) for _, k in longer]
        for turn in budget.parts(sizes, vocabulary):
            rows = torch.tensor([longer[n][0] for n in turn], device=device)
            mine = [longer[n][1] for n in turn]
            ids, seen = _padded([items[k].answer[:-1] for k in mine], device)
            before = mask[rows]
            logits, _ = _run(
                module,
                seen.bool(),
                NO_IMAGES,
                input_ids=ids,
                attention_mask=torch.cat([before, seen], 1),
                position_ids=before.sum(-1, keepdim=True) + seen.cumsum(-1) - 1,
                use_cache=True,
                **continuing(module, _rows_of(cache, rows)),
            )
            yield _measured(
                measure,
                logits,
                list(range(len(logits))),
                [(k, t) for k in mine for t in range(1, len(items[k].answer))],
                items,
            )


def _measured(
    measure: Measure, logits: Tensor, at: list[int], tokens: list[tuple[int, int]], items: Sequence[Encoded]
) -> Piece:
    """`tokens`: (item, place in its answer) of each; `at`: the row of `logits` that predicts it."""
    owner, place = torch.tensor(tokens).unbind(1)
    label = torch.tensor([items[k].answer[t] for k, t in tokens])
    where = [x.to(logits.device) for x in (torch.tensor(at), label, owner)]
    return owner, place, measure(logits, *where).cpu()


def _pictures(items: Sequence[Encoded], chosen: Sequence[int], device: torch.device) -> ImageBatch:
    return ImageBatch.of([items[k].image for k in chosen]).to(device)


def _run(module: nn.Module, where: Tensor, pictures: ImageBatch, **inputs: Any) -> tuple[Tensor, Any]:
    """Logits [N, V] in float32 at the N places that `where` [B, T] marks, row by row, and the cache."""
    inner: Any = module
    with _head_on(inner.get_output_embeddings(), where), cached_image_features(module, pictures):
        output = module(**inputs, **pictures.given(inputs["input_ids"]))
    logits: Tensor = output.logits
    if logits.shape[:2] != (1, int(where.sum())):
        raise RuntimeError(f"the output head of {type(module).__name__} does not take [1, N, H]: got {logits.shape}")
    return logits[0].float(), getattr(output, "past_key_values", None)


@contextmanager
def _head_on(head: nn.Module, where: Tensor) -> Iterator[None]:
    def take(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0][where].unsqueeze(0), *args[1:])

    handle = head.register_forward_pre_hook(take)
    try:
        yield
    finally:
        handle.remove()


def _padded(rows: Sequence[tuple[int, ...]], device: torch.device, left: bool = False) -> tuple[Tensor, Tensor]:
    """Ids and mask [B, T] of `rows`, padded with zeros on the right or the left."""
    width = max(map(len, rows))
    ids = torch.zeros((len(rows), width), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for b, row in enumerate(rows):
        start = width - len(row) if left else 0
        ids[b, start : start + len(row)] = torch.tensor(row)
        mask[b, start : start + len(row)] = 1
    return ids.to(device), mask.to(device)


def _vocabulary(module: nn.Module) -> int:
    inner: Any = module
    return int(inner.get_output_embeddings().weight.shape[0])


def _check(cache: Any) -> None:
    """Only layers known to grow by new tensors can be shared by several passes: a subclass may hold more."""
    from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

    known = (DynamicLayer, DynamicSlidingWindowLayer)
    strange = [type(x).__name__ for x in getattr(cache, "layers", ()) if type(x) not in known]
    if type(cache) is not DynamicCache or strange:
        raise RuntimeError(f"a cache of {', '.join([type(cache).__name__, *strange])} cannot be handed to several rows")


def _rows_of(cache: Any, rows: Tensor) -> Any:
    """The cache of `rows` (repeated as often as they stand there); `cache` itself stays as it is."""
    chosen = copy.copy(cache)
    chosen.layers = [copy.copy(layer) for layer in cache.layers]
    chosen.batch_select_indices(rows)
    return chosen

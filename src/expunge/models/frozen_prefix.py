"""The frozen prefix: the blocks below the first one that trains, run once per record instead of once per step.

The model's own forward pass runs with its lower blocks as pass-throughs and a stored hidden state as input of the
first block that runs. Masks, rotary embeddings, layer types and scaling stay the model's own, and no architecture
is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from expunge.errors import InputError, first_line
from expunge.models.adapters import block_of, block_stack, trainable
from expunge.models.collate import Batch, collate
from expunge.models.forward import answer_forward, hook_block_input, relative_difference
from expunge.models.prompt_template import Encoded
from expunge.models.vision.feature_cache import cached_image_features

_NOISE = re.compile("drop|jitter|noise")
_OUTPUT_SIZE: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()  # stack → 0: blocks return a tensor, n: a tuple


@dataclass(frozen=True)
class Boundary:
    """The blocks 0 … `first - 1` of the `count` blocks in `stack`, and what runs before them, are constant."""

    stack: str
    first: int
    count: int


class _Reached(Exception):
    """Ends a forward pass where the boundary is reached."""


def find_boundary(module: nn.Module) -> Boundary | str:
    """Where the trainable part begins, or the reason (a clause) why what lies below is not constant.

    Parameters outside the stack may train if they act after it (a final norm, an untied head). In that case a pass
    over two tokens shows the order.
    """
    trained = trainable(module)
    if not trained:
        return "nothing trains"
    try:
        stack, count = block_stack(module)
    except InputError as error:
        return error.what
    numbers = {name: block_of(name, stack) for name in trained}
    first = min((n for n in numbers.values() if n is not None), default=count)
    if first == 0:
        return "block 0 trains, so no block below it is frozen"
    if first == count:
        return "no block trains"
    boundary = Boundary(stack, first, count)
    outside = {name: trained[name] for name, number in numbers.items() if number is None}
    return _acts_below(module, boundary, outside) or _varying(module, boundary) or boundary


def below(module: nn.Module, boundary: Boundary) -> Iterator[tuple[str, nn.Module]]:
    """Every module that is not in a block from `boundary.first` on, with its name."""
    for name, child in module.named_modules():
        number = block_of(name, boundary.stack)
        if number is None or number < boundary.first:
            yield name, child


def _acts_below(module: nn.Module, boundary: Boundary, outside: dict[str, nn.Parameter]) -> str | None:
    """The reason if a trainable parameter outside the stack acts before the boundary, or not visibly."""
    if not outside:
        return None
    names = {id(p): name for name, p in outside.items()}
    reached = False
    early: list[str] = []
    late: set[str] = set()

    def arrive(*_: Any) -> None:
        nonlocal reached
        reached = True

    def record(held: list[str]) -> Callable[..., None]:
        return lambda *_: late.update(held) if reached else early.extend(held)

    try:
        with ExitStack() as stack, torch.no_grad():
            for child in module.modules():
                held = [names[id(p)] for p in child._parameters.values() if id(p) in names]
                if held:
                    stack.enter_context(child.register_forward_pre_hook(record(held)))
            stack.enter_context(_blocks(module, boundary)[boundary.first].register_forward_pre_hook(arrive))
            module(**_two_tokens(module).inputs, use_cache=False)
    except Exception as error:
        return f"a trial pass fails ({type(error).__name__}: {first_line(error)})"
    if early:
        return f"{early[0]} trains and acts below block {boundary.first}"
    hidden = sorted(set(outside) - late)
    return f"{hidden[0]} trains, and a trial pass does not show where it acts" if hidden else None


def _varying(module: nn.Module, boundary: Boundary) -> str | None:
    """The reason if something below the boundary is random, depends on the batch, or trains through a hook."""
    for name, child in below(module, boundary):
        if any(_trains(hook) for hook in (*child._forward_hooks.values(), *child._forward_pre_hooks.values())):
            return f"a hook on {name or 'the model'} trains"
        if not child.training:
            continue
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            return f"{name} is in training mode and mixes the rows of a batch"
        if isinstance(child, nn.modules.dropout._DropoutNd) and child.p > 0:
            return f"{name} is in training mode and drops at random (p = {child.p:g})"
        for key, value in vars(child).items():
            if _NOISE.search(key) and isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
                return f"{name or 'the model'} is in training mode and random ({key} = {value:g})"
    return None


def _trains(hook: Any) -> bool:
    """Whether a hook, its object, its arguments or its closure hold something that requires a gradient."""
    inner = getattr(hook, "func", hook)  # of a functools.partial
    held = [hook, inner, getattr(inner, "__self__", None), *getattr(hook, "args", ())]
    held += [*getattr(hook, "keywords", {}).values(), *(getattr(inner, "__defaults__", None) or ())]
    for cell in getattr(inner, "__closure__", None) or ():
        with suppress(ValueError):  # named in the closure, not assigned yet
            held.append(cell.cell_contents)
    return any(
        (isinstance(h, nn.Module) and any(p.requires_grad for p in h.parameters()))
        or (isinstance(h, Tensor) and h.requires_grad)
        for h in held
    )


def hidden_states(module: nn.Module, boundary: Boundary, batch: Batch) -> Tensor:
    """The hidden state that enters block `boundary.first`, [B, T, H], without gradient; the pass ends there.

    `RuntimeError` if the pass does not reach the block, or the state is not [B, T, H].
    """
    blocks = _blocks(module, boundary)
    states: list[Any] = []

    def learn(_: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            _OUTPUT_SIZE[blocks] = 0
        elif type(output) is tuple and output and isinstance(output[0], Tensor):
            _OUTPUT_SIZE[blocks] = len(output)
        else:
            raise RuntimeError(f"a block gives a {type(output).__name__}, not a tensor or a tuple")

    def stop(state: Any) -> NoReturn:
        states.append(state)
        raise _Reached

    with (
        suppress(_Reached),
        torch.no_grad(),
        blocks[boundary.first - 1].register_forward_hook(learn),
        hook_block_input(blocks[boundary.first], stop),
        cached_image_features(module, batch.images),
    ):
        module(**batch.inputs, use_cache=False)
    if not states:
        raise RuntimeError(f"a pass over text does not reach block {boundary.first} of {boundary.stack}")
    hidden, shape = states[0], batch.input_ids.shape
    if not isinstance(hidden, Tensor) or hidden.dim() != 3 or hidden.shape[:2] != shape:
        raise RuntimeError(f"the input of block {boundary.first} is no hidden state [batch, tokens, width]")
    return hidden.detach()


def _blocks(module: nn.Module, boundary: Boundary) -> nn.ModuleList:
    blocks = module.get_submodule(boundary.stack)
    assert isinstance(blocks, nn.ModuleList)
    return blocks


def _two_tokens(module: nn.Module) -> Batch:
    return collate([Encoded("trial", (0,), (0,))]).to(next(module.parameters()).device)


@contextmanager
def substitute(
    module: nn.Module, boundary: Boundary, hidden: Tensor, check: Callable[[], None] | None = None
) -> Iterator[None]:
    """Inside, a call of `module` runs block `boundary.first` on `hidden` and what follows, nothing below.

    Call it with the ids and the mask that `hidden` belongs to: masks and positions are made from them. Gradients
    end at `hidden`; the input embedding gets none. `check` is called in every pass before `hidden` [B, T, H] is used.
    A batch of another shape is a `RuntimeError`.
    """
    blocks = _blocks(module, boundary)
    if blocks not in _OUTPUT_SIZE:
        hidden_states(module, boundary, _two_tokens(module))
    size = _OUTPUT_SIZE[blocks]

    def pass_through(*args: Any, **kwargs: Any) -> Any:
        state = args[0] if args else kwargs["hidden_states"]
        return (state, *(None,) * (size - 1)) if size else state

    def substitute(old: Tensor) -> Tensor:
        if check:
            check()
        if old.shape != hidden.shape:
            raise RuntimeError(f"the stored states {tuple(hidden.shape)} do not fit a batch {tuple(old.shape)}")
        if old.requires_grad and torch.is_grad_enabled() and not hidden.requires_grad:
            return hidden.detach().requires_grad_(True)  # re-entrant gradient checkpointing needs it
        return hidden

    prefix = [block.__dict__ for block in list(blocks)[: boundary.first]]
    before = [attributes.get("forward") for attributes in prefix]  # other tools may have set one on the instance
    with hook_block_input(blocks[boundary.first], substitute):
        for attributes in prefix:
            attributes["forward"] = pass_through
        try:
            yield
        finally:
            for attributes, forward in zip(prefix, before, strict=True):
                if forward is None:
                    del attributes["forward"]
                else:
                    attributes["forward"] = forward


@torch.no_grad()
def why_inexact(
    module: nn.Module, boundary: Boundary, batch: Batch, tolerance: float | None = None, hidden: Tensor | None = None
) -> str | None:
    """None if the substituted pass gives the logits of the plain one at the answers of `batch`, else the reason.

    Args:
        tolerance: Largest difference, as a share of the largest logit; None for the root of the rounding unit.
        hidden: The stored states of `batch`, [B, T, H]. None computes them row by row, unpadded, which shows a
            prefix in which rows or padding influence each other.
    """
    try:
        plain = answer_forward(module, batch).logits[batch.mask]
        if hidden is None:
            hidden = _one_by_one(module, boundary, batch)
        with substitute(module, boundary, hidden):
            logits = answer_forward(module, batch).logits[batch.mask]
    except Exception as error:
        return f"the pass without the lower blocks fails ({type(error).__name__}: {first_line(error)})"
    difference = relative_difference(logits, plain)
    allowed = tolerance if tolerance is not None else torch.finfo(hidden.dtype).eps ** 0.5
    return (
        None if difference <= allowed else f"without the lower blocks the logits differ by a share of {difference:.2g}"
    )


def _one_by_one(module: nn.Module, boundary: Boundary, batch: Batch) -> Tensor:
    rows = []
    for b, length in enumerate(batch.attention_mask.sum(-1).tolist()):
        ids = batch.input_ids[b : b + 1, :length]
        row = replace(batch, input_ids=ids, attention_mask=torch.ones_like(ids), images=batch.images.of_row(b))
        state = hidden_states(module, boundary, row)
        rows.append(nn.functional.pad(state[0], (0, 0, 0, batch.input_ids.shape[1] - length)))
    return torch.stack(rows)

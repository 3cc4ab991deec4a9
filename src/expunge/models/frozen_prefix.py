"""The frozen prefix: the blocks below the first one that trains, run once per record instead of once per step.

Nothing is rebuilt: the model's own forward pass runs with its lower blocks as pass-throughs and the stored hidden
state handed to the first block that runs. So masks, rotary embeddings, layer types and scaling stay the model's own
in every architecture, and no architecture is named here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from expunge.errors import InputError
from expunge.models.adapters import block_of, block_stack, trainable
from expunge.models.collate import Batch
from expunge.models.forward import answer_forward
from expunge.models.vision.feature_cache import cached_image_features
from expunge.models.vision.inputs import NO_IMAGES, ImageBatch

_NOISE = re.compile("drop|jitter|noise")
_FORMS: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()  # stack → 0 for a tensor, n for a tuple of n


@dataclass(frozen=True)
class Boundary:
    """The blocks 0 … `first - 1` of the `count` blocks in `stack`, and all that runs before them, are constant."""

    stack: str
    first: int
    count: int


class _Reached(Exception):
    """Ends a forward pass where the boundary is reached."""


def find_boundary(module: nn.Module) -> Boundary | str:
    """Where the part that trains begins, or the reason (a clause) why what lies below is not constant.

    Parameters outside the stack may train if they act after it (a final norm, an untied head): then, and only
    then, two tokens are run to see what acts when.
    """
    moving = trainable(module)
    if not moving:
        return "nothing trains"
    try:
        stack, count = block_stack(module)
    except InputError as error:
        return error.what
    numbers = {name: block_of(name, stack) for name in moving}
    first = min((n for n in numbers.values() if n is not None), default=count)
    if first == 0:
        return "block 0 trains, so no block below it is frozen"
    if first == count:
        return "no block trains"
    boundary = Boundary(stack, first, count)
    outside = {name: moving[name] for name, number in numbers.items() if number is None}
    return _acts_below(module, boundary, outside) or _restless(module, boundary) or boundary


def below(module: nn.Module, boundary: Boundary) -> Iterator[tuple[str, nn.Module]]:
    """Every module that is not in a block from `boundary.first` on, with its name."""
    for name, child in module.named_modules():
        number = block_of(name, boundary.stack)
        if number is None or number < boundary.first:
            yield name, child


def _acts_below(module: nn.Module, boundary: Boundary, outside: dict[str, nn.Parameter]) -> str | None:
    """The reason if a trainable parameter outside the stack acts before the boundary, or is not seen to act."""
    if not outside:
        return None
    names = {id(p): name for name, p in outside.items()}
    owners = [
        (child, [names[id(p)] for p in child._parameters.values() if id(p) in names])
        for child in module.modules()
        if any(id(p) in names for p in child._parameters.values())
    ]
    reached = False
    early: list[str] = []
    late: set[str] = set()

    def arrive(*_: Any) -> None:
        nonlocal reached
        reached = True

    def note(held: list[str]) -> Callable[..., None]:
        return lambda *_: late.update(held) if reached else early.extend(held)

    handles = [child.register_forward_pre_hook(note(held)) for child, held in owners]
    handles.append(_blocks(module, boundary)[boundary.first].register_forward_pre_hook(arrive))
    try:
        with torch.no_grad():
            module(**_two_tokens(module), use_cache=False)
    except Exception as error:
        return f"a trial pass fails ({_line(error)})"
    finally:
        for handle in handles:
            handle.remove()
    if early:
        return f"{early[0]} trains and acts below block {boundary.first}"
    unseen = sorted(set(outside) - late)
    return f"{unseen[0]} trains, and a trial pass does not show where it acts" if unseen else None


def _restless(module: nn.Module, boundary: Boundary) -> str | None:
    """The reason if something below the boundary is random, depends on the batch, or trains through a hook."""
    for name, child in below(module, boundary):
        for hook in (*child._forward_hooks.values(), *child._forward_pre_hooks.values()):
            if _trains(hook):
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
    """Does a hook hold something that requires a gradient: in itself, its object, its arguments or its closure?"""
    inner = getattr(hook, "func", hook)  # of a functools.partial
    held = [
        hook,
        inner,
        getattr(inner, "__self__", None),
        *getattr(hook, "args", ()),
        *getattr(hook, "keywords", {}).values(),
        *(getattr(inner, "__defaults__", None) or ()),
    ]
    for cell in getattr(inner, "__closure__", None) or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:  # named in the closure, not assigned yet
            continue
    return any(
        (isinstance(h, nn.Module) and any(p.requires_grad for p in h.parameters()))
        or (isinstance(h, Tensor) and h.requires_grad)
        for h in held
    )


def hidden_states(module: nn.Module, boundary: Boundary, batch: Batch) -> Tensor:
    """The hidden state that enters block `boundary.first`, [B, T, H], without gradient; nothing above it runs.

    `RuntimeError` where the pass does not reach the block or the state is not [B, T, H].
    """
    return _reach(module, boundary, batch.inputs, batch.images)


def _reach(module: nn.Module, boundary: Boundary, inputs: dict[str, Tensor], seen: ImageBatch = NO_IMAGES) -> Tensor:
    blocks = _blocks(module, boundary)
    found: list[Any] = []

    def learn(_: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            _FORMS[blocks] = 0
        elif type(output) is tuple and output and isinstance(output[0], Tensor):
            _FORMS[blocks] = len(output)
        else:
            raise RuntimeError(f"a block gives a {type(output).__name__}, not a tensor or a tuple")

    def stop(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> NoReturn:
        found.append(args[0] if args else kwargs.get("hidden_states"))
        raise _Reached

    handles = [
        blocks[boundary.first - 1].register_forward_hook(learn),
        blocks[boundary.first].register_forward_pre_hook(stop, with_kwargs=True),
    ]
    try:
        with torch.no_grad(), cached_image_features(module, seen):
            module(**inputs, use_cache=False)
    except _Reached:
        pass
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise RuntimeError(f"a pass over text does not reach block {boundary.first} of {boundary.stack}")
    hidden, shape = found[0], inputs["input_ids"].shape
    if not isinstance(hidden, Tensor) or hidden.dim() != 3 or hidden.shape[:2] != shape:
        raise RuntimeError(f"what enters block {boundary.first} is no hidden state [batch, tokens, width]")
    return hidden.detach()


def _blocks(module: nn.Module, boundary: Boundary) -> nn.ModuleList:
    found = module.get_submodule(boundary.stack)
    assert isinstance(found, nn.ModuleList)
    return found


def _two_tokens(module: nn.Module) -> dict[str, Tensor]:
    ids = torch.zeros((1, 2), dtype=torch.int64, device=next(module.parameters()).device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _pass_through(form: int) -> Callable[..., Any]:
    """What stands in for the forward pass of a block that gives a tensor (0) or a tuple of `form`."""
    rest = (None,) * (form - 1)

    def same(*args: Any, **kwargs: Any) -> Any:
        hidden = args[0] if args else kwargs["hidden_states"]
        return (hidden, *rest) if form else hidden

    return same


@contextmanager
def substituted(
    module: nn.Module, boundary: Boundary, hidden: Tensor, check: Callable[[], None] | None = None
) -> Iterator[None]:
    """Inside, a call of `module` runs block `boundary.first` on `hidden` [B, T, H] and what follows, nothing below.

    Call it with the ids and the mask that `hidden` belongs to: masks and positions are made from them. `check` is
    called in every pass, before `hidden` is used. A batch of another shape is a `RuntimeError`. Gradients end at
    `hidden`: the output of the input embedding gets none.
    """
    blocks = _blocks(module, boundary)
    if blocks not in _FORMS:
        _reach(module, boundary, _two_tokens(module))
    same = _pass_through(_FORMS[blocks])

    def swap(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if check:
            check()
        old = args[0] if args else kwargs["hidden_states"]
        if old.shape != hidden.shape:
            raise RuntimeError(f"the stored states {tuple(hidden.shape)} do not fit a batch {tuple(old.shape)}")
        new = hidden
        if old.requires_grad and torch.is_grad_enabled() and not hidden.requires_grad:
            new = hidden.detach().requires_grad_(True)  # re-entrant gradient checkpointing needs it
        return ((new, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": new})

    prefix = [block.__dict__ for block in list(blocks)[: boundary.first]]
    before = [own.get("forward") for own in prefix]  # other tools, too, put a forward pass on the instance
    handle = blocks[boundary.first].register_forward_pre_hook(swap, with_kwargs=True)
    for own in prefix:
        own["forward"] = same
    try:
        yield
    finally:
        handle.remove()
        for own, old in zip(prefix, before, strict=True):
            if old is None:
                del own["forward"]
            else:
                own["forward"] = old


@torch.no_grad()
def why_inexact(
    module: nn.Module, boundary: Boundary, batch: Batch, tolerance: float | None = None, hidden: Tensor | None = None
) -> str | None:
    """None if the substituted pass gives the logits of the plain one at the answers of `batch`, else the reason.

    tolerance  largest difference allowed, as a share of the largest logit; None for the root of the rounding unit
    hidden     the stored states of `batch` [B, T, H]; None computes them row by row, alone and unpadded, so that a
               prefix in which rows or padding influence each other is noticed
    """
    try:
        plain = answer_forward(module, batch).logits[batch.mask]
        if hidden is None:
            hidden = _one_by_one(module, boundary, batch)
        with substituted(module, boundary, hidden):
            found = answer_forward(module, batch).logits[batch.mask]
    except Exception as error:
        return f"the pass without the lower blocks fails ({_line(error)})"
    off = float((found - plain).abs().max() / plain.abs().max().clamp(min=torch.finfo(plain.dtype).tiny))
    allowed = tolerance if tolerance is not None else torch.finfo(hidden.dtype).eps ** 0.5
    return None if off <= allowed else f"without the lower blocks the logits differ by a share of {off:.2g}"


def _one_by_one(module: nn.Module, boundary: Boundary, batch: Batch) -> Tensor:
    rows = []
    for b, (ids, mask) in enumerate(zip(batch.input_ids, batch.attention_mask, strict=True)):
        length, seen = int(mask.sum()), batch.images.of_row(b)
        alone = {
            "input_ids": ids[None, :length],
            "attention_mask": mask[None, :length],
            **seen.given(ids[None, :length]),
        }
        found = _reach(module, boundary, alone, seen)
        rows.append(nn.functional.pad(found[0], (0, 0, 0, len(ids) - length)))
    return torch.stack(rows)


def _line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__

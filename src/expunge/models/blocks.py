"""The transformer blocks of a model, found by structure and not by name.

The stack of blocks is the longest list of equal modules that lies in no other such list (so that the experts of a
block do not count as blocks).
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any, TypeGuard

from torch import nn

from expunge.errors import InputError

Layers = str | int | tuple[int, ...]
SHARE = r"\d{1,4}(?:/[1-9]\d{0,3})?"  # of the blocks, from the lowest


def is_stack(module: nn.Module) -> TypeGuard[nn.ModuleList]:
    """Whether this is a list of modules of one kind."""
    return isinstance(module, nn.ModuleList) and len({type(block) for block in module}) == 1


def block_stack(module: nn.Module) -> tuple[str, int]:
    """Name and length of the list of transformer blocks, e.g. `("model.layers", 24)`.

    In an image-text model, the blocks of its language tower.
    """
    stacks: dict[str, int] = {}
    for name, child in module.named_modules():  # outer modules come first
        if is_stack(child) and not any(name.startswith(f"{outer}.") for outer in stacks):
            stacks[name] = len(child)
    if not stacks:
        raise InputError(
            type(module).__name__,
            "no stack of equal blocks was found in it",
            "use train.layers: all with train.which: full",
        )
    tower = _language_tower(module)
    inside = {name: count for name, count in stacks.items() if f"{name}.".startswith(tower)}
    return max((inside or stacks).items(), key=lambda item: item[1])


def _language_tower(module: Any) -> str:
    """Name of the decoder with a dot behind; empty where the model does not name it."""
    base = module.get_base_model() if hasattr(module, "get_base_model") else module
    decoder = base.get_decoder() if hasattr(base, "get_decoder") else None
    return next((f"{name}." for name, child in module.named_modules() if child is decoder and name), "")


def chosen_blocks(layers: Layers, count: int) -> tuple[int, ...]:
    """Block numbers for a `layers` setting; `InputError` naming the setting if it does not fit `count` blocks."""
    if layers == "all":
        return tuple(range(count))
    if isinstance(layers, str):
        if most := re.fullmatch(r"max ([1-9]\d*)", layers):
            return chosen_blocks(min(int(most[1]), count), count)
        if re.fullmatch(rf"{SHARE}-{SHARE}", layers):
            return _between(layers, count)
        number = re.fullmatch(r"([1-9]\d*)(?:/([1-9]\d*))?", layers)
        if not number:
            raise InputError(
                "train.layers",
                f'"{layers}" is neither all, a number, a share, a range of shares nor a list of blocks',
                "for example all, 4, max 4, 1/3, 0-1/3 or [2, 3]",
            )
        layers = int(number[1]) if not number[2] else max(1, round(count * int(number[1]) / int(number[2])))
    if isinstance(layers, int):
        if not 1 <= layers <= count:
            raise InputError("train.layers", f"the last {layers} blocks were asked for, the model has {count}")
        return tuple(range(count - layers, count))
    wrong = [k for k in layers if not 0 <= k < count]
    if wrong or not layers:
        what = f"there is no block {wrong[0]}" if wrong else "the list of blocks is empty"
        raise InputError("train.layers", what, f"the model has the blocks 0 to {count - 1}")
    return tuple(sorted(set(layers)))


def _between(layers: str, count: int) -> tuple[int, ...]:
    """The blocks of a range of shares, counted from the lowest: 1/3-2/3 is the middle third.

    A border is rounded as that of a share counted from the top, so that 2/3-1 is the last third, and ranges that follow
    one another share no block and leave none out.
    """
    first, end = (Fraction(text) for text in layers.split("-"))
    if not first < end <= 1:
        raise InputError("train.layers", f"{layers} is no range of shares", "for example 0-1/3, 1/3-2/3 or 2/3-1")
    blocks = range(*(count - round(count * (1 - share)) for share in (first, end)))
    if not blocks:
        raise InputError("train.layers", f"no block lies in {layers} of {count} blocks", "name a wider range")
    return tuple(blocks)


def block_of(name: str, stack: str) -> int | None:
    """Block number of a parameter or module name, also inside a peft wrapper; None outside the stack."""
    _, _, rest = f".{name}".partition(f".{stack}.")
    head = rest.split(".", 1)[0]
    return int(head) if head.isdigit() else None

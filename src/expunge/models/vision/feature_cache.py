"""Every picture is looked at once: its features serve all rows that show it.

A pass over a batch runs the vision tower on the distinct pictures only. Where nothing of the vision side trains, the
features are kept from pass to pass, for as long as no weight of that side is written to.

Surprising: nothing is known of an architecture here but that its base model offers `get_image_features`, as all
image-text models of transformers do. Where what that gives cannot be told apart by picture, it runs as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from expunge.models.vision.inputs import ImageBatch

KEPT = 1 << 30  # bytes of features
_owners: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()
_kept: WeakKeyDictionary[nn.Module, tuple[tuple[Any, ...], dict[str, Tensor]]] = WeakKeyDictionary()
_stacked: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()  # does it give one tensor, or one per picture?


@contextmanager
def cached_image_features(module: nn.Module, seen: ImageBatch) -> Iterator[None]:
    """Inside, a pass of `module` over a batch with the pictures `seen` looks at each of them once."""
    owner = vision_module(module) if seen.digests else None
    if owner is None:
        yield
        return
    plain = getattr(owner, "get_image_features")  # noqa: B009  # its name is all that is known
    own = owner.__dict__
    own["get_image_features"] = _once(owner, plain, seen)
    try:
        yield
    finally:
        del own["get_image_features"]


def vision_module(module: nn.Module) -> nn.Module | None:
    """The innermost module that gives features of pictures."""
    if module not in _owners:
        found = [m for m in module.modules() if hasattr(type(m), "get_image_features")]
        if not found:
            return None
        _owners[module] = found[-1]
    return _owners[module]


def vision_parameters(owner: Any) -> list[nn.Parameter]:
    """Parameters of the vision tower and the connector: all that is not of the language model."""
    decoder = owner.get_decoder() if hasattr(owner, "get_decoder") else None
    language = {id(p) for p in decoder.parameters()} if decoder is not None and decoder is not owner else set()
    return [p for p in owner.parameters() if id(p) not in language]


def _once(owner: nn.Module, plain: Callable[..., Any], seen: ImageBatch) -> Callable[..., Any]:
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    count = len(seen.digests)

    def features(*args: Any, **kwargs: Any) -> Any:
        inputs = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
        if owner.training or not inputs or any(x.shape[0] != count for x in inputs):
            return plain(*args, **kwargs)
        side = vision_parameters(owner)
        steady = not any(p.requires_grad for p in side) and not any("lora_" in n for n, _ in _outside(owner, side))
        known = _memory(owner, side, inputs[0].device) if steady else {}
        first = {digest: k for k, digest in reversed(list(enumerate(seen.digests)))}
        new = sorted(k for digest, k in first.items() if digest not in known)
        if new:
            at = torch.tensor(new, device=inputs[0].device)
            chosen = [x.index_select(0, at) if isinstance(x, Tensor) else x for x in args]
            named = {n: x.index_select(0, at) if isinstance(x, Tensor) else x for n, x in kwargs.items()}
            with torch.set_grad_enabled(torch.is_grad_enabled() and not steady):
                output = plain(*chosen, **named)
            found = _by_picture(output, len(new))
            if found is None:
                return plain(*args, **kwargs)
            _stacked[owner] = isinstance(output.pooler_output, Tensor)
            known.update({seen.digests[k]: f for k, f in zip(new, found, strict=True)})
        given = [known[digest] for digest in seen.digests]
        if steady and sum(f.numel() * f.element_size() for f in known.values()) > KEPT:
            _kept.pop(owner, None)
        return BaseModelOutputWithPooling(pooler_output=torch.stack(given) if _stacked[owner] else given)

    return features


def _outside(owner: nn.Module, side: list[nn.Parameter]) -> list[tuple[str, nn.Parameter]]:
    mine = {id(p) for p in side}
    return [(n, p) for n, p in owner.named_parameters() if id(p) in mine]


def _memory(owner: nn.Module, side: list[nn.Parameter], device: torch.device) -> dict[str, Tensor]:
    """Features kept from earlier passes, if no weight of the vision side was written to since."""
    state = (tuple(id(p) for p in side), tuple(p._version for p in side), device, torch.is_autocast_enabled())
    if owner not in _kept or _kept[owner][0] != state:
        _kept[owner] = state, {}
    return _kept[owner][1]


def _by_picture(output: Any, count: int) -> list[Tensor] | None:
    """Features of each of `count` pictures, or None where they cannot be told apart."""
    found = getattr(output, "pooler_output", None)
    if isinstance(found, Tensor) and found.dim() == 3 and len(found) == count:
        return list(found)
    if isinstance(found, list | tuple) and len(found) == count and all(isinstance(f, Tensor) for f in found):
        return list(found)
    return None

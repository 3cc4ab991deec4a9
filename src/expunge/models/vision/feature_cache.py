"""The vision tower runs once per distinct image: its features serve all rows that show it.

Where no parameter of the vision side trains, features are also kept from pass to pass while none of its weights
changes. Nothing of an architecture is assumed but that its base model has `get_image_features`. If the result
cannot be split by image, the tower runs as usual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from expunge.models.vision.inputs import ImageBatch

CACHE_BYTES = 1 << 30
_modules: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()
_features: WeakKeyDictionary[nn.Module, tuple[tuple[Any, ...], dict[str, Tensor]]] = WeakKeyDictionary()
_stacked: WeakKeyDictionary[nn.Module, bool] = (
    WeakKeyDictionary()
)  # whether the result is one tensor, not one per image


@contextmanager
def cached_image_features(module: nn.Module, images: ImageBatch) -> Iterator[None]:
    """Inside, a pass of `module` over a batch with `images` computes the features of each image once."""
    owner = vision_module(module) if images.digests else None
    if owner is None:
        yield
        return
    plain = getattr(owner, "get_image_features")  # noqa: B009  # only its name is known
    owner.__dict__["get_image_features"] = _once_per_image(owner, plain, images.digests)
    try:
        yield
    finally:
        del owner.__dict__["get_image_features"]


def vision_module(module: nn.Module) -> nn.Module | None:
    """The innermost module that has `get_image_features`."""
    if module not in _modules:
        owners = [m for m in module.modules() if hasattr(type(m), "get_image_features")]
        if not owners:
            return None
        _modules[module] = owners[-1]
    return _modules[module]


def vision_parameters(owner: Any) -> list[nn.Parameter]:
    """Parameters of the vision tower and the connector: all of `owner` that are not the language model's."""
    return [p for _, p in _named_vision_parameters(owner)]


def _named_vision_parameters(owner: Any) -> list[tuple[str, nn.Parameter]]:
    decoder = owner.get_decoder() if hasattr(owner, "get_decoder") else None
    language = {id(p) for p in decoder.parameters()} if decoder is not None and decoder is not owner else set()
    return [(name, p) for name, p in owner.named_parameters() if id(p) not in language]


def _once_per_image(owner: nn.Module, plain: Callable[..., Any], digests: tuple[str, ...]) -> Callable[..., Any]:
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    def features(*args: Any, **kwargs: Any) -> Any:
        inputs = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
        if owner.training or not inputs or any(x.shape[0] != len(digests) for x in inputs):
            return plain(*args, **kwargs)
        named = _named_vision_parameters(owner)
        frozen = not any(p.requires_grad or "lora_" in name for name, p in named)
        known = _known_features(owner, [p for _, p in named], inputs[0].device) if frozen else {}
        first = {digest: k for k, digest in reversed(list(enumerate(digests)))}
        new = sorted(k for digest, k in first.items() if digest not in known)
        if new:
            at = torch.tensor(new, device=inputs[0].device)

            def select(x: Any) -> Any:
                return x.index_select(0, at) if isinstance(x, Tensor) else x

            with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
                output = plain(*map(select, args), **{name: select(x) for name, x in kwargs.items()})
            split = _by_image(output, len(new))
            if split is None:
                return plain(*args, **kwargs)
            _stacked[owner] = isinstance(output.pooler_output, Tensor)
            known.update({digests[k]: f for k, f in zip(new, split, strict=True)})
        result = [known[digest] for digest in digests]
        if frozen and sum(f.numel() * f.element_size() for f in known.values()) > CACHE_BYTES:
            _features.pop(owner, None)
        return BaseModelOutputWithPooling(pooler_output=torch.stack(result) if _stacked[owner] else result)

    return features


def _known_features(owner: nn.Module, parameters: list[nn.Parameter], device: torch.device) -> dict[str, Tensor]:
    """Features from earlier passes; empty if a weight of the vision side was written to since."""
    ids, versions = tuple(map(id, parameters)), tuple(p._version for p in parameters)
    state = (ids, versions, device, torch.is_autocast_enabled())
    if owner not in _features or _features[owner][0] != state:
        _features[owner] = state, {}
    return _features[owner][1]


def _by_image(output: Any, count: int) -> list[Tensor] | None:
    """Features of each of `count` images, or None where they cannot be split."""
    features = getattr(output, "pooler_output", None)
    if isinstance(features, Tensor) and features.dim() == 3 and len(features) == count:
        return list(features)
    if isinstance(features, list | tuple) and len(features) == count and all(isinstance(f, Tensor) for f in features):
        return list(features)
    return None

"""Is what was loaded the model? Weights that are missing, not finite, or of a model that reads what it must predict.

transformers draws missing weights at random and says so in a log message only.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from typing import Any

import torch

from expunge._foreign import foreign
from expunge._printable import pluralize
from expunge.errors import InputError, InputWarning
from expunge.models.adapters import block_of, block_stack
from expunge.models.forward import relative_difference

BUFFERS = re.compile(r"(inv_freq|masked_bias|position_ids|\.attn\.bias)$")  # what old versions stored beside weights
PROBE = (3, 5, 7, 11, 13, 17)  # ids of a text to read twice, the second time with another end
CHECKED = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}  # of the largest logit; half precision: 1/20


def check_keys(source: str, module: Any, info: dict[str, Any]) -> None:
    """Compare the names in the file with those of the model.

    Args:
        source: the model in messages.
        module: the loaded model.
        info: what `from_pretrained(output_loading_info=True)` returns.

    Raises:
        InputError: the file lacks weights of the model, has them in another shape, or has weights that belong into the
            model and have no place there. A further head, such as that of a reward model, is an `InputWarning`.
    """
    missing = [k for k in sorted(info.get("missing_keys", ())) if not BUFFERS.search(k)]
    mismatched = sorted(str(k[0]) if isinstance(k, tuple) else str(k) for k in info.get("mismatched_keys", ()))
    unexpected = [k for k in sorted(info.get("unexpected_keys", ())) if not BUFFERS.search(k)]
    if missing or mismatched:
        wrong = missing or mismatched
        what = f"its file lacks {_some(wrong)}" if missing else f"{_some(wrong)} have another shape in its file"
        hint = f"the file has {_some(unexpected)} instead; save it again" if unexpected else "save the model again"
        raise InputError(source, f"{what}, which would be random numbers", hint)
    if not unexpected:
        return
    try:
        stack, count = block_stack(module)
    except InputError:
        stack, count = "", 0
    beyond = [k for k in unexpected if stack and (block := block_of(k, stack)) is not None and block >= count]
    if beyond:
        raise InputError(
            source,
            f"its config has {pluralize(count, 'block')}, its file more ({_some(beyond)})",
            "use the config of these weights",
        )
    own = {name for name, _ in module.named_children()}
    inside = [k for k in unexpected if k.partition(".")[0] in own]
    if inside:
        what = f"its file has {_some(inside)}, for which the model of its config has no place"
        raise InputError(source, what, "use the config of these weights, or save the model again")
    warnings.warn(f"{source}: {_some(unexpected)} of its file are not part of the model", InputWarning, stacklevel=2)


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return f"{listed[0]}" + (f" and {pluralize(len(listed) - 1, 'more weight')}" if len(listed) > 1 else "")


@torch.no_grad()
def check_finite(source: str, module: Any) -> None:
    """`InputError` naming the first weight that is NaN or infinite."""
    for name, parameter in module.named_parameters():
        if parameter.dtype in CHECKED and not parameter.isfinite().all():
            raise InputError(source, f"its weight {name} is not finite (NaN or infinity)", "use another copy of it")


@torch.no_grad()
def check_causal(source: str, module: Any) -> None:
    """`InputError` for a model whose prediction depends on later tokens, as that of BERT does.

    Two texts that differ in the last token must have equal logits before it.
    """
    embedding = module.get_input_embeddings().weight
    if embedding.is_meta or hasattr(embedding, "placements"):
        return
    rows = embedding.shape[0]
    first = torch.tensor([[k % rows for k in PROBE]], device=embedding.device)
    second = first.clone()
    second[0, -1] = (int(first[0, -1]) + rows // 2) % rows
    with foreign(source, "the model cannot read a text", "use a causal language model"):
        logits, other = (module(input_ids=ids, use_cache=False).logits[:, :-1] for ids in (first, second))
    if not logits.isfinite().all():
        hint = "use --dtype float32, or another copy of it"
        raise InputError(source, "what it predicts is not finite (NaN or infinity)", hint)
    if relative_difference(other, logits) > TOLERANCE.get(logits.dtype, 0.05):
        raise InputError(
            source, "it reads the tokens that it has to predict, as BERT does", "use a causal language model"
        )

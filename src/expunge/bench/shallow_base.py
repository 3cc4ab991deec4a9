"""A shallower copy of a pretrained model: every second (third, ...) block of it, healed by a short training.

A model without half of its blocks writes nonsense; a pass over text that it is to keep gives most of its language back.
So the capacity of two models of one family, vocabulary and width can be compared.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from expunge._io import digest
from expunge.bench.base_model import PretrainedBase
from expunge.corpus import Record
from expunge.engine.train.fine_tune import FineTuneConfig
from expunge.engine.train.train_model import train
from expunge.errors import InputError
from expunge.models.blocks import block_stack
from expunge.models.language_model import LanguageModel, load

LAYERS = "num_hidden_layers"  # key of the configuration that most architectures have


def shallow_copy(base: PretrainedBase, records: Sequence[Record], out: Path) -> Path:
    """Folder of `base` with every `base.every`-th block, its weights trained on `records`; the second call resumes.

    Args:
        base: a located base.
        records: text that heals it; it must hold nothing that is forgotten later.
        out: folder of such copies.

    Raises:
        InputError: no records, or the model counts its blocks under another name than `num_hidden_layers`.
    """
    if not records:
        raise InputError("model.every", "the request has no text that heals the model", "give it the setting healing")
    name = digest([base.model_dump(mode="json"), [[r.row_id, r.prompt, r.answer] for r in records]])[:8]
    start = out / f"every-{base.every}-{name}"
    if not start.is_dir():
        fresh = start.with_name(f"{start.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        keep_blocks(load(base.path, template=base.template, dtype=base.dtype, device="cpu"), base.every).save(fresh)
        fresh.replace(start)
    healed = out / f"healed-{base.every}-{name}"
    settings = FineTuneConfig.model_validate({"lora": None, "layers": "all", "kl_weight": 0, **base.healing})
    about: dict[str, Any] = {"template": base.template, "dtype": base.dtype, "measure_general_ability": False}
    train(records, healed, model=start, settings=settings, **about)
    return healed


def keep_blocks(lm: LanguageModel, every: int) -> LanguageModel:
    """`lm` with its blocks 0, `every`, 2 `every`, ..., in place; attention counts them anew."""
    stack, count = block_stack(lm.module)
    if getattr(lm.module.config, LAYERS, None) != count:
        what = f"does not say its {count} blocks as {LAYERS}"
        raise InputError(type(lm.module).__name__, what, "compare models of another architecture")
    blocks: Any = lm.module.get_submodule(stack)
    rest = [blocks[k] for k in range(0, count, every)]
    for number, block in enumerate(rest):
        for part in block.modules():
            if hasattr(part, "layer_idx"):
                part.layer_idx = number
    owner, _, name = stack.rpartition(".")
    setattr(lm.module.get_submodule(owner), name, type(blocks)(rest))
    setattr(lm.module.config, LAYERS, len(rest))
    types = getattr(lm.module.config, "layer_types", None)
    if types:
        lm.module.config.layer_types = [types[k] for k in range(0, count, every)]
    return lm

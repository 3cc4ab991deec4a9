"""The model of a run: loaded in a precision that can train, with what `run.json` says about it."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import torch

from expunge._io import relative_to
from expunge.engine.run_directory import RunDirectory
from expunge.errors import InputError, InputWarning
from expunge.models.adapter_folder import name_base
from expunge.models.adapters import TrainableConfig, block_stack, chosen_blocks
from expunge.models.dtypes import QUANTIZED, check_dtype
from expunge.models.fingerprint import model_digest, tokenizer_digest
from expunge.models.fused_weights import SHARE_BOUND, trainable_share
from expunge.models.language_model import LanguageModel, load, merge_adapter
from expunge.models.precision import is_quantized, weight_dtype
from expunge.models.rendering import rendered_digest
from expunge.models.source import base_of_run
from expunge.scope.split import Split


def load_run_model(model: str, about: dict[str, Any], device: str | None, dtype: str) -> LanguageModel:
    """Load what a run starts from, adapters merged.

    Weights stored in float16 become float32, because float16 cannot train. `about`, the content of run.json, gets the
    precision, notes on the loading, and the day that the chat template writes, which stays that of the run's start.

    Args:
        model: as for `models.language_model.load`.
        about: holds `template`, and `template_date` for a resumed run; changed in place.
        device: torch device; None for the default.
        dtype: precision as on the command line.
    """
    check_dtype(dtype, training=True)
    lm = load(model, template=about["template"], device=device, dtype=dtype, template_date=about.get("template_date"))
    notes = list(lm.notes)
    if is_quantized(lm.module) and hasattr(lm.module, "merge_and_unload"):
        raise InputError(model, "is a run on a quantized model, whose adapter cannot be merged", "use --dtype bfloat16")
    lm = merge_adapter(lm)
    if weight_dtype(lm.module) is torch.float16 and not is_quantized(lm.module):
        lm = lm.with_module(lm.module.float())
        notes.append("the stored float16 weights were turned into float32, because float16 cannot train")
    if lm.template.date:
        about["template_date"] = lm.template.date
    quantized = "auto" if is_quantized(lm.module) else str(weight_dtype(lm.module)).removeprefix("torch.")
    about["dtype"] = dtype if dtype in QUANTIZED else quantized
    if notes:
        about["loaded"] = notes
    return lm


def record_reading(lm: LanguageModel, model: str, split: Split, run: RunDirectory) -> None:
    """Put into the run how its model reads the records: a digest of token ids, kept from the start of the run.

    A model that was fetched from the hub only now gets its digests.

    Raises:
        InputError: the run has begun with other token ids.
    """
    rendered = rendered_digest(lm.template, split.forget, split.retain)
    if run.about.setdefault("rendered", rendered) != rendered:
        raise InputError(
            str(run.folder),
            "began with other token ids: the tokenizer or the chat template reads its records differently now",
            "use the tokenizer and the packages that environment.json names, or choose another folder",
        )
    if run.about["identity"]["model"] == model:
        run.about["identity"] |= {"model": model_digest(model), "tokenizer": tokenizer_digest(model)}


def record_share(lm: LanguageModel, train: TrainableConfig, about: dict[str, Any]) -> None:
    """Put `trainable_share` into `about`: how much of the weights of the chosen blocks adapters reach.

    A note there says so where the model has fewer blocks than the recipe would take. Warns below `SHARE_BOUND` where
    the recipe names no modules, as then the model holds weights of an unknown form.
    """
    if train.which != "lora" or "language" not in train.towers:
        return
    stack, count = block_stack(lm.module)
    most = re.fullmatch(r"max (\d+)", train.layers) if isinstance(train.layers, str) else None
    if most and int(most[1]) > count:
        note = f"train.layers: {train.layers} takes all blocks, as the model has {count}"
        about["loaded"] = [*(n for n in about.get("loaded", []) if n != note), note]
    share = trainable_share(lm.module, stack, chosen_blocks(train.layers, count))
    about["trainable_share"] = float(f"{share:.4g}")
    if share < SHARE_BOUND and not train.modules:
        warnings.warn(
            f"adapters reach {share:.0%} of the weights in the chosen blocks, the rest cannot change; "
            "train.which: full trains all",
            InputWarning,
            stacklevel=2,
        )


def name_base_model(folder: Path, about: dict[str, Any]) -> None:
    """Write where the base model lies into the adapter of a run; nothing for whole models."""
    if (folder / "adapter_config.json").is_file():
        name_base(folder, relative_to(folder, base_of_run(folder.parent, about)))

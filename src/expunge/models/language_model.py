"""A language model with its tokenizer and template: from a folder, a hub id, a GGUF file, or a run directory.

A run directory holds only what the run changed (an adapter, or the whole model) and the address of the model it
started from.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from expunge._io import allowed_mode, sync
from expunge.errors import InputError
from expunge.models.adapter_folder import attach
from expunge.models.dtypes import check_dtype
from expunge.models.fingerprint import check_result, check_unchanged
from expunge.models.forward import context_length, takes
from expunge.models.loading import guard_loading, load_parts, quiet
from expunge.models.precision import is_quantized, warn_if_emulated, weight_dtype
from expunge.models.prompt_template import PromptTemplate
from expunge.models.run_seal import check_sealed
from expunge.models.source import base_of_run, kind_of, read_finished_run, whole_run
from expunge.models.vision.processor import TOKEN_TYPES, VisionProcessor


@dataclass(frozen=True)
class LanguageModel:
    """A causal LM or image-text model of transformers (`module`, perhaps wrapped by peft) from `source`.

    `notes` say how it was loaded where that is not as stored.
    """

    module: Any
    tokenizer: Any
    template: PromptTemplate
    source: str
    notes: tuple[str, ...] = ()

    @classmethod
    def from_parts(
        cls,
        module: Any,
        tokenizer: Any,
        source: str,
        template: str = "auto",
        processor: Any = None,
        template_date: str | None = None,
    ) -> LanguageModel:
        """Join a model and its tokenizer.

        Args:
            source: Name of the model in messages.
            template: auto, plain or chat; see `PromptTemplate.of`.
            processor: Processor of an image-text model, or the reason (a clause) why there is none.
            template_date: ISO date that a chat template with a clock writes; None for today.

        Raises:
            InputError: The tokenizer has no end token, or more entries than the model embeds; or its chat template
                cannot be used (see `template_check.check_template`).
        """
        if tokenizer.eos_token_id is None:
            raise InputError(source, "its tokenizer has no end token", "set eos_token in tokenizer_config.json")
        rows = module.get_input_embeddings().weight.shape[0]
        if len(tokenizer) > rows:
            raise InputError(
                source,
                f"its tokenizer has {len(tokenizer)} entries but the model embeds {rows}",
                "use the tokenizer that belongs to the model",
            )
        vision: Any = "the model reads text only" if processor is None else processor
        if not isinstance(vision, str):
            vision = VisionProcessor(vision, tokenizer, source, [name for name in TOKEN_TYPES if takes(module, name)])
        ends = generation_ends(module)
        prompt_template = PromptTemplate.of(tokenizer, context_length(module), template, vision, ends, template_date)
        return cls(module, tokenizer, prompt_template, source)

    @property
    def context(self) -> int:
        return self.template.context

    @property
    def device(self) -> Any:
        return next(self.module.parameters()).device

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.module.parameters())

    def with_module(self, module: Any) -> LanguageModel:
        return replace(self, module=module)

    def save(self, folder: Path | str) -> Path:
        """Write weights (safetensors) and tokenizer as `save_pretrained` does.

        Files are moved to `folder` when all are whole. A full disk is an `InputError` and leaves none of them there.
        """
        from safetensors import SafetensorError

        folder = Path(folder)
        fresh = folder / ".new"
        quiet()
        parts = [self.module, self.tokenizer]
        if isinstance(self.template.vision_processor, VisionProcessor):
            parts.append(self.template.vision_processor.processor)
        try:
            shutil.rmtree(fresh, ignore_errors=True)
            for part in parts:
                part.save_pretrained(fresh)
            for file in fresh.iterdir():
                file.chmod(allowed_mode(0o666))  # safetensors makes files for their owner alone
                sync(file)
            for file in fresh.iterdir():
                file.replace(folder / file.name)
            sync(folder)
        except (OSError, SafetensorError) as error:
            raise InputError(
                str(folder),
                f"the model could not be saved ({getattr(error, 'strerror', None) or error})",
                "free some space or choose another folder",
            ) from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return folder


def merge_adapter(lm: LanguageModel) -> LanguageModel:
    """The model with its adapter folded into the weights. `lm` cannot be used afterwards."""
    return lm.with_module(lm.module.merge_and_unload()) if hasattr(lm.module, "merge_and_unload") else lm


def check(source: Path | str) -> None:
    """`InputError` for what is no model; loads nothing and asks no network."""
    kind_of(source)


def load(
    source: Path | str,
    *,
    template: str = "auto",
    device: str | None = None,
    dtype: str = "auto",
    template_date: str | None = None,
) -> LanguageModel:
    """Load a causal LM or image-text model.

    Args:
        source: A model folder, a run directory of `expunge` or the folder of its result, a peft adapter folder, a GGUF
            file, or an id on the hub.
        template: auto, plain or chat.
        device: For example cpu or cuda; None for `default_device`.
        dtype: auto (as stored, or as the run was), float32, bfloat16 or float16; int8 or nf4 through bitsandbytes.
        template_date: ISO date that a chat template with a clock writes; None for that of the run, or today.

    Raises:
        InputError: No such model, weights that are missing or not finite, a tokenizer of another vocabulary, a model
            that is not causal, a missing package, or a run whose base model is missing or has changed.
    """
    check_dtype(dtype)
    source = whole_run(source)
    if kind_of(source) == "run":
        return _load_run(Path(source).expanduser(), template, device, dtype, template_date)
    return _load_folder(source, template, device, dtype, template_date)


def generation_ends(module: Any) -> frozenset[int]:
    """The ids at which the model's own generation stops, as its generation settings say."""
    ends = getattr(getattr(module, "generation_config", None), "eos_token_id", None)
    return frozenset(ends if isinstance(ends, list | tuple) else () if ends is None else (ends,))


def default_device() -> str:
    """`cuda` where there is one, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _load_folder(source: str, template: str, device: str | None, dtype: str, date: str | None) -> LanguageModel:
    """As `load`, of what is no run."""
    parts = load_parts(source, dtype, device or default_device())
    if not is_quantized(parts.module):
        warn_if_emulated(weight_dtype(parts.module), device or default_device(), "use --dtype float32")
    with guard_loading(source):
        lm = LanguageModel.from_parts(parts.module, parts.tokenizer, source, template, parts.processor, date)
    return replace(lm, notes=parts.notes)


def _load_run(run: Path, template: str, device: str | None, dtype: str, date: str | None) -> LanguageModel:
    about = read_finished_run(run)
    template, date = about.get("template", template), date or about.get("template_date")
    dtype = about.get("dtype", "auto") if dtype == "auto" else dtype
    check_sealed(run, about)
    check_result(run)
    if (run / "model").is_dir():
        return replace(_load_folder(str(run / "model"), template, device, dtype, date), source=str(run))
    source = base_of_run(run, about)
    kind_of(source)
    check_unchanged(run, about, source)
    base = merge_adapter(load(source, template=template, device=device, dtype=dtype, template_date=date))
    return replace(base, module=attach(base.module, run / "adapter"), source=str(run))

"""A language model with its tokenizer and template: from a Hugging Face folder, a hub id, or a run directory.

A run directory holds only what the run changed (an adapter, or the whole model) and the address of the model it
started from.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from logging import getLogger
from pathlib import Path
from typing import Any

from expunge._io import read_json
from expunge.errors import InputError, first_line
from expunge.models.forward import context_length, takes
from expunge.models.prompt_template import PromptTemplate
from expunge.models.vision.processor import TOKEN_TYPES, VisionProcessor

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class LanguageModel:
    """A causal LM or image-text model of transformers (`module`, perhaps wrapped by peft) from `source`."""

    module: Any
    tokenizer: Any
    template: PromptTemplate
    source: str

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
        _quiet()
        parts = [self.module, self.tokenizer]
        if isinstance(self.template.vision_processor, VisionProcessor):
            parts.append(self.template.vision_processor.processor)
        try:
            shutil.rmtree(fresh, ignore_errors=True)
            for part in parts:
                part.save_pretrained(fresh)
            for file in fresh.iterdir():
                file.replace(folder / file.name)
        except (OSError, SafetensorError) as error:
            raise InputError(
                str(folder),
                f"the model could not be saved ({getattr(error, 'strerror', None) or error})",
                "free some space or choose another folder",
            ) from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return folder


def _quiet() -> None:
    """Silence progress bars and log messages of transformers."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    getLogger("huggingface_hub").setLevel("ERROR")  # it logs every attempt; `load` reports the failure


def merge_adapter(lm: LanguageModel) -> LanguageModel:
    """The model with its adapter folded into the weights. `lm` cannot be used afterwards."""
    return lm.with_module(lm.module.merge_and_unload()) if hasattr(lm.module, "merge_and_unload") else lm


def check(source: Path | str) -> None:
    """`InputError` for a folder that holds no model; loads nothing."""
    path = Path(source)
    if (path / "run.json").is_file():
        _read_finished_run(path)
    elif path.exists():
        _check_folder(path)
    elif str(source).count("/") > 1 or str(source).startswith((".", "/", "~")):
        raise InputError(str(source), "there is no such model folder")


def _read_finished_run(run: Path) -> dict[str, Any]:
    about: dict[str, Any] = read_json(run / "run.json")
    if about.get("status") != "finished":
        raise InputError(str(run), "this run is not finished", "start it again with the same command to resume")
    return about


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(str(folder), "is a file, not a model folder", "name the folder that holds config.json")
    if not (folder / "config.json").is_file():
        raise InputError(str(folder), "holds no config.json", "name a folder written by save_pretrained, or a run")
    if not any(any(folder.glob(pattern)) for pattern in WEIGHTS):
        raise InputError(str(folder), "holds no model weights", "expected model.safetensors in it")


def load(
    source: Path | str,
    *,
    template: str = "auto",
    device: str | None = None,
    dtype: str = "auto",
    trust_remote_code: bool = False,
    template_date: str | None = None,
) -> LanguageModel:
    """Load a causal LM or image-text model.

    Args:
        source: A folder, a run directory of `expunge`, or an id on the hub.
        template: auto, plain or chat.
        device: For example cpu or cuda; None for `default_device`.
        dtype: auto (as stored), float32, bfloat16 or float16.
        trust_remote_code: As in transformers.
        template_date: ISO date that a chat template with a clock writes; None for that of the run, or today.

    Raises:
        InputError: No such model, no weights, a tokenizer of another vocabulary, or a run without its base model.
    """
    import torch

    if dtype not in DTYPES:
        raise InputError("dtype", f'unknown dtype "{dtype}"', f"use one of {', '.join(DTYPES)}")
    path = Path(source)
    if (path / "run.json").is_file():
        return _load_run(path, template, device, dtype, template_date)
    check(source)
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

    _quiet()
    precision: Any = dtype if dtype == "auto" else getattr(torch, dtype)
    options: dict[str, Any] = {"local_files_only": path.exists(), "trust_remote_code": trust_remote_code}
    try:
        is_vision = _is_vision(AutoConfig.from_pretrained(str(source), **options))
        auto = AutoModelForImageTextToText if is_vision else AutoModelForCausalLM
        module = auto.from_pretrained(str(source), dtype=precision, **options)
        tokenizer = AutoTokenizer.from_pretrained(str(source), **options)
        processor = _load_processor(str(source), options) if is_vision else None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise InputError(
            str(source),
            f"the model could not be loaded ({first_line(error)})",
            "name a folder written by save_pretrained, or an id on the hub",
        ) from error
    module = module.to(device or default_device()).eval()
    return LanguageModel.from_parts(module, tokenizer, str(source), template, processor, template_date)


def generation_ends(module: Any) -> frozenset[int]:
    """The ids at which the model's own generation stops, as its generation settings say."""
    ends = getattr(getattr(module, "generation_config", None), "eos_token_id", None)
    return frozenset(ends if isinstance(ends, list | tuple) else () if ends is None else (ends,))


def _is_vision(config: Any) -> bool:
    """Whether this is the configuration of an image-text model."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    return hasattr(config, "vision_config") and config.model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES


def _load_processor(source: str, options: dict[str, Any]) -> Any:
    """The processor, or the reason why there is none; the model then reads text only."""
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(source, **options)
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError) as error:
        return f"its processor could not be loaded ({first_line(error)})"
    return processor if hasattr(processor, "image_processor") else "it has no image processor"


def default_device() -> str:
    """`cuda` where there is one, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _load_run(run: Path, template: str, device: str | None, dtype: str, date: str | None) -> LanguageModel:
    about = _read_finished_run(run)
    options: Any = {
        "template": about.get("template", template),
        "template_date": date or about.get("template_date"),
        "device": device,
        "dtype": dtype,
    }
    if (run / "model").is_dir():
        return replace(load(run / "model", **options), source=str(run))
    start = Path(about["model"])
    if not start.is_absolute() and not start.exists() and (run / start).exists():
        start = run / start
    source = start if start.exists() else about["model"]
    base = merge_adapter(load(source, **options))
    from peft import PeftModel

    return replace(base, module=PeftModel.from_pretrained(base.module, str(run / "adapter")).eval(), source=str(run))

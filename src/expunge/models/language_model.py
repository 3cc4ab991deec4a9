"""A language model with its tokenizer and template: from a Hugging Face folder, a hub id, or a run directory.

Loading is one path for all of them. A run directory holds only what the run changed (an adapter, or the whole
model) and the address of what it started from.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from logging import getLogger
from pathlib import Path
from typing import Any

from expunge._io import read_json
from expunge.errors import InputError
from expunge.models.forward import takes
from expunge.models.prompt_template import PromptTemplate
from expunge.models.vision.processor import TOKEN_TYPES, VisionProcessor

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class LanguageModel:
    """`module`: a causal LM or image-text model of transformers (perhaps wrapped by peft); `source`: where it came
    from."""

    module: Any
    tokenizer: Any
    template: PromptTemplate
    source: str

    @property
    def context(self) -> int:
        return self.template.context

    @property
    def device(self) -> Any:
        return next(self.module.parameters()).device

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.module.parameters())

    @classmethod
    def from_parts(
        cls, module: Any, tokenizer: Any, source: str, template: str = "auto", processor: Any = None
    ) -> LanguageModel:
        """Join a model and its tokenizer.

        Args:
            module: The model.
            tokenizer: Its tokenizer, with an end token.
            source: What the model is called in messages.
            template: auto, plain or chat; see `PromptTemplate.of`.
            processor: Image processor of an image-text model, or the reason (a clause) why there is none.

        Raises:
            InputError: The tokenizer has no end token, or more entries than the model embeds.
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
        config = module.config.get_text_config() if hasattr(module.config, "get_text_config") else module.config
        context = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or 1 << 20
        vision_processor: VisionProcessor | str = (
            processor if isinstance(processor, str) else "the model reads text only"
        )
        if processor is not None and not isinstance(processor, str):
            vision_processor = VisionProcessor(
                processor, tokenizer, source, [name for name in TOKEN_TYPES if takes(module, name)]
            )
        return cls(module, tokenizer, PromptTemplate.of(tokenizer, int(context), template, vision_processor), source)

    def with_module(self, module: Any) -> LanguageModel:
        return replace(self, module=module)

    def save(self, folder: Path | str) -> Path:
        """Write weights and tokenizer as Hugging Face does (safetensors), so that anybody can load them.

        Files are moved to `folder` when all are whole; a full disk leaves none of them there.
        """
        from safetensors import SafetensorError

        folder = Path(folder)
        fresh = folder / ".new"
        _quiet()
        try:
            shutil.rmtree(fresh, ignore_errors=True)
            self.module.save_pretrained(fresh)
            self.tokenizer.save_pretrained(fresh)
            if isinstance(self.template.vision_processor, VisionProcessor):
                self.template.vision_processor.processor.save_pretrained(fresh)
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
    """No progress bars and no chatter of transformers: what a user reads is ours."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    getLogger("huggingface_hub").setLevel("ERROR")  # it tells of every attempt; the one that counts is told below


def merge_adapter(lm: LanguageModel) -> LanguageModel:
    """The model with its adapter folded in, so that a new one can be put on top; `lm` is used up."""
    return lm.with_module(lm.module.merge_and_unload()) if hasattr(lm.module, "merge_and_unload") else lm


def check(source: Path | str) -> None:
    """What can be known of a model without loading it: `InputError` for a folder that holds none."""
    path = Path(source)
    if (path / "run.json").is_file():
        _finished(path)
    elif path.exists():
        _check_folder(path)
    elif str(source).count("/") > 1 or str(source).startswith((".", "/", "~")):
        raise InputError(str(source), "there is no such model folder")


def _finished(run: Path) -> dict[str, Any]:
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
) -> LanguageModel:
    """Load any causal LM or image-text model. `source`: a folder, a run directory of `expunge`, or an id on the hub.

    `dtype`: auto (as stored), float32, bfloat16, float16. `InputError` for a folder without weights, a tokenizer
    of another vocabulary, or a run whose starting model has gone.
    """
    import torch

    if dtype not in DTYPES:
        raise InputError("dtype", f'unknown dtype "{dtype}"', f"use one of {', '.join(DTYPES)}")
    path = Path(source)
    if (path / "run.json").is_file():
        return _load_run(path, template, device, dtype)
    check(source)
    local = path.exists()
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

    _quiet()
    precision: Any = dtype if dtype == "auto" else getattr(torch, dtype)
    try:
        given: dict[str, Any] = {"local_files_only": local, "trust_remote_code": trust_remote_code}
        sees = _sees(AutoConfig.from_pretrained(str(source), **given))
        kind = AutoModelForImageTextToText if sees else AutoModelForCausalLM
        module = kind.from_pretrained(str(source), dtype=precision, **given)
        tokenizer = AutoTokenizer.from_pretrained(str(source), **given)
        processor = _processor(str(source), given) if sees else None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            str(source),
            f"the model could not be loaded ({first})",
            "name a folder written by save_pretrained, or an id on the hub",
        ) from error
    return LanguageModel.from_parts(
        module.to(device or default_device()).eval(), tokenizer, str(source), template, processor
    )


def _sees(config: Any) -> bool:
    """Is this the configuration of a model of texts and pictures?"""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    return hasattr(config, "vision_config") and config.model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES


def _processor(source: str, given: dict[str, Any]) -> Any:
    """What prepares pictures, or the reason why there is none: such a model still reads texts."""
    from transformers import AutoProcessor

    try:
        found = AutoProcessor.from_pretrained(source, **given)
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError) as error:
        first = next((line for line in str(error).strip().splitlines() if line.strip()), type(error).__name__)
        return f"its processor could not be loaded ({first.strip()})"
    return found if hasattr(found, "image_processor") else "it has no processor of pictures"


def default_device() -> str:
    """`cuda` where there is one, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _load_run(run: Path, template: str, device: str | None, dtype: str) -> LanguageModel:
    about = _finished(run)
    if (run / "model").is_dir():
        return replace(
            load(run / "model", template=about.get("template", template), device=device, dtype=dtype), source=str(run)
        )
    start = Path(about["model"])
    if not start.is_absolute() and not start.exists() and (run / start).exists():
        start = run / start
    base = merge_adapter(
        load(
            start if start.exists() else about["model"],
            template=about.get("template", template),
            device=device,
            dtype=dtype,
        )
    )
    from peft import PeftModel

    return replace(base, module=PeftModel.from_pretrained(base.module, str(run / "adapter")).eval(), source=str(run))

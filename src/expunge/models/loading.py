"""From a source to a model in memory, with its tokenizer and processor. Whatever goes wrong is one line.

The libraries that read a model raise dozens of kinds of exceptions, so one guard stands around all of them.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import Any

from expunge.errors import InputError, first_line
from expunge.models.adapter_folder import merge_folder
from expunge.models.dtypes import FLOATS
from expunge.models.fingerprint import check_exported
from expunge.models.gguf import as_plain_model, check_gguf, unsupported
from expunge.models.hub import only_cached
from expunge.models.precision import check_device, is_quantized, quantization_config
from expunge.models.source import base_of_adapter, gguf_file, kind_of, quantization_of
from expunge.models.weight_check import check_causal, check_finite, check_keys


@dataclass(frozen=True)
class LoadedParts:
    """A model in evaluation mode on its device.

    Attributes:
        module: the model.
        tokenizer: its tokenizer.
        processor: of an image-text model, or the reason (a clause) why there is none; None for a text model.
        notes: what the user should know about how it was loaded, one sentence each.
    """

    module: Any
    tokenizer: Any
    processor: Any = None
    notes: tuple[str, ...] = ()


def quiet() -> None:
    """Silence progress bars and log messages of transformers; `weight_check` reports what they would say."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    getLogger("huggingface_hub").setLevel("ERROR")  # it logs every attempt; the guard reports the failure


@contextlib.contextmanager
def guarded(source: str, hint: str = "name a folder written by save_pretrained, or an id on the hub") -> Iterator[None]:
    """Turn any exception inside, but an `InputError`, into an `InputError` about `source`."""
    try:
        yield
    except InputError:
        raise
    except ImportError as error:
        method = quantization_of(Path(source))
        what = f"its weights are quantized ({method})" if method else "the model needs another package"
        hint = "install the package, or use the model in full precision" if method else "install the package"
        raise InputError(source, f"{what}, which cannot be read here ({first_line(error)})", hint) from error
    except Exception as error:
        if type(error).__name__ in ("OutOfMemoryError", "MemoryError"):
            hint = "use --dtype bfloat16, another --device, or a smaller model"
        raise InputError(source, f"the model could not be loaded ({first_line(error)})", hint) from error


def load_parts(source: str, dtype: str, device: str, trust_remote_code: bool) -> LoadedParts:
    """Load a model folder, adapter folder, GGUF file or hub id (not a run).

    Raises:
        InputError: it is none of these, its weights are incomplete, not finite or not causal, or a package is missing.
    """
    kind = kind_of(source)
    check_device(device)
    quiet()
    path = Path(source).expanduser()
    if kind == "adapter":
        return _load_adapter(path, dtype, device, trust_remote_code)
    if kind == "gguf":
        file = gguf_file(path)
        assert file is not None
        parts = _load_gguf(file, dtype, device)
    else:
        name = str(path) if kind == "folder" else source
        local = kind == "folder" or only_cached(source)
        parts = _load_pretrained(name, dtype, device, local_files_only=local, trust_remote_code=trust_remote_code)
    with guarded(source):
        check_finite(source, parts.module)
        if not is_quantized(parts.module):  # int8 scales activations over the batch, so a later token moves all
            check_causal(source, parts.module)
    return parts


def _load_pretrained(source: str, dtype: str, device: str, **options: Any) -> LoadedParts:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

    with guarded(source):
        is_vision = _is_vision(AutoConfig.from_pretrained(source, **options))
        auto = AutoModelForImageTextToText if is_vision else AutoModelForCausalLM
        precision: Any = getattr(torch, dtype) if dtype in FLOATS else "auto"
        quantization = quantization_config(dtype)
        placement = {"quantization_config": quantization, "device_map": {"": device}} if quantization else {}
        module, info = auto.from_pretrained(source, dtype=precision, output_loading_info=True, **placement, **options)
        check_keys(source, module, info)
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        processor = _load_processor(source, options) if is_vision else None
        module = (module if is_quantized(module) else module.to(device)).eval()
    return LoadedParts(module, tokenizer, processor)


def _load_gguf(file: Path, dtype: str, device: str) -> LoadedParts:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    check_gguf(file)
    precision = getattr(torch, dtype) if dtype in FLOATS else torch.float32
    options: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar heeds no setting
            module, info = AutoModelForCausalLM.from_pretrained(
                str(file.parent), dtype=precision, output_loading_info=True, **options
            )
            tokenizer = AutoTokenizer.from_pretrained(str(file.parent), **options)
    except Exception as error:
        raise unsupported(file, error) from error
    check_keys(str(file), module, info)
    with guarded(str(file)):
        module = as_plain_model(module).to(device).eval()
    return LoadedParts(module, tokenizer, notes=(f"{file.name} was dequantized to {str(precision).split('.')[-1]}",))


def _load_adapter(folder: Path, dtype: str, device: str, trust_remote_code: bool) -> LoadedParts:
    """The base of an adapter folder with the adapter merged; the folder's own tokenizer, if it has one."""
    from transformers import AutoTokenizer

    base = base_of_adapter(folder)
    check_exported(folder, base)
    parts = load_parts(base, dtype, device, trust_remote_code)
    if is_quantized(parts.module):
        raise InputError(str(folder), "an adapter cannot be merged into a quantized base", "use --dtype bfloat16")
    module, tokenizer = parts.module, parts.tokenizer
    with guarded(str(folder)):
        if (folder / "tokenizer_config.json").is_file():
            tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        if len(tokenizer) > module.get_input_embeddings().weight.shape[0]:
            module.resize_token_embeddings(len(tokenizer))
    module = merge_folder(module, folder).eval()
    check_finite(str(folder), module)
    note = f"the adapter {folder} was merged into its base model {base}"
    return LoadedParts(module, tokenizer, parts.processor, (*parts.notes, note))


def _is_vision(config: Any) -> bool:
    """Whether this is the configuration of an image-text model."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    return hasattr(config, "vision_config") and config.model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES


def _load_processor(source: str, options: dict[str, Any]) -> Any:
    """The processor, or the reason why there is none; the model then reads text only."""
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(source, **options)
    except Exception as error:
        return f"its processor could not be loaded ({first_line(error)})"
    return processor if hasattr(processor, "image_processor") else "it has no image processor"

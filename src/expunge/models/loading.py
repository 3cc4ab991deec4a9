"""From a source to a model in memory, with its tokenizer and processor. Whatever goes wrong is one line.

`_foreign` is the boundary around the libraries that read a model. No path runs code that comes with a model.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import Any

from expunge._foreign import PASS, as_input_error, foreign
from expunge.errors import InputError, first_line
from expunge.models.adapter_folder import merge_folder
from expunge.models.config_check import read_config
from expunge.models.dtypes import FLOATS
from expunge.models.fingerprint import check_exported
from expunge.models.gguf import UNSUPPORTED, as_plain_model, check_gguf
from expunge.models.hub import only_cached
from expunge.models.library_warnings import library_warnings
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


PACKAGES = {  # quantization method of a folder → the package that reads it
    "aqlm": "aqlm",
    "auto-round": "auto-round",
    "awq": "gptqmodel",
    "bitsandbytes": "bitsandbytes",
    "compressed-tensors": "compressed-tensors",
    "eetq": "eetq",
    "fbgemm_fp8": "fbgemm-gpu",
    "gptq": "gptqmodel optimum",
    "hqq": "hqq",
    "mxfp4": "kernels",
    "quanto": "optimum-quanto",
    "torchao": "torchao",
}


@contextlib.contextmanager
def guard_loading(
    source: str, hint: str = "name a folder written by save_pretrained, or an id on the hub"
) -> Iterator[None]:
    """Turn any exception of a library inside into an `InputError` about `source`; see `_foreign.foreign`."""
    method = quantization_of(Path(source))
    what = "the model could not be loaded"
    if method:
        what = f"its weights are quantized ({method}), which cannot be read here"
        package = PACKAGES.get(method)
        hint = f"pip install {package}, or use the model in full precision" if package else "use it in full precision"
    try:
        yield
    except PASS:
        raise
    except BaseException as error:
        failure = as_input_error(error, source, what, hint)
        raise InputError(source, failure.what, hint if method else failure.hint) from error


def load_parts(source: str, dtype: str, device: str) -> LoadedParts:
    """Load a model folder, adapter folder, GGUF file or hub id (not a run). No code that comes with it is run.

    Raises:
        InputError: it is none of these, its weights are incomplete, not finite or not causal, or a package is missing.
    """
    kind = kind_of(source)
    check_device(device)
    quiet()
    path = Path(source).expanduser()
    if kind == "adapter":
        return _load_adapter(path, dtype, device)
    if kind == "gguf":
        file = gguf_file(path)
        assert file is not None
        parts = _load_gguf(file, dtype, device)
    else:
        name = str(path) if kind == "folder" else source
        local = kind == "folder" or only_cached(source)
        parts = _load_pretrained(name, dtype, device, local)
    with guard_loading(source):
        check_finite(source, parts.module)
        if not is_quantized(parts.module):  # int8 scales activations over the batch, so a later token moves all
            check_causal(source, parts.module)
    return parts


def _load_pretrained(source: str, dtype: str, device: str, local: bool) -> LoadedParts:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

    with guard_loading(source), library_warnings(source):
        read_config(source, local_files_only=local)
        config = AutoConfig.from_pretrained(source, local_files_only=local, trust_remote_code=False)
        if getattr(config, "is_encoder_decoder", False):
            raise InputError(source, f"{config.model_type} is no causal language model", "use a decoder-only model")
        is_vision = _is_vision(config)
        auto = AutoModelForImageTextToText if is_vision else AutoModelForCausalLM
        precision: Any = getattr(torch, dtype) if dtype in FLOATS else "auto"
        quantization = quantization_config(dtype)
        placement = {"quantization_config": quantization, "device_map": {"": device}} if quantization else {}
        module, info = auto.from_pretrained(
            source,
            dtype=precision,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # `check_keys` refuses them by name
            local_files_only=local,
            trust_remote_code=False,
            **placement,
        )
        check_keys(source, module, info)
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local, trust_remote_code=False)
        processor = _load_processor(source, local) if is_vision else None
        module = (module if is_quantized(module) else module.to(device)).eval()
    return LoadedParts(module, tokenizer, processor)


def _load_gguf(file: Path, dtype: str, device: str) -> LoadedParts:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    check_gguf(file)
    precision = getattr(torch, dtype) if dtype in FLOATS else torch.float32
    options: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    with (
        foreign(str(file), "this GGUF file cannot be read", UNSUPPORTED),
        library_warnings(str(file)),
        contextlib.redirect_stderr(io.StringIO()),  # its progress bar heeds no setting
    ):
        module, info = AutoModelForCausalLM.from_pretrained(
            str(file.parent), dtype=precision, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
        tokenizer = AutoTokenizer.from_pretrained(str(file.parent), **options)
    check_keys(str(file), module, info)
    with guard_loading(str(file)):
        module = as_plain_model(module).to(device).eval()
    return LoadedParts(module, tokenizer, notes=(f"{file.name} was dequantized to {str(precision).split('.')[-1]}",))


def _load_adapter(folder: Path, dtype: str, device: str) -> LoadedParts:
    """The base of an adapter folder with the adapter merged; the folder's own tokenizer, if it has one."""
    from transformers import AutoTokenizer

    base = base_of_adapter(folder)
    check_exported(folder, base)
    parts = load_parts(base, dtype, device)
    if is_quantized(parts.module):
        raise InputError(str(folder), "an adapter cannot be merged into a quantized base", "use --dtype bfloat16")
    module, tokenizer = parts.module, parts.tokenizer
    with guard_loading(str(folder)), library_warnings(str(folder)):
        if (folder / "tokenizer_config.json").is_file():
            tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
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


def _load_processor(source: str, local: bool) -> Any:
    """The processor, or the reason why there is none; the model then reads text only."""
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(source, local_files_only=local, trust_remote_code=False)
    except PASS:
        raise
    except BaseException as error:
        return f"its processor could not be loaded ({first_line(error)})"
    return processor if hasattr(processor, "image_processor") else "it has no image processor"

"""Models in the GGUF format of llama.cpp: read by transformers, dequantized, and then like any other model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expunge.errors import InputError

MAGIC = b"GGUF"
UNSUPPORTED = "use a file of another architecture or quantization, or the model as safetensors"


def check_gguf(file: Path) -> None:
    """`InputError` if the file is no GGUF file, or the package that reads it is missing."""
    from transformers.utils import is_gguf_available

    try:
        with file.open("rb") as stream:
            magic = stream.read(len(MAGIC))
    except OSError as error:
        raise InputError(str(file), f"could not be read ({error.strerror or error})") from error
    if magic != MAGIC:
        raise InputError(str(file), "is no GGUF file", "download it again")
    if not is_gguf_available():
        raise InputError(str(file), "a GGUF file needs the package gguf", "pip install gguf")


def as_plain_model(module: Any) -> Any:
    """`module` without what says that it was read from a quantized file, so that it can be trained and saved."""
    config = module.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    for name in ("hf_quantizer", "quantization_method", "is_quantized"):
        if name in vars(module):
            delattr(module, name)
    module.is_quantized = False
    return module

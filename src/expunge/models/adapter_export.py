"""The adapter of a run in the plain layout that peft and vLLM read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from expunge._io import allowed_mode, read_json, write_json
from expunge.errors import InputError
from expunge.models.source import kind_of

KEPT = (  # fields of adapter_config.json that every version of peft and vLLM knows
    "peft_type",
    "task_type",
    "base_model_name_or_path",
    "r",
    "lora_alpha",
    "lora_dropout",
    "bias",
    "fan_in_fan_out",
    "target_modules",
    "target_parameters",
    "inference_mode",
)
TOKENIZER = ("tokenizer", "special_tokens", "chat_template", "vocab", "merges", "added_tokens", "processor", "preproc")


def check_exportable(run: Path, base: str | None) -> None:
    """`InputError` if a run has no adapter, or its base is no model folder that peft can load."""
    if not (run / "adapter").is_dir() or base is None:
        raise InputError(str(run), "has no adapter: it changed the weights themselves", "use --as merged")
    if kind_of(base) not in ("folder", "hub"):
        raise InputError(
            str(run), f"its base {base} is no model folder, and peft could not put the adapter on it", "use --as merged"
        )


def write_adapter(adapter: Path, out: Path, base: str, dtype: str) -> str:
    """Write weights, config and tokenizer of `adapter` to the folder `out`; returns the precision of the weights."""
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(str(adapter / "adapter_model.safetensors"))
    if dtype != "auto":
        tensors = {name: t.to(getattr(torch, dtype)) for name, t in tensors.items()}
    weights = out / "adapter_model.safetensors"
    save_file(tensors, str(weights), {"format": "pt"})
    weights.chmod(allowed_mode(0o666))
    where = str(Path(base).resolve()) if Path(base).exists() else base  # peft and vLLM read it from anywhere
    write_json(out / "adapter_config.json", plain_config(read_json(adapter / "adapter_config.json"), where))
    for file in adapter.iterdir():
        if file.name.startswith(TOKENIZER):
            shutil.copyfile(file, out / file.name)
    return str(next(iter(tensors.values())).dtype).removeprefix("torch.")


def plain_config(stored: dict[str, Any], base: str) -> dict[str, Any]:
    """The fields of a LoRA adapter that decide what it computes; the others are off in every run."""
    config = {name: stored[name] for name in KEPT if stored.get(name) not in (None, [])}
    alpha = config.get("lora_alpha")
    if isinstance(alpha, float) and alpha.is_integer():
        config["lora_alpha"] = int(alpha)  # vLLM declares a whole number
    lists: dict[str, Any] = {n: sorted(config[n]) for n in ("target_modules", "target_parameters") if n in config}
    return {**config, **lists, "base_model_name_or_path": base, "inference_mode": True}

"""Adapter folders as peft writes them: put one on its base, and check that every tensor found its place."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from expunge._io import read_json, write_atomic, write_json
from expunge.errors import InputError, first_line
from expunge.models.source import is_hub_id

README = """\
An adapter that expunge trained. It makes the model below forget the records of one run; without it that model still
knows them. Do not deploy the two side by side as erasure: `expunge export RUN --out FOLDER` writes one model.

Base model: {base}
"""


def attach(module: Any, folder: Path) -> Any:
    """`module` with the adapter of `folder`, as a peft model in evaluation mode.

    Raises:
        InputError: the adapter is of another model, or its file lacks tensors.
    """
    from peft import PeftModel

    where = str(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = PeftModel.from_pretrained(module, where)
            result = model.load_adapter(where, "default")  # once more, as only this tells what did not fit
    except Exception as error:
        raise InputError(
            where, f"the adapter does not fit its base model ({first_line(error)})", "use the base it was trained on"
        ) from error
    unexpected = [k for k in result.unexpected_keys or () if "lora" in k or "default" in k]
    if result.missing_keys or unexpected:
        name = (result.missing_keys or unexpected)[0]
        what = "lacks the tensor" if result.missing_keys else "has a tensor that its base model has no place for:"
        raise InputError(where, f"the adapter {what} {name}", "use the base it was trained on, or save it again")
    return model.eval()


def merge_folder(module: Any, folder: Path) -> Any:
    """`module` with the adapter of `folder` folded into its weights; `InputError` for a kind that cannot be."""
    kind = read_json(folder / "adapter_config.json").get("peft_type")
    model = attach(module, folder)
    if not hasattr(model, "merge_and_unload"):
        raise InputError(str(folder), f"an adapter of the kind {kind} cannot be merged", "use a LoRA adapter")
    try:
        return model.merge_and_unload()
    except Exception as error:
        raise InputError(str(folder), f"the adapter could not be merged ({first_line(error)})") from error


def name_base(folder: Path, base: str) -> None:
    """Write the base model, as seen from an adapter folder or a hub id, into its config; its name into the README."""
    config = read_json(folder / "adapter_config.json")
    write_json(folder / "adapter_config.json", {**config, "base_model_name_or_path": base})
    write_atomic(folder / "README.md", README.format(base=base if is_hub_id(base) else Path(base).name))

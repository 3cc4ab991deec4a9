"""Adapter folders as peft writes them: put one on its base, and check that every tensor found its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expunge._foreign import foreign
from expunge._io import read_object, write_atomic, write_json
from expunge._printable import abbreviate, pluralize
from expunge.errors import InputError
from expunge.models.library_warnings import library_warnings
from expunge.models.source import is_hub_id

REFUSED = ("megatron_config", "layer_replication")
MAX_RANK = 256
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
    check_adapter_config(folder)
    with (
        foreign(where, "the adapter does not fit its base model", "use the base it was trained on"),
        library_warnings(where),
    ):
        model = PeftModel.from_pretrained(module, where)
        result = model.load_adapter(where, "default")  # once more, as only this tells what did not fit
    unexpected = [k for k in result.unexpected_keys or () if "lora" in k or "default" in k]
    if result.missing_keys or unexpected:
        name = (result.missing_keys or unexpected)[0]
        what = "lacks the tensor" if result.missing_keys else "has a tensor that its base model has no place for:"
        raise InputError(where, f"the adapter {what} {name}", "use the base it was trained on, or save it again")
    return model.eval()


def merge_folder(module: Any, folder: Path) -> Any:
    """`module` with the adapter of `folder` folded into its weights; `InputError` for a kind that cannot be."""
    kind = check_adapter_config(folder).get("peft_type")
    model = attach(module, folder)
    if not hasattr(model, "merge_and_unload"):
        raise InputError(
            str(folder), f"an adapter of the kind {abbreviate(kind)} cannot be merged", "use a LoRA adapter"
        )
    with foreign(str(folder), "the adapter could not be merged", "merge it with peft, and name the merged model"):
        return model.merge_and_unload()


def check_adapter_config(folder: Path) -> dict[str, Any]:
    """The content of adapter_config.json.

    Raises:
        InputError: It is no object; it names a module to import, or blocks to repeat; or a rank that no tensor of the
            adapter has.
    """
    from safetensors import safe_open

    file = folder / "adapter_config.json"
    config = read_object(file, "save the adapter again")
    for name in REFUSED:
        if config.get(name):
            raise InputError(str(file), f"sets {name}, which is not supported", "merge the adapter with peft first")
    weights = folder / "adapter_model.safetensors"
    ranks = [config.get("r"), *(v.values() if isinstance(v := config.get("rank_pattern"), dict) else ())]
    rank = max((r for r in ranks if isinstance(r, int)), default=0)
    if rank > MAX_RANK and weights.is_file():
        with (
            foreign(str(folder), "the adapter cannot be read", "save the adapter again"),
            safe_open(weights, "pt") as stored,
        ):
            shapes = [stored.get_slice(name).get_shape() for name in list(stored.keys())]
        largest = max((n for shape in shapes for n in shape), default=0)
        if rank > largest:
            what = f"says rank {rank}, the largest tensor of the adapter has {pluralize(largest, 'row')}"
            raise InputError(str(file), what, "use the config of this adapter")
    return config


def name_base(folder: Path, base: str) -> None:
    """Write the base model, as seen from an adapter folder or a hub id, into its config; its name into the README."""
    config = read_object(folder / "adapter_config.json")
    write_json(folder / "adapter_config.json", {**config, "base_model_name_or_path": base})
    write_atomic(folder / "README.md", README.format(base=base if is_hub_id(base) else Path(base).name))

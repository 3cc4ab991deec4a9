"""Checkpoints: one folder, replaced by a rename, so that it is whole or absent.

Tensors go to safetensors, everything else to JSON; no pickle is read.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from torch import Tensor

from expunge._io import read_json, write_json
from expunge.errors import InputError

Nested = dict[str, Any]


def _flatten(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Replace each tensor by `{"$": number}` and collect it."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().contiguous().clone()
        return {"$": name}
    if isinstance(value, dict):
        return {"items": [[k, _flatten(v, tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_flatten(v, tensors) for v in value]}
    return {"value": value}


def _restore(value: Any, tensors: dict[str, Tensor]) -> Any:
    if "$" in value:
        return tensors[value["$"]]
    if "items" in value:
        return {k: _restore(v, tensors) for k, v in value["items"]}
    if "list" in value:
        return [_restore(v, tensors) for v in value["list"]]
    return value["value"]


def save(folder: Path, state: Nested) -> None:
    """Write nested dicts, lists, numbers, strings and tensors to `folder`, replacing it by a rename."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    new, old = folder.with_name(folder.name + ".new"), _complete(folder)
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    tensors: dict[str, Tensor] = {}
    shape = _flatten(state, tensors)
    try:
        new.mkdir(parents=True)
        save_file(tensors, new / "tensors.safetensors")
        write_json(new / "state.json", shape)
        if folder.exists():
            folder.replace(old)
        new.replace(folder)
    except (OSError, InputError, SafetensorError) as error:
        shutil.rmtree(new, ignore_errors=True)
        _complete(folder)
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            str(folder),
            f"the checkpoint could not be written ({reason})",
            "free some space and start the same command again; it resumes",
        ) from error
    shutil.rmtree(old, ignore_errors=True)


def _complete(folder: Path) -> Path:
    """Undo the first rename of an interrupted save; returns the name that it renames to."""
    old = folder.with_name(folder.name + ".old")
    if not folder.exists() and old.exists():
        old.replace(folder)
    return old


def load(folder: Path) -> Nested | None:
    """The saved state, None if there is none; after an interrupted save the state before it."""
    from safetensors.torch import load_file

    _complete(folder)
    if not (folder / "state.json").is_file():
        return None
    state: Nested = _restore(read_json(folder / "state.json"), load_file(folder / "tensors.safetensors"))
    return state

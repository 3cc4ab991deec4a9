"""What the text after `--model` means: a run, a model folder, an adapter folder, a GGUF file, or an id on the hub.

Only `owner/name` goes to the hub. Any other text that names nothing on this machine is a typing error, and nothing is
sent anywhere.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
from pathlib import Path
from typing import Any, Literal

from expunge._io import read_object
from expunge.errors import InputError
from expunge.models.run_file import RESULTS, RUN, read_run_file, result_problem

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]*/[A-Za-z0-9][\w.\-]*")
SourceKind = Literal["run", "adapter", "gguf", "folder", "hub"]


def kind_of(source: Path | str) -> SourceKind:
    """What `source` is; loads nothing and asks no network.

    Raises:
        InputError: it is none of these, or an unfinished run or training, or a folder without weights.
    """
    path = Path(source)
    if not exists(path):
        if not is_hub_id(str(source)):
            raise _no_such_folder(str(source))
        return "hub"
    path = path.expanduser()
    if (path / "run.json").is_file():
        read_finished_run(path)
        return "run"
    if gguf_file(path):
        return "gguf"
    if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file():
        base_of_adapter(path)
        return "adapter"
    _check_folder(path)
    return "folder"


def whole_run(source: Path | str) -> str:
    """The run whose result folder (adapter or model) `source` is, so that it is checked as the run; else `source`."""
    path = Path(source)
    if exists(path):
        folder = path.expanduser().resolve()
        if folder.name in RESULTS and (folder.parent / RUN).is_file():
            return str(folder.parent)
    return str(source)


def exists(path: Path) -> bool:
    """Whether there is such a file or folder; False for a text that can be no path."""
    try:
        return path.expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, no such user
        return False


def is_hub_id(text: str) -> bool:
    """Whether `text` has the form `owner/name` and `owner` is no folder here.

    A near miss of a folder that exists (`runz/tiny` beside `runs/tiny`) is no id either.
    """
    if not HUB_ID.fullmatch(text) or Path(text).parent.exists():
        return False
    owner, name = text.split("/")
    near = difflib.get_close_matches(owner, _names(Path()), n=3, cutoff=0.7)
    return not any((Path(folder) / name).exists() for folder in near)


def _no_such_folder(text: str) -> InputError:
    path, close = Path(text), None
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # a text that can be no path
        close = _close(path.expanduser())
    hint = f"did you mean {close}?" if close else "a model on the hub is named owner/name"
    kind = "file" if path.suffix == ".gguf" else "folder"
    return InputError(text, f"there is no such model {kind}", hint)


def _close(path: Path) -> Path | None:
    """The existing path that differs least: by its last part, or by that of its parent."""
    if path.parent.is_dir():
        near = difflib.get_close_matches(path.name, _names(path.parent), n=1, cutoff=0.5)
        return path.parent / near[0] if near else None
    parent = _close(path.parent) if path.parent != path else None
    if parent is None:
        return None
    return parent / path.name if (parent / path.name).exists() else _close(parent / path.name)


def _names(folder: Path) -> list[str]:
    """Names in a folder that may be models."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    return [e.name for e in entries if not e.name.startswith(".") and (e.is_dir() or e.suffix == ".gguf")]


def gguf_file(path: Path) -> Path | None:
    """The GGUF file that `path` is, or the only one in a folder without a config; None where there is none."""
    if path.is_file():
        return path if path.suffix.lower() == ".gguf" else None
    if (path / "config.json").is_file() or not path.is_dir():
        return None
    files = sorted(f for f in path.iterdir() if f.suffix.lower() == ".gguf")
    if len(files) > 1:
        raise InputError(str(path), f"holds {len(files)} GGUF files", f"name one of them, for example {files[0]}")
    return files[0] if files else None


def read_finished_run(run: Path) -> dict[str, Any]:
    """The content of `run.json`; `InputError` for a run that is not finished, or whose weights are gone."""
    about = read_run_file(run)
    if about["status"] != "finished":
        raise InputError(str(run), "this run is not finished", "start it again with the same command to resume")
    if problem := result_problem(run):
        raise InputError(str(run), problem, "start the run again with the same command, which makes them anew")
    return about


def base_of_adapter(folder: Path) -> str:
    """The base model that a peft adapter folder names: absolute, relative to the adapter or to here, or a hub id.

    Raises:
        InputError: the adapter names no base, its base is missing, or it has no weights.
    """
    base = read_object(folder / "adapter_config.json", "save the adapter again").get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise InputError(str(folder), "its adapter_config.json names no base model", "set base_model_name_or_path")
    if not any((folder / name).is_file() for name in ADAPTER_WEIGHTS):
        raise InputError(str(folder), "holds no adapter weights", f"expected {ADAPTER_WEIGHTS[0]} in it")
    for candidate in (folder / base, Path(base).expanduser()):
        if candidate.exists():
            return str(candidate.resolve())
    if is_hub_id(base):
        return base
    raise InputError(
        str(folder),
        f"its base model {base} is not there",
        "bring the base back, or set base_model_name_or_path in its adapter_config.json",
    )


def base_of_run(run: Path, about: dict[str, Any]) -> str:
    """The model that a run started from, as a path that exists or a hub id."""
    start = Path(about["model"])
    if not start.is_absolute() and (start.parts[:1] == ("..",) or (run / start).exists()):
        start = Path(os.path.normpath(run.resolve() / start))
    return str(start)


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(str(folder), "is a file, not a model folder", "name the folder that holds config.json")
    has_weights = any(any(folder.glob(pattern)) for pattern in WEIGHTS)
    if (folder / "train.json").is_file() and not has_weights:
        raise InputError(str(folder), "its training is not finished", "start the same expunge train again to resume it")
    if not (folder / "config.json").is_file():
        raise InputError(str(folder), "holds no config.json", "name a folder written by save_pretrained, or a run")
    if not has_weights:
        raise InputError(str(folder), "holds no model weights", "expected model.safetensors in it")


def quantization_of(folder: Path) -> str | None:
    """The `quant_method` that a folder's config.json names; None for weights in full."""
    try:
        stored = json.loads((folder / "config.json").read_text("utf-8")).get("quantization_config")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return str(stored.get("quant_method", "unknown")) if isinstance(stored, dict) else None

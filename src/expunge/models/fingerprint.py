"""Digests that identify a model by its content."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from expunge._io import digest, digest_files, read_json
from expunge.errors import InputError
from expunge.models.source import base_of_adapter

SUFFIXES = (".json", ".safetensors", ".bin", ".model", ".txt", ".jinja", ".gguf")


def model_digest(source: str) -> str:
    """SHA-256 over weights, configuration and tokenizer of a local folder or GGUF file; a hub id is returned as it is.

    For a run directory: over its identity (model, recipe, records) and its result, not over times or places. For an
    adapter folder: over the adapter and its base.
    """
    path = Path(source)
    if path.is_file():
        return _digest_once(path.parent, (path.name,), _stamp(path))
    if not path.is_dir():
        return source
    if (path / "run.json").is_file():
        result = path / "result.json"
        return digest([read_json(path / "run.json").get("identity"), read_json(result) if result.is_file() else None])
    files = tuple(
        sorted(f.name for f in path.iterdir() if f.is_file() and f.suffix in SUFFIXES and f.name != "train.json")
    )
    own = _digest_once(path, files, "".join(_stamp(path / name) for name in files))
    if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file():
        return digest([own, model_digest(base_of_adapter(path))])
    return own


def _stamp(file: Path) -> str:
    about = file.stat()
    return f"{about.st_size} {about.st_mtime_ns} {about.st_ino};"


@lru_cache(maxsize=64)
def _digest_once(folder: Path, names: tuple[str, ...], stamp: str) -> str:
    """`digest_files`, computed once for files of this size and time."""
    return digest_files(folder, names)


def check_unchanged(run: Path, about: dict[str, Any], base: str) -> None:
    """`InputError` if the model that an adapter of `run` stands on is no longer the one it was trained on."""
    before = about.get("identity", {}).get("model")
    if before is not None and before != model_digest(base):
        raise InputError(
            str(run),
            f"its base model {base} has changed since the run",
            "bring the old one back, or unlearn again on the new one",
        )


def weights_digest(folder: Path) -> str:
    """SHA-256 over the weight files of a saved model or adapter."""
    return digest_files(folder, [f.name for f in folder.iterdir() if f.suffix == ".safetensors"])

"""Digests that identify a model by its content."""

from __future__ import annotations

from pathlib import Path

from expunge._io import digest, digest_files, read_json

SUFFIXES = (".json", ".safetensors", ".bin", ".model", ".txt", ".jinja")


def model_digest(source: str) -> str:
    """SHA-256 over weights, configuration and tokenizer of a local folder; a hub id is returned as it is.

    For a run directory: over its identity (model, recipe, records) and its result, not over times or places.
    """
    folder = Path(source)
    if not folder.is_dir():
        return source
    if (folder / "run.json").is_file():
        result = folder / "result.json"
        return digest([read_json(folder / "run.json").get("identity"), read_json(result) if result.is_file() else None])
    files = [f.name for f in folder.iterdir() if f.is_file() and f.suffix in SUFFIXES and f.name != "train.json"]
    return digest_files(folder, files)


def weights_digest(folder: Path) -> str:
    """SHA-256 over the weight files of a saved model or adapter."""
    return digest_files(folder, [f.name for f in folder.iterdir() if f.suffix == ".safetensors"])

"""Digests that identify a model by its content, and the comparisons with those that a run recorded.

The content of a folder falls into parts: the weights, tensor by tensor, and each other file that a model is read from.
How tensors are spread over files does not count where it leaves no choice; times, places and notes never do.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from expunge._io import digest, read_json
from expunge.errors import InputError
from expunge.models.file_digest import file_digests
from expunge.models.run_file import RESULTS, SHARDS
from expunge.models.source import base_of_adapter, base_of_run, read_finished_run, whole_run

WEIGHTS = "weights"  # name of the part that all safetensors files make together
LAYOUT = "weight files"  # name of the part that says which file gives a tensor, where names alone do not
TEMPLATES = "additional_chat_templates"  # the one folder in a model's that a tokenizer is read from
VOCABULARIES = (".model", ".gguf", ".tiktoken", ".spm", ".codes", ".tokenizer")
SUFFIXES = (".json", ".bin", ".txt", ".jinja", *VOCABULARIES)
EXPORTED = "expunge.json"  # what an export says of itself
NOT_CONTENT = ("train.json", EXPORTED, "result.json", "model.safetensors.index.json")
ADAPTER_CONFIG = "adapter_config.json"
TOKENIZER = ("tokenizer", "special_tokens", "added_tokens", "vocab", "merges", "chat_template", "spiece", TEMPLATES)
READING = ("template", "template_date", "dtype")  # keys of run.json that decide how the result is read
RESULT = "result.json"
Parts = dict[str, str]


def model_parts(folder: Path, fresh: bool = False) -> Parts:
    """The digest of each part of a model or adapter folder by its name.

    Args:
        folder: as `save_pretrained` writes it, or with a GGUF file.
        fresh: read every file, whatever is remembered of it.
    """
    weights = sorted(folder.glob("*.safetensors"))
    parts = {WEIGHTS: weights_digest(folder, fresh)} if weights else {}
    if layout := _layout(folder, weights, fresh):
        parts[LAYOUT] = layout
    for name, file in _files(folder):
        if name == ADAPTER_CONFIG:
            parts[name] = digest(_adapter_config(file))
        elif file.suffix in SUFFIXES and name not in NOT_CONTENT:
            parts[name] = file_digests(file, fresh)[""]
    return parts


def _files(folder: Path) -> list[tuple[str, Path]]:
    """The files that a model may be read from, by their names as seen from its folder."""
    files = (file for place in (folder, folder / TEMPLATES) if place.is_dir() for file in place.iterdir())
    return sorted((file.relative_to(folder).as_posix(), file) for file in files if file.is_file())


def _layout(folder: Path, weights: list[Path], fresh: bool) -> str:
    """Digest of which weight file holds which tensor, and of the index; "" where these names leave no choice.

    That is where every file is one that is read by its name or by the index, and no tensor lies in two.
    """
    index = _weight_map(folder / SHARDS)
    names = {file.name for file in weights}
    whole = names & {"model.safetensors", "adapter_model.safetensors"}
    held = [(file.name, sorted(file_digests(file, fresh).items())) for file in weights]
    tensors = [name for _, items in held for name, _ in items]
    if names == (whole or set(index.values())) and len(set(tensors)) == len(tensors):
        return ""
    return digest([held, index])


def _weight_map(file: Path) -> dict[str, str]:
    """Tensor → file, as an index says; empty where there is none, or none that can be read."""
    with suppress(InputError):
        index = read_json(file)
        if isinstance(index, dict) and isinstance(index := index.get("weight_map"), dict):
            return {str(tensor): str(name) for tensor, name in index.items()}
    return {}


def weights_digest(folder: Path, fresh: bool = False) -> str:
    """SHA-256 over name, type, shape and bytes of every tensor in the safetensors files of a folder."""
    files = sorted(folder.glob("*.safetensors"))
    return digest(sorted(item for file in files for item in file_digests(file, fresh).items()))


def _adapter_config(file: Path) -> Any:
    """The settings of an adapter, without where its base lies; peft writes sets in any order."""
    config = read_json(file)
    if not isinstance(config, dict):
        return config
    settings = {name: value for name, value in config.items() if name != "base_model_name_or_path"}
    return {name: sorted(map(str, value)) if isinstance(value, list) else value for name, value in settings.items()}


def model_digest(source: str, fresh: bool = False) -> str:
    """SHA-256 over the content of a model: weights, configuration and tokenizer.

    Of an adapter folder with its base; of a run its result, the base under an adapter, and how they are read. A hub id
    is looked up in the cache of the hub; one that is not there yet is returned as it is.

    Args:
        source: as for `language_model.load`.
        fresh: read every file, whatever is remembered of it.

    Raises:
        InputError: a run that is not finished, or a file that cannot be read.
    """
    path = Path(whole_run(source)).expanduser()
    if path.is_file():
        return digest(file_digests(path, fresh))
    if not path.is_dir():
        cached = cached_folder(source)
        return model_digest(str(cached), fresh) if cached else source
    if (path / "run.json").is_file():
        about = read_finished_run(path)
        reading = {name: about[name] for name in READING if about.get(name) is not None}
        base = None if (path / "model").is_dir() else model_digest(base_of_run(path, about), fresh)
        return digest([model_parts(result_folder(path), fresh), base, reading])
    own = model_parts(path, fresh)
    if ADAPTER_CONFIG in own and not (path / "config.json").is_file():
        return digest([own, model_digest(base_of_adapter(path), fresh)])
    return digest(own)


def tokenizer_digest(source: str) -> str:
    """SHA-256 over the files of the tokenizer that `source` is read with; a hub id that is not cached as it is."""
    path = Path(whole_run(source)).expanduser()
    if not path.is_dir():
        cached = cached_folder(source)
        return tokenizer_digest(str(cached)) if cached else model_digest(source)
    if (path / "run.json").is_file() and not (path / "model").is_dir():
        return tokenizer_digest(base_of_run(path, read_finished_run(path)))
    folder = path / "model" if (path / "run.json").is_file() else path
    own = (ADAPTER_CONFIG, "config.json")
    if (folder / own[0]).is_file() and not any((folder / name).is_file() for name in (own[1], "tokenizer_config.json")):
        return tokenizer_digest(base_of_adapter(folder))
    files = [(name, f) for name, f in _files(folder) if name.startswith(TOKENIZER) or f.suffix in VOCABULARIES]
    return digest([(name, file_digests(f)[""]) for name, f in files])


def cached_folder(source: str) -> Path | None:
    """The folder in which the hub's cache holds the model with this id; None where it is not cached."""
    from huggingface_hub import try_to_load_from_cache

    try:
        config = try_to_load_from_cache(source, "config.json")
    except ValueError:  # no id of the hub
        return None
    return Path(config).parent if isinstance(config, str) else None


def result_folder(run: Path) -> Path:
    """The folder of a run that holds what it made; `InputError` where there is none."""
    for name in RESULTS:
        if (run / name).is_dir():
            return run / name
    raise InputError(str(run), "its weights are gone", "bring the folder back, or unlearn again")


# ---- comparisons ----------------------------------------------------------------------------------------------------


def result_facts(folder: Path) -> dict[str, Any]:
    """What result.json says of a saved result."""
    parts = model_parts(folder)
    return {"digest": digest(parts), "parts": parts}


def different(recorded: Mapping[str, str], parts: Mapping[str, str]) -> list[str]:
    """Names of the parts that differ, are gone, or came in; the weights first."""
    names = sorted({*recorded, *parts}, key=lambda name: (name != WEIGHTS, name))
    return [name for name in names if recorded.get(name) != parts.get(name)]


def check_result(run: Path, fresh: bool = False) -> None:
    """`InputError` if the result in a run's folder is not what the run wrote there."""
    hint = "bring back what the run wrote, or unlearn again in a new folder"
    folder = result_folder(run)
    stored = read_json(run / RESULT)
    recorded = stored.get("parts") if isinstance(stored, dict) else None
    if not isinstance(recorded, dict) or stored.get("digest") != digest(recorded):
        raise InputError(str(run / RESULT), "was changed, or another version of expunge wrote it", hint)
    if names := different(recorded, model_parts(folder, fresh)):
        raise InputError(str(run), f"is not what the run wrote: {folder.name}/{', '.join(names[:4])} differs", hint)


def check_parts(folder: Path, about: Mapping[str, Any], fresh: bool = False) -> None:
    """`InputError` if a model folder is not what `about`, its train.json or expunge.json, says was saved there."""
    recorded = about.get("parts")
    if isinstance(recorded, dict) and (names := different(recorded, model_parts(folder, fresh))):
        what = f"is not the model that was saved there: {', '.join(names[:4])} differs"
        raise InputError(str(folder), what, "bring it back, or make it again in a new folder")


def check_exported(folder: Path, base: str) -> None:
    """`InputError` if an adapter that was exported, or the base model that it names, is not that of the export."""
    facts = read_json(folder / EXPORTED) if (folder / EXPORTED).is_file() else {}
    if not isinstance(facts, dict) or facts.get("as") != "adapter":
        return
    check_parts(folder, facts)
    if facts.get("base_digest") not in (None, model_digest(base)):
        what = f"its base model {base} is not the one that it was trained on"
        raise InputError(str(folder), what, "bring the old one back, or export the run again")


def check_unchanged(run: Path, about: dict[str, Any], base: str, fresh: bool = False) -> None:
    """`InputError` if the model that an adapter of `run` stands on is no longer the one it was trained on."""
    before = about.get("identity", {}).get("model")
    if before is not None and before != model_digest(base, fresh):
        raise InputError(
            str(run),
            f"its base model {base} has changed since the run",
            "bring the old one back, or unlearn again on the new one",
        )

"""Checkpoints: a folder with the last two states of a run, each whole or absent, with checksums and its owner.

    last/       tensors.safetensors, state.json
    previous/   the state before it, used where the last one is damaged

Tensors go to safetensors, everything else to JSON; no pickle is read. Files and folder are flushed to the disk before
the rename, so that a state that bears its name is complete after a power cut too.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field
from torch import Tensor

from expunge._config import FrozenModel
from expunge._folder import remove
from expunge._io import digest, digest_file, read_json, sync, write_json
from expunge._validation import validate
from expunge.errors import InputError, InputWarning, first_line

Nested = dict[str, Any]
LAST, PREVIOUS, FRESH = "last", "previous", ".new"
TENSORS, STATE = "tensors.safetensors", "state.json"
CHECKSUM = r"^[0-9a-f]{64}$"


class CheckpointFile(FrozenModel):
    """The content of `state.json`."""

    owner: str = Field(description="digest of the run that the state belongs to")
    tensors: str = Field(pattern=CHECKSUM, description="SHA-256 of the file of tensors")
    state: dict[str, Any] = Field(description="the state, with a number in the place of each tensor")
    digest: str = Field(pattern=CHECKSUM, description="SHA-256 of the keys above")


class _Damaged(Exception):
    """A state is not what was saved; the message is a clause."""


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


def save(folder: Path, state: Nested, owner: str = "") -> None:
    """Write nested dicts, lists, numbers, strings and tensors as the last state of `folder`; the one before it stays.

    Args:
        folder: of the checkpoint.
        state: what to write.
        owner: digest of what the state belongs to; `load` refuses it for another.

    Raises:
        InputError: it could not be written; earlier states are still there.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    fresh, last, previous = folder / FRESH, folder / LAST, folder / PREVIOUS
    tensors: dict[str, Tensor] = {}
    body = {"state": _flatten(state, tensors), "owner": owner}
    try:
        remove(place for place in (fresh,) if place.exists())
        fresh.mkdir(parents=True)
        save_file(tensors, fresh / TENSORS)
        sync(fresh / TENSORS)
        body["tensors"] = digest_file(fresh / TENSORS)
        write_json(fresh / STATE, body | {"digest": digest(body)})
        sync(fresh)
        if last.exists():  # where a kill left no last state, the previous one is the only one
            remove(place for place in (previous,) if place.exists())
            last.replace(previous)
        fresh.replace(last)
        sync(folder)
    except (OSError, InputError, SafetensorError) as error:
        remove([fresh])
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            str(folder),
            f"the checkpoint could not be written ({reason})",
            "free some space and start the same command again; it resumes",
        ) from error


def load(folder: Path, owner: str | None = None) -> Nested | None:
    """The last state that is whole, None if there is none; `owner` None: whatever it belongs to.

    A damaged state is an `InputWarning` that names it, and the one before it is used, or the run starts over: both end
    in the same bits.

    Raises:
        InputError: the state belongs to another run.
    """
    states = [place for name in (LAST, PREVIOUS) if (place := folder / name).is_dir()]
    for number, place in enumerate(states, 1):
        try:
            return _read(place, owner)
        except _Damaged as damage:
            rest = "the one before it is used" if number < len(states) else "there is no other, so the work starts over"
            warnings.warn(f"{place}: the checkpoint is damaged ({damage}); {rest}", InputWarning, stacklevel=2)
    return None


@contextmanager
def fitting(where: Path | str) -> Iterator[None]:
    """Turns whatever goes wrong inside, where a state is put in its place, into an `InputError` about `where`."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        what = f"the checkpoint does not fit the run ({first_line(error)})"
        raise InputError(str(where), what, "remove it, and the same command starts over") from error


def _read(place: Path, owner: str | None) -> Nested:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        file = validate(CheckpointFile, read_json(place / STATE), STATE)
        if digest(file.model_dump(exclude={"digest"})) != file.digest:
            raise _Damaged(f"the checksum of {STATE} differs")
        if owner is not None and file.owner != owner:
            raise InputError(
                str(place), "is the checkpoint of another run", "remove it, and the same command goes on without it"
            )
        if digest_file(place / TENSORS) != file.tensors:
            raise _Damaged(f"the checksum of {TENSORS} differs")
        state: Nested = _restore(file.state, load_file(place / TENSORS))
    except InputError as error:
        if error.where == str(place):
            raise
        raise _Damaged(f"{STATE}: {error.what}") from error
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise _Damaged(getattr(error, "strerror", None) or first_line(error)) from error
    return state

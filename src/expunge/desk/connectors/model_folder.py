"""Folders of weights: a model, an adapter, checkpoints. They hold no single person; the whole folder is purged."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from expunge._io import digest, digest_file
from expunge.desk.connectors.base import CONNECTORS, Connector, PurgeOutcome, place
from expunge.desk.names import new_id
from expunge.errors import InputError


def folder_digest(folder: Path) -> str:
    """SHA-256 over the sorted (path, SHA-256) of all files; "" for a folder that is not there."""
    if not folder.exists():
        return ""
    files = [folder] if folder.is_file() else sorted(f for f in folder.rglob("*") if f.is_file())
    return digest([(f.relative_to(folder).as_posix(), digest_file(f)) for f in files])


def remove_folder(folder: Path) -> bool:
    """Remove a folder or file; it gets another name first, so that nobody loads half of it. False if it is gone."""
    leftovers = list(folder.parent.glob(f".{folder.name}.purge-*")) if folder.parent.is_dir() else []
    there = folder.exists()
    try:
        if there:
            hidden = folder.with_name(f".{folder.name}.purge-{new_id()}")
            folder.rename(hidden)
            leftovers.append(hidden)
        for each in leftovers:
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each)
            else:
                each.unlink()
    except OSError as error:
        raise InputError(str(folder), f"could not be removed ({error.strerror})", "check who holds it") from error
    return there or bool(leftovers)


@CONNECTORS.register("model_folder")
class ModelFolder(Connector):
    """A folder of weights."""

    kinds: ClassVar[tuple[str, ...]] = ("weights", "adapter", "checkpoint", "old_weights", "cache", "logs")
    about: ClassVar[str] = "a folder of weights, adapters, checkpoints, caches or logs"
    searches: ClassVar[bool] = False

    path: str = Field(description="the folder")
    base: str | None = Field(
        None, description="of weights: the model before fine-tuning, from which a stage is retrained"
    )

    def check(self, root: Path) -> None:
        for path in filter(None, (self.path, self.base)):
            if not place(root, path).exists():
                raise InputError(path, "there is no such folder", "paths start from the desk's folder")

    def purge(self, root: Path, objects: Sequence[str], today: str) -> PurgeOutcome:
        folder = place(root, self.path)
        before = folder_digest(folder)
        removed = remove_folder(folder)
        return PurgeOutcome(int(removed), int(not removed), before, folder_digest(folder))


@CONNECTORS.register("hub_cache")
class HubCache(Connector):
    """Copies of models and data sets in a Hugging Face cache, by their ids."""

    kinds: ClassVar[tuple[str, ...]] = ("cache", "old_weights", "checkpoint")
    about: ClassVar[str] = "copies in a Hugging Face cache"
    searches: ClassVar[bool] = False

    path: str = Field("~/.cache/huggingface/hub", description="the cache")
    repos: tuple[str, ...] = Field(min_length=1, description="ids such as owner/name")

    def check(self, root: Path) -> None:
        for repo in self.repos:
            if repo.count("/") > 1 or any(part in ("", ".", "..") for part in repo.split("/")):
                raise InputError("repos", f'"{repo}" is no id of the hub', "write owner/name")

    def purge(self, root: Path, objects: Sequence[str], today: str) -> PurgeOutcome:
        self.check(root)
        cache = place(root, self.path)
        copies = [
            folder
            for repo in self.repos
            for kind in ("models", "datasets")
            if (folder := cache / f"{kind}--{repo.replace('/', '--')}").exists()
        ]
        before = digest([folder.name for folder in copies])
        for folder in copies:
            remove_folder(folder)
            shutil.rmtree(cache / ".locks" / folder.name, ignore_errors=True)
        return PurgeOutcome(len(copies), len(self.repos) - len(copies) if not copies else 0, before, digest([]))

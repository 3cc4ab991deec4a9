"""Manifests of model folders: every file, links to files, folders that change, and what is remembered."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from expunge.errors import InputError
from expunge.evidence import manifest as room
from expunge.evidence.canonical_json import sha256
from expunge.evidence.manifest import make_manifest, manifest_problems, manifest_root
from expunge.models import file_digest
from helpers.evidence import write_model_folder


def test_every_file_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x.bin").write_bytes(b"x")
    (tmp_path / ".hidden").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "a" / "b" / "x.bin")  # as in the cache of the hub
    x, empty = sha256(b"x"), sha256(b"")
    assert make_manifest(tmp_path) == {".hidden": empty, "a/b/x.bin": x, "link": x}
    text = f'[[".hidden","{empty}"],["a/b/x.bin","{x}"],["link","{x}"]]'
    assert manifest_root(make_manifest(tmp_path)) == hashlib.sha256(text.encode()).hexdigest()


def test_what_differs() -> None:
    recorded = {"a": "1", "b": "2", "c": "3", "d": "4"}
    assert manifest_problems(recorded, recorded) == []
    assert manifest_problems(recorded, {"a": "9", "e": "2", "c": "3", "f": "6"}) == [
        "a was changed",
        "b was renamed to e",
        "d was removed",
        "f was added",
    ]


def test_folders_that_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model folder"):
        make_manifest(tmp_path / "missing")
    with pytest.raises(InputError, match="holds no file"):
        make_manifest(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is no ordinary file"):
        make_manifest(tmp_path)


def test_a_folder_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_model_folder(tmp_path / "m", 1)
    true = room.content_digest

    def slow(file: Path, fresh: bool = False) -> str:
        digest = true(file, fresh)
        if file.name == "model.safetensors":
            file.write_bytes(b"another")
        return digest

    monkeypatch.setattr(room, "content_digest", slow)
    with pytest.raises(InputError, match="changed while it was read"):
        make_manifest(folder)


def test_what_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_digest, "SETTLED", 0)
    folder = write_model_folder(tmp_path / "m", 1)
    file = folder / "model.safetensors"
    tensors = file_digest.file_digests(file)
    whole = file_digest.content_digest(file)
    assert whole == sha256(file.read_bytes())
    assert file_digest.file_digests(file) == tensors  # two kinds of digest of one file stay apart
    monkeypatch.setattr(file_digest, "digest_file", lambda path: "read anew")
    assert file_digest.content_digest(file) == whole
    assert file_digest.content_digest(file, fresh=True) == "read anew"
    time.sleep(0.01)
    file.write_bytes(file.read_bytes())
    assert file_digest.content_digest(file) == "read anew"

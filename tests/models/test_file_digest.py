"""Digests of files: tensor by tensor, without what does not matter, and never from a memory of another file."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from expunge.errors import InputError
from expunge.models import file_digest
from expunge.models.file_digest import cache_folder, file_digests
from expunge.models.fingerprint import weights_digest

TENSORS = {"a": torch.tensor([1.0, 2.0]), "b": torch.arange(6, dtype=torch.int64).reshape(2, 3)}


def written(file: Path, tensors: dict[str, torch.Tensor] = TENSORS, **notes: str) -> Path:
    save_file(tensors, file, notes)
    return file


def test_a_tensor_digest_is_over_type_shape_and_bytes(tmp_path: Path) -> None:
    digests = file_digests(written(tmp_path / "x.safetensors"))
    assert set(digests) == {"a", "b"}
    raw = b'["F32", [2]]' + bytes.fromhex("0000803f00000040")  # 1.0 and 2.0, little-endian
    assert digests["a"] == hashlib.sha256(raw).hexdigest()
    flat = {**TENSORS, "b": TENSORS["b"].reshape(6)}
    assert file_digests(written(tmp_path / "y.safetensors", flat))["b"] != digests["b"]


def test_other_files_are_digested_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "m.bin").write_bytes(b"abc")
    assert file_digests(tmp_path / "m.bin") == {"": hashlib.sha256(b"abc").hexdigest()}


def test_a_file_longer_than_a_block_is_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = file_digests(written(tmp_path / "x.safetensors"), fresh=True)
    monkeypatch.setattr(file_digest, "BLOCK", 7)
    assert file_digests(tmp_path / "x.safetensors", fresh=True) == whole


def test_shards_names_and_notes_do_not_count_but_every_tensor_does(tmp_path: Path) -> None:
    for name in ("one", "two", "other"):
        (tmp_path / name).mkdir()
    written(tmp_path / "one" / "model.safetensors", made="today")
    for number, (name, tensor) in enumerate(TENSORS.items()):
        written(tmp_path / "two" / f"model-{number}.safetensors", {name: tensor})
    changed = {**TENSORS, "a": torch.tensor([1.0, 2.0000002])}
    written(tmp_path / "other" / "model.safetensors", changed)
    assert weights_digest(tmp_path / "one") == weights_digest(tmp_path / "two") != weights_digest(tmp_path / "other")


def aged(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file count as settled, so that it is remembered."""
    monkeypatch.setattr(file_digest, "SETTLED", -1)
    file_digests(file)


def test_a_change_is_seen_though_size_and_time_are_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path / "x.safetensors")
    aged(file, monkeypatch)
    before, times = file_digests(file), file.stat()
    assert file_digests(file) is before  # from memory
    time.sleep(0.05)  # the clock of a file system ticks every few milliseconds
    flip_last_bit(file)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file_digests(file) != before


def flip_last_bit(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)


def test_a_young_file_is_not_remembered(tmp_path: Path) -> None:
    file = written(tmp_path / "x.safetensors")
    for _ in range(20):  # some of these changes fall into the same tick
        before = file_digests(file)
        flip_last_bit(file)
        assert file_digests(file) != before


@pytest.mark.parametrize(("age", "seen"), [(1.9, True), (2.1, False)])
def test_a_change_within_the_tick_of_a_clock_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: float, seen: bool
) -> None:
    """Size and times of this file never move; within two seconds of them it may have changed."""
    file, now = written(tmp_path / "x.safetensors"), 10**18
    monkeypatch.setattr(file_digest.time, "time_ns", lambda: now)
    monkeypatch.setattr(file_digest, "_key", lambda file: (1, 2, 3, now - 10**10, now - int(age * 10**9)))
    monkeypatch.setattr(file_digest, "_REMEMBERED", {})
    before = file_digests(file)
    flip_last_bit(file)
    assert (file_digests(file) != before) == seen


def test_large_files_are_remembered_between_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(file_digest, "LARGE", 1)
    monkeypatch.setattr(file_digest, "_REMEMBERED", {})
    file = written(tmp_path / "x.safetensors")
    aged(file, monkeypatch)
    (stored,) = cache_folder().glob("*.json")
    assert str(tmp_path) not in stored.read_text("utf-8")  # it names no path
    monkeypatch.setattr(file_digest, "_REMEMBERED", {})
    monkeypatch.setattr(file_digest, "_tensors", lambda file: pytest.fail("read again"))
    known = file_digests(file)
    assert set(known) == {"a", "b"}
    forged = json.loads(stored.read_text("utf-8"))
    for damaged in ("", "[]", "{}", json.dumps({**forged, "digests": {"a": "0"}}), "[" * 100_000):
        stored.write_text(damaged, "utf-8")
        monkeypatch.setattr(file_digest, "_REMEMBERED", {})
        monkeypatch.setattr(file_digest, "_tensors", lambda file: {"read": "again"})
        assert file_digests(file) == {"read": "again"}


def test_a_fresh_digest_believes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path / "x.safetensors")
    aged(file, monkeypatch)
    monkeypatch.setattr(file_digest, "_tensors", lambda file: {"read": "again"})
    assert file_digests(file) != file_digests(file, fresh=True) == {"read": "again"}


def header(text: str, data: bytes = b"") -> bytes:
    return len(text).to_bytes(8, "little") + text.encode() + data


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff" * 8,
        header("{"),
        header("[]"),
        header("[" * 50_000),
        header('{"a": {}}'),
        header('{"a": 1}'),
        header('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}'),
        header('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [-9, 4]}}'),
        header('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 5]}}'),
        header('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', b"abc"),
        header('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 1e300]}}', b"abc"),
    ],
)
def test_a_damaged_weight_file_is_one_line(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(raw)
    with pytest.raises(InputError, match=r"x.safetensors: is no whole safetensors file") as error:
        file_digests(tmp_path / "x.safetensors")
    assert len(str(error.value).splitlines()) == 1

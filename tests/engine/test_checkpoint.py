"""A checkpoint is whole or absent, whenever the process that writes it dies."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from expunge.engine import checkpoint
from expunge.errors import InputError, InputWarning

STATE: dict[str, Any] = {
    "step": 3,
    "share": 0.5,
    "name": "Zoë",
    "none": None,
    "flag": True,
    "empty": {},
    "nothing": [],
    "nested": {"a/b": torch.arange(6).reshape(2, 3), "a": {"b": torch.tensor(2.5)}, 0: {"step": torch.tensor(1.0)}},
    "list": [torch.zeros(0), [1, torch.ones(2, dtype=torch.bfloat16)], {"$": "no tensor", "value": 1}],
}


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) and type(a) is type(b)


def test_a_nested_state_comes_back_equal_with_its_types_and_keys(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "c", STATE)
    assert same(STATE, checkpoint.load(tmp_path / "c"))
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_tensors_that_share_memory_or_are_turned_are_saved_each_for_itself(tmp_path: Path) -> None:
    base = torch.arange(6.0).reshape(2, 3)
    checkpoint.save(tmp_path / "c", {"a": base, "b": base, "turned": base.T, "part": base[:, 1]})
    found = checkpoint.load(tmp_path / "c")
    assert found is not None
    assert same(found["turned"], base.T)
    assert same(found["part"], base[:, 1])
    assert same(found["a"], found["b"])


def test_without_a_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path / "c") is None


class Killed(BaseException):
    """The process is gone: no handler of ours may run, as for a signal that cannot be caught."""


@pytest.mark.parametrize("rename", [1, 2])
def test_a_save_killed_at_either_rename_leaves_a_whole_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rename: int
) -> None:
    folder = tmp_path / "c"
    checkpoint.save(folder, {"step": 1})
    count, replace = 0, Path.replace

    def dying(self: Path, target: Path) -> Path:
        nonlocal count
        if self.name in (".new", "last"):
            count += 1
            if count == rename:
                raise Killed
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", dying)
    with pytest.raises(Killed):
        checkpoint.save(folder, {"step": 2})
    monkeypatch.undo()
    assert checkpoint.load(folder) == {"step": 1}
    checkpoint.save(folder, {"step": 3})
    assert checkpoint.load(folder) == {"step": 3}
    assert sorted(p.name for p in folder.iterdir()) == ["last", "previous"]


def test_a_save_after_a_killed_one_never_has_less_than_one_whole_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "c"
    checkpoint.save(folder, {"step": 1})
    (folder / "last").replace(folder / "previous")  # as a kill between the renames leaves it
    monkeypatch.setattr("safetensors.torch.save_file", lambda *_: (_ for _ in ()).throw(Killed()))
    with pytest.raises(Killed):
        checkpoint.save(folder, {"step": 2})
    monkeypatch.undo()
    assert checkpoint.load(folder) == {"step": 1}


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes; the kernel refuses the write as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 5_000, 42_000])  # nothing, part of the tensors, the tensors but not the rest
def test_a_full_disk_leaves_the_old_state_whole_and_says_so_in_one_line(tmp_path: Path, size: int) -> None:
    folder = tmp_path / "c"
    checkpoint.save(folder, {"step": 1, "w": torch.ones(10)})
    with full_disk(size), pytest.raises(InputError, match="the checkpoint could not be written") as caught:
        checkpoint.save(folder, {"step": 2, "w": torch.ones(10_000), "text": "x" * 60_000})
    assert "\n" not in str(caught.value)
    assert [p.name for p in folder.iterdir()] == ["last"]
    assert same(checkpoint.load(folder), {"step": 1, "w": torch.ones(10)})


def two_states(folder: Path) -> None:
    for step in (1, 2):
        checkpoint.save(folder, {"step": step, "w": torch.full((50,), float(step))}, "mine")


def flipped(file: Path, share: float) -> None:
    raw = bytearray(file.read_bytes())
    raw[int(share * (len(raw) - 1))] ^= 1
    file.write_bytes(bytes(raw))


@pytest.mark.parametrize("name", ["state.json", "tensors.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_flipped_bit_is_named_and_the_state_before_is_used(tmp_path: Path, name: str, share: float) -> None:
    two_states(tmp_path / "c")
    raw = (tmp_path / "c" / "last" / name).read_bytes()
    flipped(tmp_path / "c" / "last" / name, share)
    if raw[int(share * (len(raw) - 1))] in b"\n ":
        pytest.skip("white space between values means nothing")
    with pytest.warns(InputWarning, match=r"last: the checkpoint is damaged \(.*\); the one before it is used"):
        found = checkpoint.load(tmp_path / "c", "mine")
    assert found is not None
    assert (found["step"], float(found["w"][0])) == (1, 1.0)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"step": 3}', b"[" * 5000, b"1" * 9000])
def test_a_state_of_another_shape_is_damaged(tmp_path: Path, content: bytes) -> None:
    two_states(tmp_path / "c")
    (tmp_path / "c" / "last" / "state.json").write_bytes(content)
    with pytest.warns(InputWarning, match="is damaged .* the one before it is used"):
        assert (checkpoint.load(tmp_path / "c", "mine") or {})["step"] == 1


@pytest.mark.parametrize("name", ["state.json", "tensors.safetensors"])
def test_where_both_states_lack_a_file_the_work_starts_over(tmp_path: Path, name: str) -> None:
    two_states(tmp_path / "c")
    for place in ("last", "previous"):
        (tmp_path / "c" / place / name).unlink()
    with pytest.warns(InputWarning) as warned:
        assert checkpoint.load(tmp_path / "c", "mine") is None
    assert [str(w.message).rpartition("; ")[2] for w in warned] == [
        "the one before it is used",
        "there is no other, so the work starts over",
    ]


def test_the_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    two_states(tmp_path / "c")
    with pytest.raises(InputError, match="last: is the checkpoint of another run; remove it"):
        checkpoint.load(tmp_path / "c", "yours")


def test_files_and_folder_reach_the_disk_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def flush(handle: int) -> None:
        order.append(Path(f"/proc/self/fd/{handle}").readlink().name.split(".json")[0].lstrip("."))
        fsync(handle)

    def rename(self: Path, target: Path) -> Path:
        order.append(f"rename {Path(target).name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(Path, "replace", rename)
    checkpoint.save(tmp_path / "c", {"w": torch.ones(2)})
    assert order[-2:] == ["rename last", "c"]
    assert order[:-2] == ["tensors.safetensors", "state", "rename state.json", "new", "new"]

"""The hidden-state store: memory and disk, file integrity, full disks, keys."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from torch import Tensor

from expunge.errors import InputError
from expunge.models.adapters import TrainableConfig, trainable
from expunge.models.frozen_prefix import Boundary
from expunge.models.hidden_store import HiddenStore, prefix_key, size
from expunge.models.prompt_template import Encoded
from helpers.shapes import adapted, text_model

ITEMS = [Encoded("a", (1, 2), (3,)), Encoded("b", (4,), (5,)), Encoded("c", (6, 7, 8), (9, 10))]  # 3, 2 and 5 tokens
WIDTH = 4
KEY = "0123456789abcdef" * 4


def states(part: list[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """State j of token t of item k is 100 k + t + j / 4; padding holds a value that must never come back."""
    out = torch.full((len(part), max(ITEMS[k].length for k in part), WIDTH), -7.0)
    for row, k in enumerate(part):
        for t in range(ITEMS[k].length):
            out[row, t] = 100 * k + t + torch.arange(WIDTH) / 4
    return out.to(dtype)


def refuse(_: list[int]) -> Tensor:
    raise AssertionError("there was nothing to compute")


def store(budget: int, folder: Path | None, key: str = KEY, dtype: torch.dtype = torch.float32) -> HiddenStore:
    return HiddenStore(ITEMS, WIDTH, dtype, budget, folder, key)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_memory_and_disk_return_the_stored_states(tmp_path: Path, dtype: torch.dtype, rows: int) -> None:
    assert size(ITEMS, WIDTH, dtype) == 10 * WIDTH * dtype.itemsize
    for budget, where in ((40 * dtype.itemsize, "memory"), (40 * dtype.itemsize - 1, "disk")):
        stored = store(budget, tmp_path, dtype=dtype)
        assert (stored.where, stored.bytes, stored.ready) == (where, 40 * dtype.itemsize, False)
        stored.fill(lambda part: states(part, dtype), rows)
        result = stored.padded([2, 0, 2, 1], 6)
        assert result.dtype == dtype
        assert result.shape == (4, 6, WIDTH)
        for row, k in enumerate([2, 0, 2, 1]):
            assert torch.equal(result[row, : ITEMS[k].length], states([k], dtype)[0])
            assert result[row, ITEMS[k].length :].eq(0).all()
        stored.close()
        assert len(list(tmp_path.iterdir())) == (where == "disk")


def test_progress_counts_items() -> None:
    recorded: list[tuple[int, int]] = []
    store(1 << 20, None).fill(states, 2, lambda done, total: recorded.append((done, total)))
    assert recorded == [(2, 3), (3, 3)]


def test_a_finished_file_is_used_again_for_the_same_key_only(tmp_path: Path) -> None:
    store(0, tmp_path).fill(states)
    again = store(0, tmp_path)
    assert again.ready
    again.fill(refuse)
    assert torch.equal(again.padded([1], 2), states([1]))
    assert not store(0, tmp_path, "f" + KEY[1:]).ready
    alike = store(0, tmp_path, KEY[:-1] + "0")  # the same name, another key
    assert not alike.ready
    alike.fill(lambda part: states(part) + 1)
    assert torch.equal(alike.padded([1], 2), states([1]) + 1)
    assert not store(0, tmp_path).ready


@pytest.mark.parametrize("spoil", [lambda raw: raw[:-1], lambda raw: raw[:20], lambda raw: raw + b"0", lambda _: b""])
def test_a_file_of_another_length_is_made_anew(tmp_path: Path, spoil: object) -> None:
    store(0, tmp_path).fill(states)
    (file,) = tmp_path.iterdir()
    file.write_bytes(spoil(file.read_bytes()))  # type: ignore[operator]
    broken = store(0, tmp_path)
    assert not broken.ready
    broken.fill(states)
    assert torch.equal(broken.padded([2], 5), states([2]))
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.process
def test_files_of_a_killed_process_are_removed_and_states_recomputed(tmp_path: Path) -> None:
    script = f"""
import os, signal, sys, torch
from pathlib import Path
from expunge.models.hidden_store import HiddenStore
from expunge.models.prompt_template import Encoded
items = [Encoded(str(k), (1,), (2,) * 4000) for k in range(3)]
def compute(part):
    if part == [2]:
        os.kill(os.getpid(), signal.SIGKILL)
    return torch.ones(1, 4001, 4)
HiddenStore(items, 4, torch.float32, 0, Path(sys.argv[1]), "{KEY}").fill(compute, rows=1)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    (part,) = tmp_path.iterdir()
    assert part.suffix == ".part"
    assert part.stat().st_size > 0
    fresh = store(0, tmp_path)
    assert not fresh.ready
    fresh.fill(states)
    assert torch.equal(fresh.padded([0], 3), states([0]))
    assert [f.suffix for f in tmp_path.iterdir()] == [".bin"]


def test_a_file_that_another_process_is_writing_is_left_alone(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    other = tmp_path / ".hidden-other.part"
    with other.open("wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.write(b"half")
        stream.flush()
        store(0, tmp_path).fill(states)
        assert other.exists()


@pytest.mark.parametrize("named", [True, False])
def test_a_full_disk_is_one_clear_line_and_leaves_nothing(
    tmp_path: Path, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stored = store(0, tmp_path if named else None)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # bytes that a file may have
    try:
        with pytest.raises(InputError, match=r"could not be written .*free some space") as failed:
            stored.fill(states)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(failed.value)
    assert not list(tmp_path.iterdir())
    assert not stored.ready
    stored.fill(states)
    assert torch.equal(stored.padded([1], 2), states([1]))
    stored.close()
    assert len(list(tmp_path.iterdir())) == named


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="could not be written"):
        store(0, tmp_path / "file" / "folder").fill(states)


def test_a_failure_while_computing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        store(0, tmp_path).fill(refuse)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("closed", [True, False])
def test_a_temporary_file_goes_with_its_store(tmp_path: Path, closed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stored = store(0, None, "")
    stored.fill(states)
    assert len(list(tmp_path.iterdir())) == 1
    if closed:
        stored.close()
        with pytest.raises(RuntimeError, match="closed"):
            stored.padded([0], 3)
    else:
        del stored
        gc.collect()
    assert not list(tmp_path.iterdir())


def test_states_of_another_kind_are_refused() -> None:
    with pytest.raises(RuntimeError, match="do not fit"):
        store(1 << 20, None).fill(lambda part: states(part, torch.float16))
    with pytest.raises(RuntimeError, match="do not fit"):
        store(1 << 20, None).fill(lambda part: states(part)[..., :2])


def test_the_key_covers_what_the_states_depend_on_and_nothing_above() -> None:
    module = adapted(text_model("llama"))
    boundary = Boundary("base_model.model.model.layers", 2, 4)

    def key(first: int = 2, items: list[Encoded] = ITEMS, dtype: torch.dtype = torch.float32) -> str:
        return prefix_key(module, Boundary(boundary.stack, first, 4), items, dtype)

    start = key()
    assert key() == start
    assert len(start) == 64
    with torch.no_grad():
        for parameter in trainable(module).values():  # the adapters of blocks 2 and 3
            parameter.add_(1.0)
        module.get_submodule(boundary.stack)[3].mlp.up_proj.base_layer.weight.add_(1.0)
    assert key() == start
    other = {
        key(first=1),
        key(items=ITEMS[:2]),
        key(dtype=torch.float16),
        key(items=[Encoded("a", (1,), (2, 3)), Encoded("b", (4, 5), (6,)), ITEMS[2]]),
    }
    with torch.no_grad():
        module.get_submodule(boundary.stack)[1].mlp.up_proj.weight[0, 0] += 1e-3
    other.add(key())
    with torch.no_grad():
        module.base_model.model.model.rotary_emb.inv_freq[1] *= 2  # a buffer
    other.add(key())
    module.base_model.model.config.rms_norm_eps = 1e-3
    other.add(key())
    assert len(other | {start}) == 8


def test_adapters_below_that_are_switched_off_make_another_key() -> None:
    module = adapted(text_model("llama"), TrainableConfig(layers="all", rank=2)).requires_grad_(False)
    boundary = Boundary("base_model.model.model.layers", 2, 4)
    on = prefix_key(module, boundary, ITEMS, torch.float32)
    with module.disable_adapter():
        assert prefix_key(module, boundary, ITEMS, torch.float32) != on
    module.requires_grad_(False)  # peft lets an adapter train when it switches it on again
    assert prefix_key(module, boundary, ITEMS, torch.float32) == on

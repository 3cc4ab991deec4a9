"""The folder of one writer: its lock, what a killed writer left, and places that can be no folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from expunge._folder import FolderLock, check_folder, has_leftovers, hold_lock, is_free, sweep
from expunge._io import lock_exclusively, write_atomic
from expunge.errors import InputError

DEBRIS = (".run.json.k3j2h1ab.part", ".audit.json.00000000.part", "lock")


@hold_lock("audit")
def make(name: str, out: Path) -> bool:
    """A job whose folder is locked."""
    write_atomic(out / name, "x")
    with pytest.raises(InputError, match="another process is writing this audit"):
        FolderLock(out, "audit")
    return (out / "lock").is_file()


def test_a_lock_makes_its_folder_and_takes_an_unused_one_away(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    with FolderLock(out, "run"), pytest.raises(InputError, match="another process is writing this run; wait"):
        FolderLock(out, "run")
    assert list(tmp_path.iterdir()) == []
    with FolderLock(out, "run"):
        (out / "result").touch()
    assert [p.name for p in out.iterdir()] == ["result"]
    with FolderLock(out, "run"):
        pass
    assert [p.name for p in out.iterdir()] == ["result"]


def test_a_decorated_job_holds_the_lock_of_its_out(tmp_path: Path) -> None:
    assert make("result", tmp_path / "o")
    assert make("other", out=tmp_path / "o")
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == ["other", "result"]


def test_a_lock_whose_file_its_last_holder_removes_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removed after it was opened and before it was locked; the lock of a file that is gone keeps nobody out."""
    attempts: list[bool | None] = []

    def slowly(stream: IO[bytes]) -> bool | None:
        if not attempts:
            (tmp_path / "lock").unlink()
        attempts.append(lock_exclusively(stream))
        return attempts[-1]

    monkeypatch.setattr("expunge._folder.lock_exclusively", slowly)
    with FolderLock(tmp_path, "run"), pytest.raises(InputError, match="another process is writing this run"):
        FolderLock(tmp_path, "run")
    assert attempts == [True, True, False]


def test_a_lock_follows_no_link_and_empties_no_file(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "run").mkdir()
    lock = tmp_path / "run" / "lock"
    lock.symlink_to(tmp_path / "mine.txt")
    with pytest.raises(InputError, match="lock: is a link, not a lock; remove it"):
        FolderLock(tmp_path / "run", "run")
    lock.unlink()
    lock.mkdir()
    with pytest.raises(InputError, match="lock: is a folder, not a lock; remove it"):
        FolderLock(tmp_path / "run", "run")
    lock.rmdir()
    os.mkfifo(lock)
    with pytest.raises(InputError, match="lock: is no file, so not a lock; remove it"):
        FolderLock(tmp_path / "run", "run")
    lock.unlink()
    os.link(tmp_path / "mine.txt", lock)
    FolderLock(tmp_path / "run", "run").release()
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.mark.process
def test_the_lock_of_a_killed_process_blocks_nobody(tmp_path: Path) -> None:
    code = "import os, sys; from pathlib import Path; from expunge._folder import FolderLock\n"
    code += "lock = FolderLock(Path(sys.argv[1]), 'run'); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "o")], timeout=60).returncode == -9
    assert is_free(tmp_path / "o")
    assert has_leftovers(tmp_path / "o")
    with FolderLock(tmp_path / "o", "run"):
        pass
    assert list((tmp_path / "o").iterdir()) == []


def test_debris_counts_as_empty_and_is_swept_and_the_users_files_are_not(tmp_path: Path) -> None:
    for name in DEBRIS:
        (tmp_path / name).touch()
    (tmp_path / ".new").mkdir()
    (tmp_path / ".new" / "model.safetensors").touch()
    assert is_free(tmp_path)
    for name in (".hidden", "x.part", "cache"):
        (tmp_path / name).touch()
        assert not is_free(tmp_path)
    (tmp_path / "scores").mkdir()
    for name in (".key.npz.k3j2h1ab.part", "key.npz"):
        (tmp_path / "scores" / name).touch()
    sweep(tmp_path, "cache")
    assert [p.name for p in (tmp_path / "scores").iterdir()] == ["key.npz"]
    shutil.rmtree(tmp_path / "scores")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".hidden", "lock", "x.part"]
    sweep(tmp_path / "gone")


def test_a_killed_write_leaves_a_name_that_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def dying(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dying)
        with pytest.raises(Killed):
            write_atomic(tmp_path / "run.json", "{}")
    assert is_free(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_places_that_can_be_no_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    (tmp_path / "good").symlink_to(tmp_path)
    with pytest.raises(InputError, match="is a file; name a folder for the run"):
        check_folder(tmp_path / "file", "run")
    with pytest.raises(InputError, match="is a link that leads nowhere; name a folder for the run"):
        check_folder(tmp_path / "link", "run")
    for name in ("good", "new"):
        check_folder(tmp_path / name, "run")
    with pytest.raises(InputError, match=r"could not be made \(Not a directory\)"):
        FolderLock(tmp_path / "file" / "folder", "run")


def test_a_folder_of_the_user_called_checkpoint_is_neither_free_nor_swept(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    assert is_free(tmp_path)
    (tmp_path / "checkpoint" / "last").mkdir()
    assert is_free(tmp_path)
    (tmp_path / "checkpoint" / "notes.txt").write_text("mine")
    assert not is_free(tmp_path)
    sweep(tmp_path, "checkpoint")
    assert (tmp_path / "checkpoint" / "notes.txt").exists()


def test_only_own_temporary_files_and_own_folders_are_swept(tmp_path: Path) -> None:
    video, docs = tmp_path / ".video.mp4.part", tmp_path / "docs"
    video.write_text("half a download")
    docs.mkdir()
    (docs / ".run.json.abcd1234.part").write_text("in a folder that we do not make")
    model = tmp_path / "model"
    model.mkdir()
    (model / "lock").touch()
    (model / ".new").mkdir()
    (tmp_path / ".run.json.abcd1234.part").write_text("ours")
    sweep(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {".video.mp4.part", "docs", "model"}
    assert {p.name for p in (*docs.iterdir(), *model.iterdir())} == {".run.json.abcd1234.part", "lock", ".new"}

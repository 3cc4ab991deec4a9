"""Pictures of people out of tables: for their owner alone, and gone after a kill."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from expunge.corpus.loaders.picture_folder import GRACE, LOCK, PREFIX, picture_folder, sweep

HOLD = """
import os, sys, time
from expunge.corpus.loaders.picture_folder import picture_folder
folder = picture_folder(os.getpid())
(folder / "face.png").write_bytes(b"x")
print(folder, flush=True)
time.sleep(60)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.process
def test_what_a_killed_process_left_is_swept_not_what_a_living_one_holds(place: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    folder = Path(process.stdout.readline().strip())
    assert folder.parent == place
    assert sweep(place) == []
    assert (folder / "face.png").exists()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert sweep(place) == [folder]
    assert not folder.exists()


def test_folders_without_a_lock_are_swept_when_old_and_links_never(place: Path) -> None:
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    (place / f"{PREFIX}link").symlink_to(elsewhere)
    fresh, old, trap = (place / f"{PREFIX}{name}" for name in ("fresh", "old", "trap"))
    for folder in (fresh, old, trap):
        folder.mkdir()
    (trap / LOCK).symlink_to(elsewhere)
    then = fresh.stat().st_mtime - 2 * GRACE
    os.utime(old, (then, then))
    assert sweep(place) == [old]
    assert elsewhere.is_dir()
    assert fresh.is_dir()


def test_the_folder_is_for_its_owner_alone(place: Path) -> None:
    picture_folder.cache_clear()
    folder = picture_folder(os.getpid())
    picture_folder.cache_clear()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700

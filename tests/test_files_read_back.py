"""Files that expunge wrote and reads back: one of another shape is one line with advice, whatever it holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from expunge.audit.reconstruction.result import Reconstruction
from expunge.cli.demo import read_demo
from expunge.corpus.loaders import prepared
from expunge.engine.event_file import read_events
from expunge.engine.privacy import privacy_state
from expunge.engine.train.train_file import read_train_file
from expunge.engine.tune.rehearsal_report import load_report
from expunge.errors import InputError
from expunge.models.run_file import read_run_file
from expunge.models.source import base_of_adapter

WRONG = (
    b"",
    b"[]",
    b"null",
    b"1",
    b'"x"',
    b"{}",
    b"{",
    b"\xff",
    b"[" * 9000,
    b"1" * 9000,
    b'{"seed": 1, "queries": {}}',
)
READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "run": ("run.json", read_run_file),
    "train": ("train.json", read_train_file),
    "demo": ("demo-llm.json", lambda folder: read_demo(folder / "demo-llm.json")),
    "statement": ("privacy.json", privacy_state.read_statement),
    "noise": ("privacy.json", privacy_state.recorded_noise),
    "reconstruction": ("r.json", lambda folder: Reconstruction.load(folder / "r.json")),
    "rehearsal": ("rehearsal.json", lambda folder: load_report(folder / "rehearsal.json")),
    "prepared": ("prepare.json", lambda folder: list(prepared.rows(folder))),
    "adapter": ("adapter_config.json", base_of_adapter),
}


@pytest.mark.parametrize("content", WRONG)
@pytest.mark.parametrize("name", READERS)
def test_a_file_of_another_shape_is_one_line_with_advice(tmp_path: Path, name: str, content: bytes) -> None:
    file, read = READERS[name]
    (tmp_path / "records.jsonl").touch()
    (tmp_path / file).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("content", [line + b"\n" for line in WRONG])
def test_a_line_of_events_of_another_shape_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "events.jsonl").write_bytes(b'{"step": 0}\n' + content)
    with pytest.raises(InputError, match=r"events.jsonl(:2)?: "):
        list(read_events(tmp_path / "events.jsonl"))

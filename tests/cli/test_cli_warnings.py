"""A loader names skipped rows in one line on stderr; libraries print nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.cli import Cli

QUESTION = {"question": "Which knot holds?", "opa": "reef", "opb": "bowline", "opc": "hitch", "opd": "splice"}


def questions(path: Path) -> Path:
    rows = [
        QUESTION | {"id": "a", "cop": 4, "subject_name": "Surgery"},
        QUESTION | {"id": "b", "cop": 1, "subject_name": "Anatomy"},
        QUESTION | {"id": "c", "cop": 7, "subject_name": "Anatomy"},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_rows_left_out_are_told_in_one_line(cli: Cli, tmp_path: Path) -> None:
    path = questions(tmp_path / "dev.json")
    for words in ((), ("--json",)):
        result = cli("data", "identifiers", path, *words)
        assert result.code == 0
        assert result.line == f"warning: {path}: 1 row left out: no valid answer (cop 1 to 4) (first: {path}:3)"
    assert result.json["without"] == 2


def test_only_one_of_several_processes_tells(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert cli("data", "identifiers", questions(tmp_path / "dev.json")).err == ""

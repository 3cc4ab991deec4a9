"""A handful of the kills of `benchmarks.reliability.kills`, and its arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.reliability import kills
from benchmarks.reliability.kills import cases, files_of, kill, prepare, reference, table


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kills")
    prepare(folder / "inputs")
    return folder


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread, and audits of the quick preset."""
    words_of = kills.words_of

    def words(command: str, inputs: Path, out: Path) -> list[str]:
        return words_of(command, inputs, out) + ["--preset", "quick"] * (command == "audit")

    monkeypatch.setattr(kills, "words_of", words)
    monkeypatch.setenv("EXPUNGE_THREADS", "1")


@pytest.mark.process
@pytest.mark.parametrize(
    ("command", "shares"),
    [
        ("train", (0.0, 0.9)),
        ("unlearn", (0.01, 0.97)),
        ("audit", (0.5,)),
        pytest.param("train", (0.1,), marks=pytest.mark.matrix),
        pytest.param("unlearn", (0.5,), marks=pytest.mark.matrix),
        pytest.param("audit", (0.1, 0.99), marks=pytest.mark.matrix),
    ],
)
def test_a_command_killed_before_a_file_operation_ends_in_the_same_bits(
    work: Path, command: str, shares: tuple[float, ...]
) -> None:
    known = reference(command, work / "inputs", work, times=1)
    assert known.ended.operations > 10
    assert not [name for name in known.files if "lock" in name or ".part" in name or ".new" in name]
    for k, share in enumerate(shares):
        line = kill(command, "file operation", share, known, work / "inputs", work / f"{command}-{k}")
        assert line["hit"]
        assert (line["code"], line["differing"]) == (known.ended.code, []), line


def test_the_cases_of_a_seed_are_the_same_and_cover_all_kinds() -> None:
    assert cases(12, 3) == cases(20, 3)[:12]
    assert {(c["command"], c["kind"]) for c in cases(6, 0)} == {(c, k) for c in kills.COMMANDS for k in kills.KINDS}
    assert all(0 <= c["share"] < 1 for c in cases(50, 1))


def test_times_are_no_difference_and_everything_else_is(tmp_path: Path) -> None:
    for name, text in {"a": '{"x": [{"seconds": 1, "y": 2}]}', "b": '{"x": [{"seconds": 3, "y": 2}]}'}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(text)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    (tmp_path / "b" / "run.json").write_text('{"x": [{"y": 3}]}')
    assert files_of(tmp_path / "a") != files_of(tmp_path / "b")


def test_the_table_counts_what_failed() -> None:
    def line(command: str, kind: str, code: int = 0, differing: tuple[str, ...] = ()) -> dict[str, Any]:
        return {"command": command, "kind": kind, "hit": True, "code": code, "differing": list(differing)}

    lines = [
        line("train", "time"),
        line("train", "file operation", 2, ("run.json",)),
        line("audit", "time", 0, ("lock",)),
    ]
    rows = table(lines, dict.fromkeys(kills.COMMANDS, 0)).splitlines()
    assert rows[2] == "| `train` | 2 | 1 | 1 | 2 | 1 | 1 | 0 |"
    assert rows[4] == "| `audit` | 1 | 1 | 0 | 1 | 0 | 0 | 1 |"
    assert rows[5] == "| `all` | 3 | 2 | 1 | 3 | 1 | 1 | 1 |"

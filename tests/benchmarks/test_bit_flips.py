"""Single bits that flip in finished files are found, unless the program reads the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.reliability.bit_flips import FinishedCase, flip_bits, reads_the_same, section
from benchmarks.reliability.page import write_part
from expunge.errors import InputError


def test_no_flip_that_changes_meaning_is_missed(finished_small: FinishedCase) -> None:
    before = {file: file.read_bytes() for file in finished_small.files()}
    rows = flip_bits(finished_small, count=60, seed=1)
    assert {file: file.read_bytes() for file in finished_small.files()} == before
    assert sum(row.flips for row in rows) == 60
    assert [row.missed for row in rows if row.missed] == []
    assert sum(row.verified for row in rows) >= 50
    assert {row.name.split("/")[0] for row in rows} == {"run", "model", "audit"}


def test_a_case_that_does_not_fit_is_not_flipped(finished_small: FinishedCase, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(finished_small.root, tmp_path / "case")
    (tmp_path / "case" / "run" / "recipe.yaml").write_text("method: npo\n")
    with pytest.raises(InputError, match="does not fit before a flip"):
        flip_bits(FinishedCase(tmp_path / "case", finished_small.split), count=1)


def test_what_nobody_finds_is_counted_as_missed(finished_small: FinishedCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FinishedCase, "is_noticed", lambda self, file: False)
    monkeypatch.setattr(FinishedCase, "refused", lambda self, file: False)
    rows = flip_bits(finished_small, count=30, seed=1)
    assert sum(len(row.missed) for row in rows) >= 25


def test_values_decide_whether_a_file_reads_the_same() -> None:
    value = {"a": 1e-05}
    assert reads_the_same("x.json", json.dumps(value).encode(), b'{"a":1E-5}')
    assert not reads_the_same("x.json", b'{"a": 1}', b'{"a": 3}')
    assert not reads_the_same("x.json", b"{}", b"{")
    assert not reads_the_same("x.yaml", b"a: 1", b"a: 3")
    assert reads_the_same("README.md", b"a", b"b")


def test_the_table_takes_the_place_of_its_section_only(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    row = {"file": "run/run.json", "bytes": 10, "flips": 2, "verify": 2, "load": 0, "no change of meaning": 0}
    result = {"flips": 2, "seed": 0, "files": [{**row, "missed": []}]}
    for _ in range(2):
        write_part(page, "bit_flips", section(result))
    page.write_text(page.read_text("utf-8") + "\n## Kills\n\nkept\n", "utf-8")
    write_part(page, "bit_flips", section({**result, "seed": 3}))
    text = page.read_text("utf-8")
    assert text.count("## Bit flips") == 1
    assert "--seed 3" in text
    assert "| run/run.json | 10 | 2 | 2 | 0 | 0 | 0 |\n| all | 10 | 2 | 2 | 0 | 0 | 0 |" in text
    assert text.endswith("## Kills\n\nkept\n")

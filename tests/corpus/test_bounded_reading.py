"""Small files that would be much work, or that never end: a limit and a line."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge._io import read_json
from expunge._text_file import read_text
from expunge.corpus import load_corpus
from expunge.corpus.loaders import tables
from expunge.corpus.loaders.columns import read_mapping
from expunge.engine.recipe import Recipe
from expunge.errors import InputError
from expunge.scope import Scope

DEEP = "[" * 100_000


def refused(message: str, function: Any, *arguments: Any) -> None:
    """The call is refused in one short line within three seconds."""
    started = time.process_time()
    with pytest.raises(InputError, match=message) as caught:
        function(*arguments)
    assert time.process_time() - started < 3
    assert len(str(caught.value)) < 2500
    assert "\n" not in str(caught.value)


def rows(file: Path, **more: Any) -> Path:
    file.write_text(json.dumps({"prompt": "p", "answer": "a", **more}))
    return file


@pytest.mark.parametrize("field", ["options", "path", "variants", "identifiers", "facts", "history"])
def test_a_list_that_is_nested_too_deeply_is_no_list(tmp_path: Path, field: str) -> None:
    refused(f'rows.jsonl:1: "{field}" is not a list', load_corpus, rows(tmp_path / "rows.jsonl", **{field: DEEP}))


def test_json_that_is_nested_too_deeply_or_holds_a_huge_number(tmp_path: Path) -> None:
    for name, text in (("deep.json", DEEP), ("long.json", "9" * 5000)):
        (tmp_path / name).write_text(text)
        refused(f"{name}: not valid JSON", read_json, tmp_path / name)
    (tmp_path / "rows.jsonl").write_text('{"a": ' * 100_000)
    refused(r"rows\.jsonl:1: not (valid|usable) JSON", load_corpus, tmp_path / "rows.jsonl")


def test_attributes_have_a_bound(tmp_path: Path) -> None:
    refused(
        "attributes up to .*more than 10,000,000", load_corpus, rows(tmp_path / "rows.jsonl", a="x" * 11_000_000, b="y")
    )
    assert len(load_corpus(rows(tmp_path / "rows.jsonl", a="x" * 1_000_000))) == 1


def test_a_parquet_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that repeats is stored once, and unpacked for each row."""
    file = tmp_path / "rows.parquet"
    texts = ["x" * 100_000] * 300
    pq.write_table(pa.table({"prompt": texts, "answer": texts}), file)
    assert file.stat().st_size < 20_000
    monkeypatch.setattr(tables, "LEAST_BOMB", 2**22)
    refused(r"rows\.parquet: unpacks to more than", load_corpus, file)
    monkeypatch.setattr(tables, "LEAST_BOMB", 2**27)
    with pq.ParquetFile(file) as table:
        assert tables._rows_at_once(table) == 2**25 // 200_016


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero here")
@pytest.mark.parametrize(
    "read",
    [
        lambda p: Scope.parse(f"ids:@{p}"),
        lambda p: Scope.parse(f"@{p}"),
        lambda p: Scope.parse(f"mentions:@{p}"),
        read_mapping,
        Recipe.load,
        read_json,
        read_text,
    ],
)
def test_what_never_ends_is_not_read(tmp_path: Path, read: Any) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    zero = tmp_path / "zero.yaml"
    zero.symlink_to("/dev/zero")
    for path in (pipe, zero):
        refused("no ordinary file", read, str(path))


@pytest.mark.parametrize("bad", ["a\0b", "a\ud800b", "x" * 5000])
@pytest.mark.parametrize("form", ["ids:@{}", "@{}", "mentions:@{}", "patient:{}"])
def test_a_name_that_can_be_no_path_is_an_error_of_the_input(bad: str, form: str) -> None:
    if form != "patient:{}" or len(bad) < 100:
        refused("^scope ", Scope.parse, form.format(bad))
    for read in (read_text, read_json, Recipe.load):
        refused("", read, bad + ".yaml")


def test_predicate_files_that_name_one_another_have_a_bound(tmp_path: Path) -> None:
    for k in range(40):
        (tmp_path / f"{k}.txt").write_text(f"@{k + 1}.txt\n@{k + 1}.txt\n")
    (tmp_path / "40.txt").write_text("kind=cloze\n")
    refused("names more than 32 files inside one another, or 1,000 in all", Scope.parse, f"@{tmp_path}/0.txt")
    refused("1,000 in all", Scope.parse, f"@{tmp_path}/28.txt")
    assert Scope.parse(f"@{tmp_path}/32.txt")


def test_recipes_that_extend_one_another_have_a_bound(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "s.yaml").write_text("extends: ../sub/s.yaml\nmethod: npo\n")
    refused("extends itself", Recipe.load, tmp_path / "sub" / "s.yaml")
    for k in range(2000):
        (tmp_path / f"{k}.yaml").write_text(f"extends: {k + 1}.yaml\n")
    refused("stands behind 32 recipes that extend one another", Recipe.load, tmp_path / "0.yaml")


def test_a_recipe_with_an_alias_bomb_is_one_short_line(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 6)
    )
    for key in ("extends", "steps", "method", "phases"):
        (tmp_path / "r.yaml").write_text(bomb + f"{key}: *a5\n")
        refused("", Recipe.load, tmp_path / "r.yaml")


@pytest.mark.parametrize("setting", ["steps=1000000000000000000", "seed=1e30", "train.rank=10000000000"])
def test_a_setting_without_measure_is_refused(setting: str) -> None:
    refused(f"--set {setting.split('=')[0]}", Recipe.load, "npo", [setting])

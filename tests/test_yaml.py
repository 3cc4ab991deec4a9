"""The one reader of YAML: JSON values only, a line for each mistake, bounded work."""

from __future__ import annotations

import ast
import time
from pathlib import Path
from typing import Any

import pytest

import expunge
from expunge._config import apply_overrides
from expunge._yaml import MAX_DEPTH, load_yaml, read_yaml
from expunge.errors import InputError

ROOT = Path(expunge.__file__).parent
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a: 1\nb: 0x_\n", 2, '"0x_" is no int'),
        ("a: 1\n\nb: 0b_\n", 3, '"0b_" is no int'),
        ("a: " + "9" * 5000, 1, "is no int"),
        ("a: " + "9" * 30, 1, "a whole number has more than 64 bits"),
        ("a: !!int abc", 1, '"abc" is no int'),
        ("a: !!bool x", 1, '"x" is no bool'),
        ("a: !!timestamp x", 1, "could not determine a constructor"),
        ("a: !!binary x", 1, "could not determine a constructor"),
        ("a: !!set {x}", 1, "could not determine a constructor"),
        ("a: !!python/object:os.system x", 1, "could not determine a constructor"),
        ("a: 1\nb: .inf", 2, '".inf" is no finite number'),
        ("a: 1\nb: [1, .nan]", 2, '".nan" is no finite number'),
        ("a: " + "[" * 2000, 1, f"stand more than {MAX_DEPTH} times inside one another"),
        ("a:\n" + "".join(" " * k + "- \n" for k in range(1, 400)), 65, f"more than {MAX_DEPTH} times"),
        (BOMB, 7, "its aliases make more than 1,000,000 values"),
        ("a: &a [*a]", 1, 'the alias "a" stands inside what it names'),
        ("a: &a {b: *a}", 1, 'the alias "a" stands inside what it names'),
        ("? [a, b]\n: 1", 1, "a key must be a text"),
        ('a: 1\nb: "\\0"', 2, "a text holds a NUL or half a surrogate pair"),
        ('a: 1\nb: "\\ud800"', 2, "a text holds a NUL or half a surrogate pair"),
        ("a: 1\nb: \0", 2, "the character U+0000 may not stand in it"),
        ("a: 1\nb: \ud800", 2, "the character U+D800 may not stand in it"),
        ("a: 1\nb: [", 2, "expected the node content"),
        ("a: 1\na: 2", 2, 'the key "a" stands twice, first in line 1'),
    ],
)
def test_what_cannot_be_read_is_one_line_with_its_place(text: str, line: int, reason: str) -> None:
    started = time.process_time()
    with pytest.raises(InputError) as caught:
        load_yaml(text, "f")
    assert str(caught.value).startswith(f"f:{line}: not valid YAML (")
    assert reason in caught.value.what
    assert len(str(caught.value)) < 400
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2001-99-99", "2001-99-99"),
        ("2001-01-01", "2001-01-01"),
        ("=", "="),
        ("&a [1, 2.5, true, null, x]", [1, 2.5, True, None, "x"]),
        ("{a: &x {b: 1}, c: *x, d: {<<: *x, e: 2}}", {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}),
    ],
)
def test_what_is_read_is_json(text: str, value: Any) -> None:
    assert read_yaml(text, "f") == value


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("a=[" * 300, "is not valid YAML"),
        ("a=" + "[" * 300, f"more than {MAX_DEPTH} times"),
        ("a=!!int x", '"x" is no int'),
        ("a=nan", "the value is no finite number"),
        ("a=1e999", "the value is no finite number"),
        ("a=.inf", "no finite number"),
        (".".join("a" * 5000) + "=1", "its key has more than 16 parts"),
    ],
)
def test_an_override_that_cannot_be_read_is_one_line(entry: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        apply_overrides({}, [entry])
    assert str(caught.value).startswith("--set a")
    assert len(str(caught.value)) < 1500


def test_no_other_file_reads_yaml() -> None:
    """`_data` reads what the package itself ships."""
    readers = {
        file.relative_to(ROOT).as_posix()
        for file in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "yaml"
        and node.attr in ("load", "safe_load", "load_all", "safe_load_all", "full_load", "unsafe_load", "compose")
    }
    assert readers == {"_yaml.py", "_data.py"}

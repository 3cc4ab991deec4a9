"""No path loads code that comes with a model, and no message quotes input without a bound: read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import expunge
from expunge._foreign import PASS, foreign
from expunge.errors import InputError

ROOT = Path(expunge.__file__).parent
CHECKOUT = Path(__file__).resolve().parents[1]
FILES = [f for place in (ROOT, CHECKOUT / "benchmarks", CHECKOUT / "tools") for f in sorted(place.rglob("*.py"))]
LOADERS = ("from_pretrained", "from_config", "pipeline")
WITHOUT_CODE = ("PeftModel",)  # their loaders run no code of a folder and take no such argument


def unsafe_calls(tree: ast.AST) -> Iterator[int]:
    """Lines with a call that may run code of a model: no `trust_remote_code=False`, and no dict that holds it."""
    safe = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
        for key, value in zip(node.value.keys, node.value.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == "trust_remote_code"
        if isinstance(value, ast.Constant) and value.value is False
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        if name not in LOADERS or (isinstance(owner, ast.Name) and owner.id in WITHOUT_CODE):
            continue
        if not any(
            (k.arg == "trust_remote_code" and isinstance(k.value, ast.Constant) and k.value.value is False)
            or (k.arg is None and isinstance(k.value, ast.Name) and k.value.id in safe)
            for k in node.keywords
        ):
            yield node.lineno


def test_every_loader_refuses_the_code_of_a_model() -> None:
    """An argument that is left out means "ask", and standard input may say yes."""
    unsafe = {
        f"{file.relative_to(CHECKOUT)}:{line}"
        for file in FILES
        for line in unsafe_calls(ast.parse(file.read_text("utf-8")))
    }
    assert unsafe == set()


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("A.from_pretrained(x)", [1]),
        ("A.from_pretrained(x, trust_remote_code=True)", [1]),
        ("A.from_pretrained(x, trust_remote_code=given)", [1]),
        ("A.from_pretrained(x, **options)", [1]),
        ("options = {'trust_remote_code': False}\nA.from_pretrained(x, **options)", []),
        ("options = {'trust_remote_code': True}\nA.from_pretrained(x, **options)", [2]),
        ("A.from_pretrained(x, trust_remote_code=False)", []),
        ("PeftModel.from_pretrained(m, x)", []),
        ("\npipeline('text')", [2]),
    ],
)
def test_the_search_for_unsafe_calls_finds_them(code: str, lines: list[int]) -> None:
    assert list(unsafe_calls(ast.parse(code))) == lines


def test_no_message_holds_the_repr_of_what_a_file_says() -> None:
    """`shown` is bounded; `!r` and `repr()` are not, and a few bytes of YAML can stand for gigabytes."""
    bare = {
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in ROOT.rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id.endswith("Error")
        for node in ast.walk(call)
        if (
            isinstance(node, ast.FormattedValue)
            and node.conversion == ord("r")
            and not isinstance(node.value, ast.Subscript)
        )
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "repr")
    }
    assert {place for place in bare if not place.startswith("__init__.py")} == set()


class Panic(BaseException):
    pass


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError("no disk"), "m: fails (no disk); try"),
        (KeyError("key"), "m: fails (KeyError: 'key'); try"),
        (AssertionError(), "m: fails (AssertionError); try"),
        (ZeroDivisionError("division by zero\nmore"), "m: fails (division by zero); try"),
        (RecursionError("maximum depth"), "m: fails (it is nested too deeply); try"),
        (Panic("called `Option::unwrap()`"), "m: fails (called `Option::unwrap()`); try"),
        (ImportError("no awq", name="awq"), "m: fails (no awq); install the package awq"),
        (ImportError("needs something"), "m: fails (needs something); install the package that it names"),
        (MemoryError(), "m: fails (MemoryError); use --dtype bfloat16, another --device, or a smaller model"),
    ],
)
def test_whatever_a_library_throws_is_one_line(error: BaseException, line: str) -> None:
    with pytest.raises(InputError) as caught, foreign("m", "fails", "try"):
        raise error
    assert str(caught.value) == line
    assert caught.value.__cause__ is error
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("kind", PASS)
def test_what_is_ours_or_a_persons_passes_through(kind: type[BaseException]) -> None:
    error = InputError("a", "b") if kind is InputError else kind()
    with pytest.raises(kind) as caught, foreign("m", "fails"):
        raise error
    assert caught.value is error

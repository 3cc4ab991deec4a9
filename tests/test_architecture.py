"""The house as a whole: who may import whom, how fast the door opens, how small rooms are, what stands on them."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import expunge

ROOT = Path(expunge.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
CHECKOUT = Path(__file__).resolve().parents[1]
API = ("audit", "corpus", "engine", "gradients", "methods", "models", "scope", "worlds")
HEAVY = ("torch", "transformers", "peft", "accelerate", "datasets", "pyarrow", "scipy", "numpy", "pydantic")


@pytest.mark.process
def test_imports_point_down_only() -> None:
    pytest.importorskip("importlinter")
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.process
def test_the_door_opens_fast_and_brings_nothing_heavy() -> None:
    code = f"import sys, expunge; print([m for m in {HEAVY} if m in sys.modules])"
    times = []
    for _ in range(3):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        times.append(time.perf_counter() - started)
        assert done.stdout.strip() == "[]"
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True, timeout=60)
    assert min(times) - (time.perf_counter() - started) < 0.5


@pytest.mark.parametrize("name", sorted(expunge.__all__))
def test_every_name_on_the_door_leads_to_the_same_thing_each_time(name: str) -> None:
    found = [getattr(expunge, name) for _ in range(2)]
    assert found[0] is found[1]
    assert callable(found[0])
    assert not (ROOT / name).is_dir(), "a room of the same name would hide it"


def test_a_name_that_is_not_on_the_door_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'unlern'"):
        expunge.unlern  # noqa: B018


def test_no_file_is_long() -> None:
    tests = (CHECKOUT / "tests").rglob("*.py")
    assert {str(f): n for f in (*FILES, *tests) if (n := len(f.read_text("utf-8").splitlines())) > 500} == {}


def public(file: Path) -> Iterator[tuple[str, ast.Module | ast.ClassDef | ast.FunctionDef]]:
    """The module and its public classes and functions, with the name to show."""
    tree = ast.parse(file.read_text("utf-8"))
    if tree.body:
        yield str(file.relative_to(ROOT)), tree
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield f"{file.relative_to(ROOT)}:{node.lineno} {node.name}", node


def test_every_module_and_every_public_thing_of_the_api_says_what_it_is() -> None:
    silent = [
        name
        for file in FILES
        for name, node in public(file)
        if not (ast.get_docstring(node) or "").strip()
        and (isinstance(node, ast.Module) or file.relative_to(ROOT).parts[0] in API)
    ]
    assert silent == []


def test_no_file_of_the_house_names_a_machine_or_promises_work_for_later() -> None:
    words = ("/home/", f"{Path.home()}/", f"{CHECKOUT}/", "TODO", "FIXME", "XXX")
    found = [(str(f.relative_to(ROOT)), word) for f in FILES for word in words if word in f.read_text("utf-8")]
    assert found == []

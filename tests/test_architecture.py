"""The package as a whole: import order, import time, file length, names, docstrings."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import expunge

ROOT = Path(expunge.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
CHECKOUT = Path(__file__).resolve().parents[1]
API = (
    "audit",
    "bench",
    "concepts",
    "corpus",
    "desk",
    "engine",
    "evidence",
    "gradients",
    "methods",
    "models",
    "privacy",
    "report",
    "scope",
    "synthetic",
    "web",
)
MODULES = {".".join(f.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): f for f in FILES}
HEAVY = ("torch", "transformers", "peft", "accelerate", "datasets", "pyarrow", "scipy", "numpy", "pydantic")


SHARED_BASE_NAMES = {"corpus/medforget", "corpus/mllmu"}  # loader and export of the same data set


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


def imports(file: Path) -> set[str]:
    """Modules of the package that a file imports: at the top, in functions, and for type checking."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "expunge":
            names |= {name if (name := f"{node.module}.{a.name}") in MODULES else node.module for a in node.names}
        elif isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
    return names & MODULES.keys()


def test_no_import_circle() -> None:
    graph = {name: imports(file) - {name} for name, file in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_class_names_are_unique() -> None:
    names = Counter(
        node.name
        for file in FILES
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert {name for name, count in names.items() if count > 1} == set()


def test_base_names_are_unique_within_a_package() -> None:
    names = Counter((file.relative_to(ROOT).parts[0], file.stem) for file in FILES if file.parent != ROOT)
    repeated = {f"{package}/{stem}" for (package, stem), count in names.items() if count > 1}
    assert {name for name in repeated if name.split("/")[1] not in ("__init__", "base")} - SHARED_BASE_NAMES == set()


def test_no_test_name_is_long() -> None:
    tests = CHECKOUT / "tests"
    long = {
        node.name
        for file in tests.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and len(node.name) > 70
    }
    assert long == set()


def test_import_is_fast_and_brings_nothing_heavy() -> None:
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
def test_every_public_name_leads_to_the_same_object_each_time(name: str) -> None:
    found = [getattr(expunge, name) for _ in range(2)]
    assert found[0] is found[1]
    assert callable(found[0])
    assert not (ROOT / name).is_dir(), "a package of the same name would hide it"


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'unlern'"):
        expunge.unlern  # noqa: B018


def test_no_file_is_long() -> None:
    """At most 300 lines in the package, 500 in a test module."""
    limits = {**dict.fromkeys(FILES, 300), **dict.fromkeys((CHECKOUT / "tests").rglob("*.py"), 500)}
    assert {str(f): n for f, most in limits.items() if (n := len(f.read_text("utf-8").splitlines())) > most} == {}


def public(file: Path) -> Iterator[tuple[str, ast.Module | ast.ClassDef | ast.FunctionDef]]:
    """The module and its public classes and functions, with the name to show."""
    tree = ast.parse(file.read_text("utf-8"))
    if tree.body:
        yield str(file.relative_to(ROOT)), tree
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield f"{file.relative_to(ROOT)}:{node.lineno} {node.name}", node


def test_every_module_and_public_object_has_a_docstring() -> None:
    silent = [
        name
        for file in FILES
        for name, node in public(file)
        if not (ast.get_docstring(node) or "").strip()
        and (isinstance(node, ast.Module) or file.relative_to(ROOT).parts[0] in API)
    ]
    assert silent == []


def test_no_file_names_a_machine_or_promises_work_for_later() -> None:
    words = ("/home/", f"{Path.home()}/", f"{CHECKOUT}/", "TODO", "FIXME", "XXX")
    found = [(str(f.relative_to(ROOT)), word) for f in FILES for word in words if word in f.read_text("utf-8")]
    assert found == []

"""A registry that several threads ask at once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from expunge._registry import Registry

PACKAGE = "slow_registry_package"
MODULE = """
from test_of_registry_gate import BEGUN, GO, REGISTRY
BEGUN.set()
assert GO.wait(60)
REGISTRY.add("item", 7)
"""


class Gate:
    """Stands in `sys.modules`; the module of the package waits for it while it is imported."""

    def __init__(self) -> None:
        self.BEGUN, self.GO = threading.Event(), threading.Event()
        self.REGISTRY: Registry[int] = Registry("thing", PACKAGE)


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    folder = tmp_path / PACKAGE
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "item.py").write_text(MODULE)
    gate = Gate()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "test_of_registry_gate", gate)  # type: ignore[arg-type]
    yield gate
    for name in [n for n in sys.modules if n.startswith(PACKAGE)]:
        del sys.modules[name]


def test_a_second_thread_waits_until_all_names_are_there(gate: Gate) -> None:
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(gate.REGISTRY.get, "item")
        assert gate.BEGUN.wait(60)
        second = pool.submit(gate.REGISTRY.get, "item")
        with pytest.raises(TimeoutError):
            second.result(0.2)
        gate.GO.set()
        assert (first.result(60), second.result(60)) == (7, 7)


def test_a_registry_whose_package_is_broken_says_so_each_time(gate: Gate) -> None:
    gate.GO.set()
    gate.REGISTRY.package = "no_such_package_of_a_registry"
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError):
            gate.REGISTRY.names()

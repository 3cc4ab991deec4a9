"""Registries of things that are "one file to add": methods, metrics, checks, loaders, worlds.

A registry fills itself by importing every module of its package, then the entry points of third parties
(`[project.entry-points."expunge.methods"]`). It does so on first use, so that `import expunge` stays fast, and once: a
thread that asks while another one fills waits until all names are there.
"""

from __future__ import annotations

import importlib
import pkgutil
import threading
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from expunge.errors import InputWarning, first_line, unknown

T = TypeVar("T")


class Registry(Generic[T]):
    """Name -> item of one `kind`, registered by the modules of `package`."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind, self.package = kind, package
        self._items: dict[str, T] = {}
        self._filled = self._is_filling = False
        self._lock = threading.RLock()

    def add(self, name: str, item: T) -> T:
        """Register `item`; a second, different item under the same name is a programming error."""
        if name in self._items and self._items[name] is not item:
            raise ValueError(f'{self.kind} "{name}" is registered twice')
        self._items[name] = item
        return item

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator form of `add`."""
        return lambda item: self.add(name, item)

    def _fill(self) -> None:
        if self._filled:
            return
        with self._lock:
            if self._filled or self._is_filling:  # the thread that fills asks for names itself
                return
            self._is_filling = True
            try:
                self._import_all()
                self._filled = True
            finally:
                self._is_filling = False

    def _import_all(self) -> None:
        package = importlib.import_module(self.package)
        for module in sorted(m.name for m in pkgutil.walk_packages(package.__path__, f"{self.package}.")):
            importlib.import_module(module)
        for point in entry_points(group=self.package):
            try:
                self.add(point.name, point.load())
            except Exception as error:  # a plugin is foreign code: whatever it raises, the other names must work
                warnings.warn(skip_message(point, error), InputWarning, stacklevel=3)

    def get(self, name: str, where: str = "") -> T:
        """The item called `name`; `InputError` naming the nearest one otherwise."""
        self._fill()
        if name not in self._items:
            raise unknown(self.kind, name, self._items, where)
        return self._items[name]

    def names(self) -> list[str]:
        """All names, sorted."""
        self._fill()
        return sorted(self._items)

    def __iter__(self) -> Iterator[tuple[str, T]]:
        self._fill()
        return iter(sorted(self._items.items()))


def skip_message(point: EntryPoint, error: Exception) -> str:
    """The line that names a plugin which cannot be used, its distribution and the reason."""
    package = f" of the package {point.dist.name}" if point.dist else ""
    return (
        f'plugin "{point.name}" ({point.group}){package} is left out: {type(error).__name__}: {first_line(error)}; '
        "repair or uninstall it"
    )

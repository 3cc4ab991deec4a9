"""Configuration objects: frozen pydantic models, YAML, `--set a.b=c`, and one error line for a wrong value."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib import resources
from importlib.metadata import entry_points
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from expunge._registry import skip_message
from expunge._text_file import is_file, read_text
from expunge._yaml import read_yaml
from expunge.errors import InputError, InputWarning, nearest

MAX_YAML = 4 * 2**20  # bytes of a YAML file
MAX_PARTS = 16  # of the key of a `--set`
PLUGIN_GROUPS = {"recipe": "expunge.recipes", "policy": "expunge.policies", "hierarchy": "expunge.hierarchies"}


class FrozenModel(BaseModel):
    """Base of configuration models: immutable, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FileModel(BaseModel):
    """Base of what is read back from a file that expunge wrote: immutable, no other types, further keys allowed."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)


class Source(NamedTuple):
    """Text of a YAML file, its folder (None for a shipped one), and its name in errors."""

    text: str
    folder: Path | None
    where: str


def named_files(kind: str, shipped: Traversable) -> dict[str, Traversable]:
    """Name without suffix → YAML file: those in a folder of the package, then those of plugins.

    A plugin names a package of its own that holds YAML files, under the entry-point group of the kind, for example
    `[project.entry-points."expunge.recipes"]`. One that cannot be read, or repeats a name, is a warning.
    """
    named = {f.name.removesuffix(".yaml"): f for f in _yaml_files(shipped)}
    for point in entry_points(group=PLUGIN_GROUPS[kind]) if kind in PLUGIN_GROUPS else ():
        try:
            for file in _yaml_files(resources.files(point.value)):
                if named.setdefault(file.name.removesuffix(".yaml"), file) is not file:
                    raise ValueError(f'there is another {kind} "{file.name.removesuffix(".yaml")}"')
        except Exception as error:  # a plugin is foreign code: whatever it raises, the other names must work
            warnings.warn(skip_message(point, error), InputWarning, stacklevel=2)
    return named


def _yaml_files(folder: Traversable) -> list[Traversable]:
    return sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name)


def shipped_names(folder: Traversable, kind: str = "") -> list[str]:
    """Names, without suffix, of the YAML files in a folder of the package and of the plugins for `kind`."""
    return sorted(named_files(kind, folder))


def find_yaml(name: str | Path, kind: str, shipped: Traversable, beside: Path | None = None) -> Source:
    """The YAML file called `name`: a path, a path relative to `beside`, or the name of a shipped or a plugin's file.

    Raises:
        InputError: no such file or name (with the nearest one), or an unreadable file.
    """
    path = Path(name)
    if beside and not path.is_absolute() and is_file(beside / path):
        path = beside / path
    names = named_files(kind, shipped)
    if path.suffix in (".yaml", ".yml") or is_file(path):
        hint = f"name a YAML file, or one of {', '.join(names)}"
        if not os.path.exists(path):  # noqa: PTH110  # False for a text that can be no path, where Path raises
            raise InputError(str(path), f"there is no such {kind} file", hint)
        return Source(read_text(path, "give a UTF-8 YAML file", most=MAX_YAML), path.parent, str(path))
    if str(name) not in names:
        raise InputError(kind, f'there is no {kind} "{name}"', nearest(str(name), names))
    return Source(names[str(name)].read_text("utf-8"), None, f"{kind} {name}")


def merge(
    parent: Mapping[str, Any], child: Mapping[str, Any], resets: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Any]:
    """`child` over `parent`, mapping by mapping.

    Args:
        parent: values to start from.
        child: values that win.
        resets: key → keys of the parent that are dropped where the child gives that key another value.
    """
    dropped = {
        k for key, names in (resets or {}).items() if key in child and child[key] != parent.get(key) for k in names
    }
    merged = {k: v for k, v in parent.items() if k not in dropped}
    for key, value in child.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def apply_overrides(
    raw: Mapping[str, Any], overrides: Iterable[str], resets: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Any]:
    """`raw` with every `a.b=c` applied in order; values are YAML (`3`, `true`, `[1, 2]`, `null`); see `merge`."""
    change: dict[str, Any] = {}
    for entry in overrides:
        path, sign, value = entry.partition("=")
        if not sign or not path.strip():
            raise InputError(f"--set {entry}", "expected key=value", "for example --set optimizer.lr=0.001")
        *parents, last = path.strip().split(".")
        if len(parents) >= MAX_PARTS:
            raise InputError(f"--set {entry}", f"its key has more than {MAX_PARTS} parts", "check the dots in it")
        inner = change
        for part in parents:
            if not isinstance(inner.get(part), dict):
                inner[part] = {}
            inner = inner[part]
        inner[last] = _read_override(value, f"--set {entry}")
    return merge(raw, change, resets)


def _read_override(value: str, where: str) -> Any:
    try:
        parsed = read_yaml(value, where)
    except InputError as error:
        raise InputError(where, f"the value is {error.what}", error.hint) from error
    if isinstance(parsed, str):
        with suppress(ValueError):  # YAML 1.1 reads 1e-3 as text
            parsed = float(parsed)
    if isinstance(parsed, float) and not math.isfinite(parsed):
        raise InputError(where, "the value is no finite number", "give a number, or null")
    return parsed

"""Tables and texts that ship with the package, each read once."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any


@cache
def package_text(package: str, name: str) -> str:
    """The text of `data/<name>` in a package."""
    return resources.files(package).joinpath("data", name).read_text("utf-8")


@cache
def package_yaml(package: str, name: str) -> Any:
    """The content of `data/<name>` in a package, in the order of the file. Callers must not change it."""
    import yaml

    return yaml.load(package_text(package, name), getattr(yaml, "CSafeLoader", yaml.SafeLoader))

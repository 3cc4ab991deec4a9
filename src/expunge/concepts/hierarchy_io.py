"""Rule files: where they lie and how YAML becomes a checked mapping.

Surprising: plain YAML lets the second of two equal keys win in silence, so a level written twice would be half a
hierarchy; here it is an error that names both lines.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from expunge.errors import InputError, nearest

FOLDER = "hierarchies"


def shipped() -> list[str]:
    """Names of the hierarchies that come with the package."""
    folder = resources.files("expunge.concepts").joinpath(FOLDER)
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))


def read(name: str | Path) -> tuple[str, str]:
    """(text, what to call it in errors) of a shipped hierarchy or of a YAML file."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise InputError(
                str(path),
                "is a folder" if path.is_dir() else "there is no such hierarchy file",
                "name a YAML file, or one of " + ", ".join(shipped()),
            )
        try:
            return path.read_text("utf-8-sig"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(str(path), f"could not be read ({error})", "give a UTF-8 YAML file") from error
    if str(name) not in shipped():
        raise InputError("hierarchy", f'there is no hierarchy "{name}"', nearest(str(name), shipped()))
    source = resources.files("expunge.concepts").joinpath(FOLDER, f"{name}.yaml")
    return source.read_text("utf-8"), f"hierarchy {name}"


class _Unique(yaml.SafeLoader):
    """YAML in which every key of a mapping stands once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            text, line = str(key.value), key.start_mark.line + 1
            if text in lines:
                raise yaml.constructor.ConstructorError(
                    problem=f'the key "{text}" stands twice, first in line {lines[text]}', problem_mark=key.start_mark
                )
            lines[text] = line
        return super().construct_mapping(node, deep)


def parse(text: str, where: str) -> dict[str, Any]:
    """The mapping of a rule file; `InputError` names the line that is not YAML or repeats a key."""
    try:
        found = yaml.load(text, _Unique)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or error
        raise InputError(
            f"{where}:{mark.line + 1}" if mark else where,
            f"not valid YAML ({problem})",
            "correct the line; `levels:` and `rules:` stand at the margin",
        ) from error
    if not isinstance(found, dict):
        raise InputError(where, "is not a hierarchy", "write `name:`, `levels:` and `rules:`")
    return found


def as_input_error(error: ValidationError, model: type[BaseModel], where: str) -> InputError:
    """One mistake as one line: a misspelt key before the missing one that it causes."""
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    path = ".".join(f"#{part + 1}" if isinstance(part, int) else part for part in first["loc"])  # counted from 1
    if first["type"] == "extra_forbidden":
        *above, key = first["loc"]
        return InputError(where, f'unknown key "{path}"', nearest(str(key), _section(model, above).model_fields))
    if first["type"] == "missing":
        return InputError(where, f'the key "{path}" is missing', "see a shipped hierarchy for an example")
    given = f" (given: {first['input']!r})" if isinstance(first["input"], str | int | float | None) else ""
    return InputError(
        f"{where}: {path}" if path else where,
        first["msg"].removeprefix("Value error, ") + given,
        "see a shipped hierarchy for an example",
    )


def _section(model: type[BaseModel], path: list[str | int]) -> type[BaseModel]:
    """The model that stands at `path`, also inside a tuple of models."""
    for part in path:
        field = model.model_fields.get(str(part))
        inside = (field.annotation, *get_args(field.annotation)) if field else ()
        model = next((t for t in inside if isinstance(t, type) and issubclass(t, BaseModel)), model)
    return model

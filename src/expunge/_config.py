"""Configuration objects: frozen pydantic models, YAML, `--set a.b=c`, and one error line for a wrong value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from expunge.errors import InputError, nearest

M = TypeVar("M", bound=BaseModel)

RENAMED_KEYS = {
    "optimiser": "optimizer",
    "lr_rest": "adamw_lr",
    "cues": "modalities",
    "lam_h": "floor_weight",
    "lam_over": "ceiling_weight",
    "unsay": "mask_unknown_tokens",
    "swap": "replace",
    "correct_echo": "correct_leakage",
    "share": "target_accuracy",
    "twins": "controls",
    "few_subjects": "matched_controls",
}  # earlier spelling of a key → today's, for the suggestion in the error


KEY_ERRORS = ("extra_forbidden", "invalid_key")  # shown first: a misspelt key may be why another is missing


class FrozenModel(BaseModel):
    """Base of configuration models: immutable, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(NamedTuple):
    """Text of a YAML file, its folder (None for a shipped one), and its name in errors."""

    text: str
    folder: Path | None
    where: str


def validate(cls: type[M], raw: Mapping[str, Any], where: str, hint: str = "") -> M:
    """Build `cls` from `raw`.

    Args:
        cls: the model.
        raw: keys and values, as read from YAML or a command line.
        where: names the source in errors.
        hint: what to do about a missing key or a wrong value that has no description of its own.

    Raises:
        InputError: one line for the first mistake; an unknown key names the nearest known one.
    """
    try:
        return cls.model_validate(raw)
    except ValidationError as error:
        raise input_error(error, cls, where, hint) from error


def input_error(error: ValidationError, cls: type[BaseModel], where: str, hint: str = "") -> InputError:
    """The first mistake that pydantic reports about `cls`; see `validate`."""
    first: ErrorDetails = min(error.errors(), key=lambda e: e["type"] not in KEY_ERRORS)
    *parents, key = first["loc"] or ("",)
    path = ".".join(f"#{part + 1}" if isinstance(part, int) else part for part in first["loc"])  # lists from 1
    path = str(key) if first["type"] == "invalid_key" else path
    fields = _section(cls, parents).model_fields
    if first["type"] == "extra_forbidden":
        current = RENAMED_KEYS.get(str(key), "")
        return InputError(where, f'unknown key "{path}"', nearest(current if current in fields else str(key), fields))
    if first["type"] == "missing":
        return InputError(where, f'the key "{path}" is missing', hint)
    value = first["input"]
    shown = "" if isinstance(value, dict | BaseModel) or len(repr(value)) > 80 else f" (given: {value!r})"
    meaning = fields[str(key)].description if str(key) in fields else None
    message = first["msg"].removeprefix("Value error, ") + shown
    return InputError(f"{where}: {path}" if path else where, message, hint or meaning or "")


def _section(model: type[BaseModel], path: Sequence[str | int]) -> type[BaseModel]:
    """The model at `path`, also inside a tuple or a mapping of models."""
    for part in path:
        field = model.model_fields.get(str(part))
        inside = (field.annotation, *get_args(field.annotation)) if field else ()
        model = next((t for t in inside if isinstance(t, type) and issubclass(t, BaseModel)), model)
    return model


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a key occurs once per mapping; plain YAML silently takes the last value."""

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


def load_yaml(text: str, where: str, hint: str = "") -> dict[str, Any]:
    """The mapping in `text`, empty for empty text; `InputError` names the line that is no YAML or repeats a key."""
    try:
        data = yaml.load(text, _UniqueKeys)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"{where}:{mark.line + 1}" if mark else where
        raise InputError(line, f"not valid YAML ({getattr(error, 'problem', None) or error})", hint) from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise InputError(where, "is not a mapping of keys to values", hint)
    return data


def shipped_names(folder: Traversable) -> list[str]:
    """Names, without suffix, of the YAML files in a folder of the package."""
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))


def find_yaml(name: str | Path, kind: str, shipped: Traversable, beside: Path | None = None) -> Source:
    """The YAML file called `name`: a path, a path relative to `beside`, or the name of a shipped file.

    Raises:
        InputError: no such file or name (with the nearest one), or an unreadable file.
    """
    path = Path(name)
    if beside and not path.is_absolute() and (beside / path).is_file():
        path = beside / path
    names = shipped_names(shipped)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            problem = "is a folder" if path.is_dir() else f"there is no such {kind} file"
            raise InputError(str(path), problem, f"name a YAML file, or one of {', '.join(names)}")
        return Source(read_text(path), path.parent, str(path))
    if str(name) not in names:
        raise InputError(kind, f'there is no {kind} "{name}"', nearest(str(name), names))
    return Source((shipped / f"{name}.yaml").read_text("utf-8"), None, f"{kind} {name}")


def read_text(path: Path) -> str:
    """The UTF-8 text of a file; `InputError` if it cannot be read."""
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            str(path), f"could not be read ({getattr(error, 'strerror', None) or error})", "give a UTF-8 YAML file"
        ) from error


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
        inner = change
        for part in parents:
            if not isinstance(inner.get(part), dict):
                inner[part] = {}
            inner = inner[part]
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"--set {entry}", "the value is not valid YAML") from error
        if isinstance(parsed, str):
            with suppress(ValueError):  # YAML 1.1 reads 1e-3 as text
                parsed = float(parsed)
        inner[last] = parsed
    return merge(raw, change, resets)

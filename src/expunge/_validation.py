"""One line for a value that a configuration does not take: where it stands, what it must be, what was found."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from expunge._io import read_json
from expunge.errors import InputError, nearest

M = TypeVar("M", bound=BaseModel)

OTHER_NAMES = {
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
    "learning_rate": "lr",
    "batch_size": "batch",
    "per_device_train_batch_size": "batch",
    "num_epochs": "epochs",
    "num_train_epochs": "epochs",
    "max_steps": "steps",
    "lora_r": "rank",
    "r": "rank",
    "gradient_checkpointing": "checkpointing",
    "max_grad_norm": "clip_norm",
    "lr_scheduler_type": "schedule",
    "warmup_ratio": "warmup",
}  # earlier spelling of a key, or its name in other libraries → the name here, for the suggestion in the error

KEY_ERRORS = ("extra_forbidden", "invalid_key")  # shown first: a misspelt key may be why another is missing

RULES = {  # type of an error of pydantic → what the value must be; names in braces come from the error
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "mapping_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "none_required": "must be null",
    "path_type": "must be a path",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "literal_error": "must be {expected}",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "invalid_key": "keys must be text",
}


class ConfigError(InputError):
    """A wrong value or key of a configuration; `path` is its dotted key, empty where the error is about no key."""

    path = ""

    def blamed_on(self, overrides: Sequence[str]) -> InputError:
        """This error, or the same one about the last `--set KEY=VALUE` that touches its key."""
        for entry in reversed(overrides if self.path else ()):
            key, path = entry.partition("=")[0].strip() + ".", self.path + "."
            if path.startswith(key) or key.startswith(path):
                return InputError(f"--set {entry}", self.what, self.hint)
        return self


def validate(
    cls: type[M], raw: Mapping[str, Any], where: str, hint: str = "", overrides: Sequence[str] = (), section: str = ""
) -> M:
    """Build `cls` from `raw`.

    Args:
        cls: the model.
        raw: keys and values, as read from YAML or a command line.
        where: names the source in errors.
        hint: what to do about a missing key or a wrong value that has no description of its own.
        overrides: the `--set` of the command line that `raw` holds; a mistake in one is blamed on it.
        section: dotted key under which `raw` stands in its file.

    Raises:
        InputError: one line for the first mistake; an unknown key names the nearest known one.
    """
    try:
        return cls.model_validate(raw)
    except ValidationError as error:
        wrong = input_error(error, cls, where, hint)
        wrong.path = f"{section}.{wrong.path}".strip(".")
        raise wrong.blamed_on(overrides) from error


def read_valid(cls: type[M], path: Path | str, hint: str) -> dict[str, Any]:
    """The content of a JSON file that expunge wrote, once it fits `cls`; `hint` is the advice where it does not.

    Raises:
        InputError: one line for a file that is missing, that holds no JSON, or whose values are not of the kind.
    """
    raw: dict[str, Any] = read_json(path, hint)
    validate(cls, raw, str(path), hint)
    return raw


def input_error(error: ValidationError, cls: type[BaseModel], where: str, hint: str = "") -> ConfigError:
    """The first mistake that pydantic reports about `cls`; see `validate`."""
    errors = error.errors()
    first: ErrorDetails = min(errors, key=lambda e: e["type"] not in KEY_ERRORS)
    inner, names = _walk(cls, first["loc"])
    path = ".".join(names)
    fields = inner.model_fields
    key = names[-1] if names else ""
    if first["type"] == "extra_forbidden":
        made = ConfigError(where, f'unknown key "{path}"', _suggestion(key, fields, cls))
    elif first["type"] == "missing":
        made = ConfigError(where, f'the key "{path}" is missing', hint)
    else:
        same = [e for e in errors if _walk(cls, e["loc"])[1] == names] or [first]  # branches of a union
        meaning = fields[key].description if key in fields else None
        place = str(first["loc"][-1]) if first["type"] == "invalid_key" else path
        made = ConfigError(f"{where}: {place}" if place else where, problem(same), hint or meaning or "")
    made.path = path
    return made


def problem(errors: Sequence[ErrorDetails]) -> str:
    """What pydantic says about one value, in our words: what it must be, by any of its types, and what was found."""
    rules = list(dict.fromkeys(_rule(e) for e in errors))
    alternatives = [rules[0], *(r.removeprefix("must be ") for r in rules[1:] if r.startswith("must be "))]
    value = errors[0]["input"]
    is_said = isinstance(value, str) and repr(value) in rules[0]
    if is_said or isinstance(value, dict | BaseModel) or len(repr(value)) > 80:
        return " or ".join(alternatives)
    shown = json.dumps(value, ensure_ascii=False, default=repr)
    ending = f" (given: {shown})" if errors[0]["type"] == "value_error" else f", found {shown}"
    return " or ".join(alternatives) + ending


def _rule(error: ErrorDetails) -> str:
    if error["type"] in ("too_short", "string_too_short") and error["ctx"]["min_length"] == 1:
        return "must not be empty"
    if error["type"] in RULES:
        limits = {k: f"{v:g}" if isinstance(v, float) else v for k, v in error.get("ctx", {}).items()}
        return RULES[error["type"]].format(**limits)
    message = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ").rstrip(".")
    return message[:1].lower() + message[1:] if message.startswith("Input should") else message


def _suggestion(key: str, fields: Mapping[str, Any], root: type[BaseModel]) -> str:
    """The nearest known key: in the section, or by its exact name in a section of `root`."""
    name = OTHER_NAMES.get(key, key)
    if name not in fields:
        for path in _paths(root):
            if path.rpartition(".")[2] == name:
                return f'did you mean "{path}"?'
        name = key
    return nearest(name, fields)


def _paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted keys of the sections of a model."""
    for name, field in model.model_fields.items():
        yield prefix + name
        for part in _types(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _paths(part, f"{prefix}{name}.")


def _walk(model: type[BaseModel], loc: Sequence[str | int]) -> tuple[type[BaseModel], list[str]]:
    """The innermost model on the way `loc`, and its keys: list positions from 1, without the types of a union."""
    names: list[str] = []
    holder, kind = model, [model]  # what may stand at this place
    for part in loc:
        inner = next((k for k in kind if isinstance(k, type) and issubclass(k, BaseModel)), None)
        containers = [k for k in kind if get_origin(k) in (list, tuple, dict, Sequence, Mapping)]
        if isinstance(part, int):
            names.append(f"#{part + 1}")
            kind = [t for k in containers for t in _types(get_args(k)[0])]
        elif inner:
            names.append(part)
            holder = inner
            kind = _types(inner.model_fields[part].annotation) if part in inner.model_fields else []
        elif mapping := next((k for k in containers if get_origin(k) in (dict, Mapping)), None):
            names.append(part)
            kind = _types(get_args(mapping)[1])
    return holder, names


def _types(annotation: Any) -> list[Any]:
    """The members of a union, without annotations; a single type by itself."""
    if get_origin(annotation) is Annotated:
        return _types(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [t for part in get_args(annotation) for t in _types(part)]
    return [annotation]


def mapping(value: Any, key: str, where: Path | str) -> Mapping[str, Any]:
    """A part of a file that maps keys to values, empty where it is left out; `InputError` for any other value."""
    if value is not None and not isinstance(value, dict):
        raise InputError(str(where), f"{key}: must be a mapping of keys to values")
    return value or {}

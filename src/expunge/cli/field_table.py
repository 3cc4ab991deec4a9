"""The fields of a configuration as rows (key, type, default, meaning), for `expunge list` and the reference pages."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

Row = tuple[str, str, str, str]


def field_rows(model: type[BaseModel], prefix: str = "") -> Iterator[Row]:
    """(key, type, default, description) of every field, the fields of nested models behind their own."""
    for name, field in model.model_fields.items():
        nested = _models_inside(field.annotation)
        default = "required" if field.default is PydanticUndefined and not field.default_factory else ""
        if not default and not nested:
            default = str(field.get_default(call_default_factory=True))
        yield prefix + name, "" if nested else type_name(field.annotation), default, field.description or ""
        for inner in nested:
            yield from field_rows(inner, f"{prefix}{name}.")


def type_name(annotation: Any) -> str:
    """A type as people read it, without module names."""
    text = inspect.formatannotation(annotation)
    for prefix in ("typing.", "expunge.", "annotated_types."):
        text = text.replace(prefix, "")
    return text


def _models_inside(annotation: Any) -> list[type[BaseModel]]:
    parts = [annotation, *get_args(annotation)]
    inner = [m for part in parts[1:] for m in _models_inside(part)]
    own = [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []
    return own + inner

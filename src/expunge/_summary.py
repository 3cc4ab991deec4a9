"""Short `repr`s: what a person needs to recognize an object, and nothing that a record says about anybody."""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Any, TypeVar

C = TypeVar("C", bound=type)


def short_repr(*shown: str) -> Callable[[C], C]:
    """Class decorator: `repr` shows the attributes `shown`, a collection as its size, and leaves out all others.

    Texts are shown as they are, so name none that holds a prompt, an answer or the name of a person.
    """

    def decorate(cls: C) -> C:
        def short(self: Any) -> str:
            parts = ", ".join(f"{name.rpartition('.')[2]}={_shown(_value(self, name))}" for name in shown)
            return f"{type(self).__name__}({parts})"

        cls.__repr__ = short  # type: ignore[method-assign, assignment]
        if hasattr(cls, "model_fields"):  # pydantic prints a model field by field
            setattr(cls, "__str__", short)  # noqa: B010
        return cls

    return decorate


def _value(thing: Any, path: str) -> Any:
    for name in path.split("."):
        thing = getattr(thing, name)
    return thing


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return repr(value)
    if isinstance(value, Sized):
        return f"{len(value):,}"
    return repr(value)

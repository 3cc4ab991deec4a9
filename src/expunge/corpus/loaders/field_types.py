"""Reads single values of a row: text, names, lists, choices. Each raises `InputError` with the row's place.

A list may come as JSON text, as data frames write lists into CSV, or as plain text: `Ada Byron; Ada King`.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from expunge._io import load_json
from expunge.errors import InputError, nearest

MAX_TEXT = 10_000_000  # characters of one field
MAX_WHOLE = 2**53  # a larger float is written with its exponent
TYPE_NAMES = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"} | {
    str: "text",
    bytes: "bytes",
    type(None): "nothing",
}


def text(fields: Mapping[str, Any], name: str, where: str) -> str:
    """The text of a field that is present; a number, truth value or date as it is written (7 for 7.0, true, ISO)."""
    value = written(fields[name])
    if not isinstance(value, str):
        raise InputError(where, f'"{name}" must be text, found {type_name(value)}', "write it in quotes")
    return sound(value, name, where)


def written(value: Any) -> Any:
    """A number, truth value or date as text; anything else as it is."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < MAX_WHOLE else repr(value)
    if isinstance(value, (int, Decimal)):
        return str(value)
    return value.isoformat() if isinstance(value, (datetime.date, datetime.time)) else value


def sound(value: str, name: str, where: str) -> str:
    """`value`; `InputError` if it is too long, holds a NUL, or cannot be written as UTF-8."""
    if len(value) > MAX_TEXT:
        what = f'"{name}" holds {len(value):,} characters, more than {MAX_TEXT:,}'
        raise InputError(where, what, "cut it into several rows")
    if "\0" in value:
        what = f'"{name}" holds a NUL character, at character {value.index(chr(0)) + 1}'
        raise InputError(where, what, "take it out")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        what = f'"{name}" holds half a surrogate pair at character {error.start + 1}'
        raise InputError(where, what, "write the file again as UTF-8") from error
    return value


def label(fields: Mapping[str, Any], name: str, where: str) -> str:
    """An id or subject: text, or a whole number as tables often have it; "" if missing."""
    value = fields.get(name, "")
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if not isinstance(value, str) and (isinstance(value, bool) or not whole):
        raise InputError(where, f'"{name}" must be text, found {type_name(value)}', "write it in quotes")
    return text({name: value}, name, where)


def strings(fields: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    """A field that lists texts, none of them empty; () if missing. Numbers count as texts."""
    value = [written(item) for item in any_list(fields.get(name, []), name, where, ";")]
    for item in value:
        if not isinstance(item, str) or not item:
            raise InputError(where, f'"{name}" must hold texts, found {type_name(item)}', "write each in quotes")
    return tuple(sound(item, name, where) for item in value)


def any_list(value: Any, name: str, where: str, separator: str = "") -> list[Any]:
    """A list, or its JSON text; with a separator also plain text that has it between the items."""
    if separator and isinstance(value, str) and not value.lstrip().startswith("["):
        return [part for part in map(str.strip, value.split(separator)) if part]
    if isinstance(value, str):
        try:
            value = load_json(value)
        except ValueError as error:
            raise InputError(where, f'"{name}" is not a list', 'write it as JSON, for example ["a", "b"]') from error
    if separator and isinstance(value, (int, float)) and not isinstance(value, bool):
        return [value]
    if not isinstance(value, list):
        raise InputError(where, f'"{name}" must be a list, found {type_name(value)}', 'write ["a", "b"]')
    return value


def any_object(value: Any, name: str, where: str) -> Mapping[str, Any]:
    """An object, or the JSON text of one; empty if missing."""
    if isinstance(value, str) and value.strip():
        try:
            value = load_json(value)
        except ValueError as error:
            raise InputError(where, f'"{name}" is not an object', 'write it as JSON, for example {"a": "b"}') from error
    if not isinstance(value or {}, Mapping):
        raise InputError(where, f'"{name}" must be an object, found {type_name(value)}', 'write {"a": "b"}')
    return value or {}


def choice(fields: Mapping[str, Any], name: str, known: tuple[str, ...], where: str) -> str | None:
    """A field with few possible texts; None if missing or empty."""
    if fields.get(name) in (None, ""):
        return None
    value = text(fields, name, where)
    if value not in known:
        raise InputError(where, f'unknown {name} "{shorten(value)}"', nearest(value, known))
    return value


def type_name(value: Any) -> str:
    """The type of a value, in words for a message."""
    if value == "":
        return "empty text"
    return TYPE_NAMES.get(type(value), f"a {type(value).__name__}")


def shorten(text: str) -> str:
    """At most 58 characters of `text`, for an error message."""
    return text if len(text) <= 60 else f"{text[:57]}…"

"""Reads a JSON array of objects, one element at a time, with the line of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from expunge.corpus.loaders.base import SourceRow
from expunge.corpus.loaders.text_source import lines
from expunge.errors import InputError

SPACE = " \t\r\n"


def is_array(file: Path, encoding: str = "utf-8") -> bool:
    """True if the first letter of a file is a bracket; never raises."""
    try:
        return next((text for _, line in lines(file, encoding) if (text := line.strip())), "").startswith("[")
    except InputError:
        return False


def read_array(file: Path, encoding: str = "utf-8") -> Iterator[SourceRow]:
    """The objects of an array; `where` names the line at which each begins. The text is in memory as a whole."""
    text = "".join(line for _, line in lines(file, encoding))
    decoder = json.JSONDecoder(parse_constant=no_constant)
    at = _after_space(text, text.index("[") + 1)
    line, counted = 1, 0
    while text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        where = f"{file}:{line}"
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            what = f"not valid JSON ({error.msg}, column {error.colno})"
            raise InputError(f"{file}:{error.lineno}", what, "write an array of complete objects") from error
        except (ValueError, RecursionError) as error:
            raise InputError(
                where, f"not usable JSON ({error})", "write plain numbers, texts and short lists"
            ) from error
        yield SourceRow(where, json_object(value, where), file.parent)
        at = _after_space(text, at)
        if text[at : at + 1] == ",":
            at = _after_space(text, at + 1)
        elif text[at : at + 1] != "]":
            raise InputError(
                where, "not valid JSON (no comma or bracket after the object)", "write an array of objects"
            )
    if text[at + 1 :].strip():
        raise InputError(str(file), "holds more than one JSON array", "write one array, or one object per line")


def json_object(value: Any, where: str) -> dict[str, Any]:
    """`value`; `InputError` unless it is an object."""
    if not isinstance(value, dict):
        hint = 'write one object per line, for example {"prompt": "…", "answer": "…"}'
        raise InputError(where, f"a JSON object was expected, found {type(value).__name__}", hint)
    return value


def no_constant(name: str) -> NoReturn:
    """`ValueError`: NaN and Infinity are no JSON values."""
    raise ValueError(f"{name} is not a JSON value")


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in SPACE:
        at += 1
    return at

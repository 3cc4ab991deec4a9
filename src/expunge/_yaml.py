"""The one reader of YAML that a user wrote: plain JSON values, each mistake with its line, bounded work.

Dates, sets and other types of YAML stay texts or are refused, so that what is read can be compared, digested and
written as JSON. An alias may not blow a small file up: values count as often as they are used.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

import yaml

from expunge._printable import clip
from expunge.errors import InputError

MAX_DEPTH = 64  # lists and mappings inside one another, through aliases too
MAX_VALUES = 1_000_000  # values of a file, with every use of an alias
MAX_BITS = 64  # of a whole number
JSON_TYPES = ("null", "bool", "int", "float", "str", "seq", "map")
PREFIX = "tag:yaml.org,2002:"


class _JsonLoader(yaml.SafeLoader):
    """YAML that holds JSON values, in which a key occurs once per mapping; plain YAML takes the last value."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # as PyYAML has it
        first: [pair for pair in pairs if pair[0].removeprefix(PREFIX) not in ("timestamp", "value")]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    yaml_constructors = {  # noqa: RUF012
        None: yaml.SafeLoader.yaml_constructors[None],
        **{PREFIX + name: yaml.SafeLoader.yaml_constructors[PREFIX + name] for name in JSON_TYPES},
    }

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.depth = 0
        self.measures: dict[int, tuple[int, int]] = {}  # id of a node → values in it, lists inside one another

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        self.depth += 1
        if self.depth > MAX_DEPTH:
            _refuse(f"lists and mappings stand more than {MAX_DEPTH} times inside one another", event)
        node = super().compose_node(parent, index)
        self.depth -= 1
        if isinstance(event, yaml.AliasEvent):
            if id(node) not in self.measures:
                _refuse(f'the alias "{event.anchor}" stands inside what it names', event)
            return node
        inner = node.value if isinstance(node, yaml.CollectionNode) else []
        parts = [self.measures[id(n)] for item in inner for n in (item if isinstance(item, tuple) else (item,))]
        values, depth = 1 + sum(p[0] for p in parts), 1 + max((p[1] for p in parts), default=0)
        if depth > MAX_DEPTH or values > MAX_VALUES:
            _refuse(f"its aliases make more than {MAX_VALUES:,} values or {MAX_DEPTH} levels of it", event)
        self.measures[id(node)] = values, depth
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                _refuse("a key must be a text", key)
            line = key.start_mark.line + 1
            if key.value in lines:
                _refuse(f'the key "{clip(key.value, 80)}" stands twice, first in line {lines[key.value]}', key)
            lines[key.value] = line
        return super().construct_mapping(node, deep)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except (yaml.YAMLError, MemoryError):
            raise
        except Exception:  # PyYAML's own constructors raise whatever int() and the like raise
            _refuse(f'"{clip(str(node.value), 60)}" is no {node.tag.removeprefix(PREFIX)}', node)
        if isinstance(value, str) and any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value):
            _refuse("a text holds a NUL or half a surrogate pair", node)
        if isinstance(value, float) and not math.isfinite(value):
            _refuse(f'"{clip(node.value, 60)}" is no finite number', node)
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            _refuse(f"a whole number has more than {MAX_BITS} bits", node)
        return value


def _refuse(problem: str, place: Any) -> NoReturn:
    raise yaml.constructor.ConstructorError(problem=problem, problem_mark=place.start_mark)


def read_yaml(text: str, where: str, hint: str = "", what: str = "not valid YAML") -> Any:
    """The value that `text` holds; `InputError` names the line that is no YAML, and begins with `what`."""
    try:
        return yaml.load(text, _JsonLoader)
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        reason = f"the character U+{ord(str(text[error.position])):04X} may not stand in it"
        raise InputError(f"{where}:{line}", f"{what} ({reason})", hint) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line_of = f"{where}:{mark.line + 1}" if mark else where
        raise InputError(line_of, f"{what} ({getattr(error, 'problem', None) or error})", hint) from error


def load_yaml(text: str, where: str, hint: str = "") -> dict[str, Any]:
    """The mapping in `text`, empty for empty text; `InputError` names the line that is no YAML or repeats a key."""
    data = read_yaml(text, where, hint)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise InputError(where, "is not a mapping of keys to values", hint)
    return data

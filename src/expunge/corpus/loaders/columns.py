"""Which column feeds which field: own names, usual aliases, and the user's mapping, which overrides both.

Two columns that could both mean the same field (`input` and `instruction`) are refused, not guessed: a wrong guess
would train on half a question.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.corpus.loaders.base import SourceRow
from expunge.errors import InputError, nearest

CONTENT = ("id", "history", "prompt", "answer", "answer_index", "text", "kind", "options", "image")
FIELDS: tuple[str, ...] = (*CONTENT, "path", "subject", "identifiers", "facts", "variants", "concept", "split")
READ_AS = ("delimiter", "encoding")  # keys of a mapping file that say how a text file is read
ALIASES: Mapping[str, tuple[str, ...]] = {
    "prompt": ("input", "question", "instruction"),
    "answer": ("output", "completion", "response", "gt"),
    "subject": ("group",),
}
NAMES = frozenset((*FIELDS, *(alias for aliases in ALIASES.values() for alias in aliases)))


def read_mapping(mapping: Path | str | Mapping[str, str] | None) -> dict[str, str]:
    """{our field: their column} from a YAML file or a dict, checked; it may also hold the keys of `READ_AS`."""
    where, hint = "mapping", "write lines such as  prompt: question"
    value: Any = mapping or {}
    if isinstance(mapping, (str, Path)):
        from expunge._text_file import read_text
        from expunge._yaml import load_yaml

        where = str(mapping)
        value = load_yaml(read_text(mapping, "give a YAML file"), where, hint)
    if not isinstance(value, Mapping) or not all(isinstance(x, str) for pair in value.items() for x in pair):
        raise InputError(where, "must map field names to column names", hint)
    for field in value:
        if field not in (*FIELDS, *READ_AS):
            raise InputError(where, f'unknown field "{field}"', nearest(field, FIELDS))
    return dict(value)


@dataclass(frozen=True, slots=True)
class ColumnUse:
    """What a column became: a field (by its own name, an alias or the mapping), or an attribute of the records.

    Attributes:
        field: The field, or None for an attribute.
        by: "name", "alias" or "mapping"; "" for an attribute.
        filled: Rows in which the column holds a value.
    """

    column: str
    field: str | None
    by: str
    filled: int


class Columns:
    """Sorts the columns of rows into fields and attributes, and counts the values of each."""

    def __init__(self, mapping: Mapping[str, str] | None = None) -> None:
        self.mapping = dict(mapping or {})
        self._missing = set(self.mapping.values())
        self._plans: dict[tuple[str, ...], tuple[dict[str, str], tuple[str, ...]]] = {}
        self._patterns: Counter[tuple[tuple[str, ...], ...]] = Counter()  # (columns, fields, attributes) of a row

    def sort(self, row: SourceRow) -> tuple[dict[str, Any], dict[str, Any]]:
        """(fields, attributes) of a row; missing values are left out of both."""
        columns = tuple(row.values)
        if columns not in self._plans:
            self._plans[columns] = self._plan(columns, row.where)
            self._missing -= set(columns)
        plan, rest = self._plans[columns]
        fields = {f: row.values[c] for f, c in plan.items() if row.values[c] is not None}
        attributes = {c: row.values[c] for c in rest if row.values[c] not in (None, "", [])}
        filled = tuple(f for f, value in fields.items() if value not in ("", []))
        self._patterns[columns, filled, tuple(attributes)] += 1
        return fields, attributes

    def uses(self) -> tuple[ColumnUse, ...]:
        """Every column that has occurred: fields first, in the order of `FIELDS`, then attributes."""
        filled: Counter[str] = Counter()
        for (columns, names, attributes), count in self._patterns.items():
            plan = self._plans[columns][0]
            for column in (*map(plan.__getitem__, names), *attributes):
                filled[column] += count
        fields = {column: field for plan, _ in self._plans.values() for field, column in plan.items()}
        order = sorted(fields, key=lambda column: FIELDS.index(fields[column]))
        rest = dict.fromkeys(column for _, columns in self._plans.values() for column in columns)
        return (
            *(ColumnUse(column, fields[column], self._by(column, fields[column]), filled[column]) for column in order),
            *(ColumnUse(column, None, "", filled[column]) for column in rest if column not in fields),
        )

    def _by(self, column: str, field: str) -> str:
        return "mapping" if field in self.mapping else "name" if column == field else "alias"

    def finish(self, source: str) -> None:
        """`InputError` if a mapped column was in no row at all."""
        if self._missing:
            name = min(self._missing)
            raise InputError(source, f'no column "{name}"', self._hint(name))

    def has(self, field: str, row: SourceRow) -> bool:
        """Whether a sorted row has a column for this field, be it empty."""
        return field in self._plans[tuple(row.values)][0]

    def absent(self, field: str, row: SourceRow) -> InputError:
        """The error for a required field that a row does not have, or that is empty there."""
        where, column = row.where, self._plans[tuple(row.values)][0].get(field)
        if column is not None:
            named = "" if column == field else f' (column "{column}")'
            return InputError(where, f"the {field} is empty{named}", "fill it in, or remove the row")
        if field in self.mapping:
            column = self.mapping[field]
            return InputError(where, f'no value for "{field}" (column "{column}")', self._hint(column))
        return InputError(where, f'no "{field}"', f"add the column, or map one to it; {self._hint(field)}")

    def _hint(self, name: str) -> str:
        names = {c for columns in self._plans for c in columns}
        if len(names) == 1 and any(letter in min(names) for letter in ",;\t|"):
            return f"the header is one column ({min(names)}); name the delimiter, such as --delimiter semicolon"
        return nearest(name, names)

    def _plan(self, columns: tuple[str, ...], where: str) -> tuple[dict[str, str], tuple[str, ...]]:
        mapped = set(self.mapping.values())
        free = [c for c in columns if c not in mapped]
        plan = {f: c for f, c in self.mapping.items() if c in columns}
        for field in FIELDS:
            if field in self.mapping:
                if field in free:
                    what = f'column "{field}" has no place beside "{self.mapping[field]}"'
                    raise InputError(where, what, "rename the column, or change the mapping")
                continue
            choices = [field] if field in free else [a for a in ALIASES.get(field, ()) if a in free]
            if len(choices) > 1:
                what = f'columns "{choices[0]}" and "{choices[1]}" may both be the {field}'
                raise InputError(where, what, f"say which with a mapping, for example {field}: {choices[0]}")
            if choices:
                plan[field] = choices[0]
        used = set(plan.values())
        return plan, tuple(c for c in columns if c not in used)

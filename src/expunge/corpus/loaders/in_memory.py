"""Rows of objects in memory: a pandas data frame, a `datasets.Dataset`, or a list of dictionaries.

Neither library is imported here: whoever has such an object has imported it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from expunge.corpus.loaders.base import SourceRow
from expunge.corpus.loaders.field_types import type_name
from expunge.corpus.loaders.tables import plain
from expunge.errors import InputError

HINT = "give a path, a pandas DataFrame, a datasets.Dataset, or a list of dictionaries"


def rows(source: Any) -> Iterator[SourceRow]:
    """The rows of an object, with places such as `DataFrame:3`, counted from 1.

    Raises:
        InputError: The object holds no rows, or several sets of them.
    """
    kind = type(source).__name__
    if isinstance(source, Mapping):
        names = [str(name) for name in source][:5]
        hint = f'give one of them, for example data["{names[0]}"]' if names else HINT
        raise InputError(kind, f"holds several sets ({', '.join(names)})", hint)
    number = 0
    for number, values in enumerate(_values(source), 1):
        where = f"{kind}:{number}"
        if not isinstance(values, Mapping):
            raise InputError(where, f"an object was expected, found {type_name(values)}", HINT)
        yield SourceRow(where, {str(name): native(value) for name, value in values.items()}, Path())
    if not number:
        raise InputError(kind, "holds no rows", "give at least one")


def _values(source: Any) -> Iterable[Any]:
    if hasattr(source, "to_dict") and hasattr(source, "columns"):  # pandas
        names = [str(name) for name in source.columns]
        for name in names:
            if names.count(name) > 1:
                raise InputError("DataFrame", f'column "{name}" occurs twice', "give every column its own name")
        return (dict(zip(names, values, strict=True)) for values in source.itertuples(index=False, name=None))
    features = getattr(source, "features", None)
    if features and hasattr(source, "cast_column"):  # datasets; pictures as they are stored, not decoded
        for name, feature in features.items():
            if type(feature).__name__ == "Image":
                source = source.cast_column(name, type(feature)(decode=False))
    if isinstance(source, (str, bytes)) or not isinstance(source, Iterable):
        raise InputError(type(source).__name__, "holds no rows", HINT)
    return source


def native(value: Any) -> Any:
    """A value as JSON has it: no numpy, no NaN, dates as text."""
    if hasattr(value, "tolist") and hasattr(value, "dtype"):  # numpy, also its scalars
        value = value.tolist()
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "to_pydatetime"):
        value = value.to_pydatetime()
    if isinstance(value, Mapping):
        return {str(name): native(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [native(item) for item in value]
    return str(value) if isinstance(value, Decimal) else plain(value)

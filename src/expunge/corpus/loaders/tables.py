"""Generic tables: CSV, JSON lines and Parquet, and which of them a file is, by its ending."""

from __future__ import annotations

import csv
import datetime
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from expunge.corpus.loaders.base import LOADERS, SourceRow
from expunge.corpus.loaders.field_types import MAX_TEXT
from expunge.corpus.loaders.text_source import Read, generic_loader, lines, looks_like, require_file
from expunge.errors import InputError

BATCH = 1024  # rows of a Parquet table at most
BATCH_BYTES = 32 * 2**20  # of a batch, about; rows that hold pictures are large


def read_csv(file: Path) -> Iterator[SourceRow]:
    """CSV: UTF-8 (byte-order mark tolerated), RFC 4180 quoting, a header; lists as JSON text, empty = missing.

    A row may span lines; `where` names its first line.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_TEXT))
    reader = csv.reader((text for _, text in lines(file)), strict=True)
    header: list[str] = []
    start = 1
    try:
        for cells in reader:
            where, start = f"{file}:{start}", reader.line_num + 1
            if not cells:
                continue
            if not header:
                header = _header(cells, where)
                continue
            if len(cells) != len(header):
                what = f"has {len(cells)} fields, the header has {len(header)}"
                raise InputError(where, what, "quote fields that hold a comma, a quote or a line end")
            values = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
            yield SourceRow(where, values, file.parent)
    except csv.Error as error:
        hint = "use RFC 4180 quoting: fields in double quotes, a quote inside doubled"
        raise InputError(f"{file}:{start}", f"not valid CSV ({error})", hint) from error


def _header(cells: list[str], where: str) -> list[str]:
    names = [cell.strip() for cell in cells]
    for name in names:
        if not name or names.count(name) > 1:
            raise InputError(where, f'column name "{name}" is empty or occurs twice', "give every column its own name")
    return names


def read_jsonl(file: Path) -> Iterator[SourceRow]:
    """JSON lines: one object per line, blank lines ignored. A `.json` file is read in the same way."""
    for number, line in lines(file):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        try:
            value = json.loads(line, parse_constant=_no_constant)
        except json.JSONDecodeError as error:
            what = f"not valid JSON ({error.msg}, column {error.colno})"
            raise InputError(where, what, "write one complete object per line") from error
        except (ValueError, RecursionError) as error:
            hint = "write plain numbers, texts and short lists"
            raise InputError(where, f"not usable JSON ({error})", hint) from error
        if not isinstance(value, dict):
            hint = 'write one object per line, for example {"prompt": "…", "answer": "…"}'
            raise InputError(where, f"a JSON object was expected, found {type(value).__name__}", hint)
        yield SourceRow(where, value, file.parent)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def read_parquet(file: Path) -> Iterator[SourceRow]:
    """Parquet, read in batches: at most one batch of the table is in memory beside the records."""
    import pyarrow
    import pyarrow.parquet

    require_file(file)
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            number = 0
            for batch in table.iter_batches(batch_size=_rows_at_once(table.metadata)):
                for values in batch.to_pylist():
                    number += 1
                    yield SourceRow(f"{file}:{number}", {k: _plain(v) for k, v in values.items()}, file.parent)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(str(file), f"not a readable Parquet file ({reason})", "write the file again") from error


def _rows_at_once(metadata: Any) -> int:
    size = sum(metadata.row_group(k).total_byte_size for k in range(metadata.num_row_groups))
    return int(max(1, min(BATCH, BATCH_BYTES * metadata.num_rows // max(1, size))))


def _plain(value: Any) -> Any:
    """None for NaN, by which data frames mark a missing value; ISO text for a date."""
    if isinstance(value, float) and math.isnan(value):
        return None
    return value.isoformat() if isinstance(value, (datetime.date, datetime.time)) else value


FORMATS: dict[str, tuple[Read, tuple[str, ...]]] = {
    "csv": (read_csv, (".csv",)),
    "jsonl": (read_jsonl, (".jsonl", ".ndjson", ".json")),
    "parquet": (read_parquet, (".parquet",)),
}
READERS = {suffix: read for read, suffixes in FORMATS.values() for suffix in suffixes}


def read_table(file: Path) -> Iterable[SourceRow]:
    """The rows of a file by its ending; JSON lines for an unknown one."""
    return READERS.get(file.suffix.lower(), read_jsonl)(file)


def has_columns(file: Path, columns: set[str]) -> bool:
    """True for a file whose first row has these columns; never raises."""
    return file.suffix.lower() in READERS and looks_like(read_table, file, columns)


for _name, (_read, _suffixes) in FORMATS.items():
    LOADERS.add(_name, generic_loader(_read, _suffixes))

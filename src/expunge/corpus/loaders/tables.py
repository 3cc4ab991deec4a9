"""Generic tables: CSV, JSON lines and Parquet, and which of them a file is, by its ending."""

from __future__ import annotations

import csv
import datetime
import json
import math
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from expunge._printable import pluralize
from expunge.corpus.loaders.base import LOADERS, SourceRow
from expunge.corpus.loaders.columns import NAMES
from expunge.corpus.loaders.field_types import MAX_TEXT
from expunge.corpus.loaders.json_array import is_array, json_object, no_constant, read_array
from expunge.corpus.loaders.text_format import (
    DELIMITERS,
    Reading,
    TextFormat,
    detect_delimiter,
    detect_encoding,
    marked_encoding,
)
from expunge.corpus.loaders.text_source import Read, generic_loader, lines, looks_like, require_file
from expunge.errors import InputError

BATCH = 1024  # rows of a Parquet table at most
BOMB, LEAST_BOMB = 200, 2**28  # unpacked size over size of the file, and unpacked bytes, beyond which it is refused
TABS = (".tsv", ".tab")
PLAIN_CSV = TextFormat(",", "utf-8")
BATCH_BYTES = 32 * 2**20  # of a batch, about; rows that hold pictures are large


def read_csv(file: Path, form: TextFormat = PLAIN_CSV, missing: bool = False) -> Iterator[SourceRow]:
    """CSV: UTF-8 (byte-order mark tolerated), RFC 4180 quoting, a header; lists as JSON text, empty = missing.

    A row may span lines; `where` names its first line. A first line such as `sep=;`, which Excel understands, is left
    out.

    Args:
        file: The file.
        form: Its delimiter and encoding.
        missing: Yield empty cells as None rather than not at all.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_TEXT))
    delimiter, encoding = form.delimiter or ",", form.encoding or "utf-8"
    text, before = _without_separator(line for _, line in lines(file, encoding))
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    header: list[str] = []
    width, first = 0, ""
    start = 1 + before
    try:
        for cells in reader:
            where, start = f"{file}:{start}", reader.line_num + 1 + before
            if not any(cells):
                continue
            if not header:
                header, width, first = _header(cells, where), len(cells), where
                continue
            beyond = any(cells[len(header) :])
            if beyond and len(cells) == width:
                raise _nameless("", first)
            if beyond or len(cells) < len(header):
                what = f"has {pluralize(len(cells), 'field')}, the header has {len(header)}"
                raise InputError(where, what, f"quote fields that hold a {_name(delimiter)}, a quote or a line end")
            values = {name: cell or None for name, cell in zip(header, cells, strict=False) if cell or missing}
            yield SourceRow(where, values, file.parent)
    except csv.Error as error:
        hint = "use RFC 4180 quoting: fields in double quotes, a quote inside doubled"
        raise InputError(f"{file}:{start}", f"not valid CSV ({error})", hint) from error


def read_any_csv(file: Path, reading: Reading) -> Iterator[SourceRow]:
    """CSV with the delimiter and the encoding that the user names, else those that the file seems to have."""
    require_file(file)
    encoding = reading.request.encoding or detect_encoding(file)
    delimiter = reading.request.delimiter
    if delimiter is None:
        named = next((text for _, text in lines(file, encoding)), "")
        delimiter = _separator(named) or detect_delimiter(lambda: (text for _, text in lines(file, encoding)), NAMES)
    form = TextFormat(delimiter, encoding)
    reading.formats[str(file)] = form
    yield from read_csv(file, form, missing=True)


def _without_separator(text: Iterator[str]) -> tuple[Iterator[str], int]:
    """The lines without a first one that names the separator, and whether there was one (1 or 0)."""
    first = next(text, "")
    return (text, 1) if _separator(first) else (chain([first] if first else [], text), 0)


def _separator(line: str) -> str:
    match = re.fullmatch(r"sep=(.)\s*", line, re.IGNORECASE)
    return match[1] if match else ""


def _name(delimiter: str) -> str:
    return DELIMITERS.get(delimiter, f'"{delimiter}"')


def _header(cells: list[str], where: str) -> list[str]:
    """The names of the columns, without empty ones at the end, which spreadsheets write."""
    names = [cell.strip() for cell in cells]
    while not names[-1]:
        names.pop()
    for name in names:
        if not name or names.count(name) > 1:
            raise _nameless(name, where)
    return names


def _nameless(name: str, where: str) -> InputError:
    return InputError(where, f'column name "{name}" is empty or occurs twice', "give every column its own name")


def read_jsonl(file: Path, encoding: str = "utf-8") -> Iterator[SourceRow]:
    """JSON lines (one object per line, blank lines ignored), or one array of objects, whatever the file is called."""
    if is_array(file, encoding):
        yield from read_array(file, encoding)
        return
    for number, line in lines(file, encoding):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        try:
            value = json.loads(line, parse_constant=no_constant)
        except json.JSONDecodeError as error:
            what = f"not valid JSON ({error.msg}, column {error.colno})"
            raise InputError(where, what, "write one complete object per line") from error
        except (ValueError, RecursionError) as error:
            hint = "write plain numbers, texts and short lists"
            raise InputError(where, f"not usable JSON ({error})", hint) from error
        yield SourceRow(where, json_object(value, where), file.parent)


def read_parquet(file: Path) -> Iterator[SourceRow]:
    """Parquet, read in batches: at most one batch of the table is in memory beside the records.

    A file that unpacks to far more than its size is refused while it is read.
    """
    import pyarrow
    import pyarrow.parquet

    require_file(file)
    try:
        most = max(LEAST_BOMB, BOMB * file.stat().st_size)
        with pyarrow.parquet.ParquetFile(file) as table:
            number, unpacked = 0, _packed_size(table.metadata)
            for batch in table.iter_batches(batch_size=_rows_at_once(table)) if unpacked <= most else ():
                unpacked = (unpacked if number else 0) + batch.nbytes
                if unpacked > most:
                    break
                for values in batch.to_pylist():
                    number += 1
                    yield SourceRow(f"{file}:{number}", {k: plain(v) for k, v in values.items()}, file.parent)
            if unpacked > most:
                what = f"unpacks to more than {most // 2**20:,} MiB, {BOMB} times its size or more"
                raise InputError(str(file), what, "write the texts into a JSONL file")
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(str(file), f"not a readable Parquet file ({reason})", "write the file again") from error


def _packed_size(metadata: Any) -> int:
    """Bytes of the table, each text that repeats counted once."""
    return sum(metadata.row_group(k).total_byte_size for k in range(metadata.num_row_groups))


def _rows_at_once(table: Any) -> int:
    metadata = table.metadata
    size = _packed_size(metadata)
    first = next(table.iter_batches(batch_size=4), None)
    if first is not None and first.num_rows:
        size = max(size, first.nbytes * metadata.num_rows // first.num_rows)
    return int(max(1, min(BATCH, BATCH_BYTES * metadata.num_rows // max(1, size))))


def plain(value: Any) -> Any:
    """None for NaN, by which data frames mark a missing value; ISO text for a date, without a time that is 0:00."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, datetime.datetime) and value.time() == datetime.time() and value.tzinfo is None:
        value = value.date()
    return value.isoformat() if isinstance(value, (datetime.date, datetime.time)) else value


def read_any_jsonl(file: Path, reading: Reading) -> Iterator[SourceRow]:
    """JSON lines, or one array of objects; UTF-8 unless the user or a byte-order mark says otherwise."""
    require_file(file)
    _refuse(reading.request.delimiter, "delimiter", file)
    yield from read_jsonl(file, reading.request.encoding or marked_encoding(file) or "utf-8")


def read_any_parquet(file: Path, reading: Reading) -> Iterator[SourceRow]:
    """Parquet."""
    _refuse(reading.request.delimiter or reading.request.encoding, "delimiter or encoding", file)
    yield from read_parquet(file)


def _refuse(given: str | None, what: str, file: Path) -> None:
    if given:
        raise InputError(str(file), f"has no {what} to choose", "leave it out")


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


LOADERS.add("csv", generic_loader(read_any_csv, (*FORMATS["csv"][1], *TABS)))
LOADERS.add("jsonl", generic_loader(read_any_jsonl, FORMATS["jsonl"][1]))
LOADERS.add("parquet", generic_loader(read_any_parquet, FORMATS["parquet"][1]))

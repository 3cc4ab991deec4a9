"""Parquet, read in batches: at most one batch of the table is in memory beside the records."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from expunge.corpus.loaders.base import LOADERS, SourceRow
from expunge.corpus.loaders.text_source import generic_loader, require_file
from expunge.errors import InputError

SUFFIXES = (".parquet",)
BATCH = 1024  # rows at most
BATCH_BYTES = 32 * 2**20  # of a batch, about; rows that hold pictures are large


def read(file: Path) -> Iterator[SourceRow]:
    """The rows of one file; `where` is `file:row`, counted from 1."""
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


LOADERS.add("parquet", generic_loader(read, SUFFIXES))

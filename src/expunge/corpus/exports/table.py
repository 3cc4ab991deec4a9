"""Parquet files written row by row, in row groups of bounded size."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from expunge.corpus.image import RecordImage
from expunge.corpus.loaders.images import pillow

MAX_ROWS = 1000  # of a row group
MAX_BYTES = 32 * 2**20  # of its pictures, about


def write(file: Path, schema: Any, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write dictionaries whose pictures are `{"bytes", "path"}` in a column `image`."""
    import pyarrow
    import pyarrow.parquet

    file.parent.mkdir(parents=True, exist_ok=True)
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        group: list[Mapping[str, Any]] = []
        size = 0
        for row in rows:
            group.append(row)
            size += len(row["image"]["bytes"])
            if len(group) == MAX_ROWS or size >= MAX_BYTES:
                writer.write_table(pyarrow.Table.from_pylist(group, schema))
                group, size = [], 0
        if group:
            writer.write_table(pyarrow.Table.from_pylist(group, schema))


def image(picture: RecordImage | None) -> dict[str, Any]:
    """The value of an image column, which is never empty: a grey picture for none."""
    return {"bytes": picture.data(), "path": picture.name} if picture else {"bytes": grey(), "path": "none.png"}


@functools.cache
def grey() -> bytes:
    """A uniform picture of 96 × 96 pixels."""
    stream = io.BytesIO()
    pillow("export").new("L", (96, 96), 128).save(stream, "PNG")
    return stream.getvalue()


def image_type() -> Any:
    """How Hugging Face data sets store a picture."""
    import pyarrow

    return pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])

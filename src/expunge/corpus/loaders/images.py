"""Images of records: relative paths to files beside the data, so that a corpus can move as a folder.

Surprising: images stored inside a table are refused. A record names its image by path, and bytes have none.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from expunge.corpus.loaders.base import Row
from expunge.corpus.picture import Picture
from expunge.errors import InputError


def picture(row: Row, image: Any) -> Picture:
    """The picture at `image`, a path relative to the data file; `InputError` otherwise."""
    if not isinstance(image, str):
        raise InputError(row.where, "the image is stored inside the table",
                         "save it as a file and give its path")
    path = PurePosixPath(image)
    if path.is_absolute() or ".." in path.parts or "://" in image or "\\" in image:
        raise InputError(row.where, f'"{image}" is not a relative path below the data file',
                         "put images beside the data file and write, for example, images/1.png")
    try:
        return Picture.of(str(path), (row.folder / path).read_bytes(), row.folder / path)
    except OSError as error:
        raise InputError(row.where, f'image "{image}" could not be read ({error.strerror})',
                         f"put it at {row.folder / path}") from error

"""Pictures of records: relative paths to files beside the data, or bytes inside a table; each is decoded once.

A corpus can move as a folder because paths start from the data file and never leave its folder. Surprising: size is
no reason to refuse a picture below 50 megapixels, and none is made smaller here; models do that themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from expunge.corpus.image import RecordImage
from expunge.corpus.loaders.base import SourceRow
from expunge.corpus.loaders.decode import ending
from expunge.corpus.loaders.field_types import shortened, type_name
from expunge.corpus.loaders.image_cache import keep
from expunge.errors import InputError

MOST_BYTES = 512 * 2**20  # of an encoded picture
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
LONGEST = 200  # characters of a name that a table gives


class ImageReader:
    """The pictures of one load. Rows that show the same file or the same bytes share one `Picture`."""

    def __init__(self) -> None:
        self._files: dict[tuple[Path, str], RecordImage] = {}
        self._stored: dict[tuple[str, str], RecordImage] = {}
        self._digests: dict[str, str] = {}  # name → digest
        self._endings: dict[str, str] = {}  # digest → ending of what has been decoded

    def of(self, row: SourceRow, image: Any) -> RecordImage | None:
        """What the value of an image column shows: a path, bytes, or both as {"bytes": …, "path": …}."""
        name: Any = ""
        if isinstance(image, Mapping):
            name, data = image.get("path"), image.get("bytes")
            image = name if data is None else data
        if image is None or image == "":
            return None
        if isinstance(image, bytes):
            return self._from_table(row, image, name if isinstance(name, str) else "")
        if isinstance(image, str):
            return self._files.get((row.folder, image)) or self._from_file(row, image)
        raise InputError(
            row.where,
            f"the image is {type_name(image)}",
            "give a relative path, or the bytes of the picture in a Parquet table",
        )

    def _from_file(self, row: SourceRow, image: str) -> RecordImage:
        told = f'image "{shortened(image)}"'
        if not relative(image):
            raise InputError(
                row.where,
                f"{told} is not a relative path below the data file",
                "put images beside the data file and write, for example, images/1.png",
            )
        path = row.folder / image
        data = _read(row, path, told)
        digest = hashlib.sha256(data).hexdigest()
        found = RecordImage(self._named(str(PurePosixPath(image)), data, digest, told, row.where), digest, path)
        self._files[row.folder, image] = found
        return found

    def _from_table(self, row: SourceRow, data: bytes, given: str) -> RecordImage:
        digest = hashlib.sha256(data).hexdigest()
        if (known := self._stored.get((digest, given))) is not None:
            return known
        safe = relative(given) and len(given) <= LONGEST and given.isprintable() and given.lower().endswith(SUFFIXES)
        name = self._named(str(PurePosixPath(given)) if safe else "", data, digest, "the image", row.where)
        found = RecordImage(name, digest, keep(data, digest, self._endings[digest]))
        self._stored[digest, given] = found
        return found

    def _named(self, name: str, data: bytes, digest: str, told: str, where: str) -> str:
        """`name`, or one made of the digest where there is none or another picture has it; the picture is checked."""
        if digest not in self._endings:
            self._endings[digest] = ending(data, told, where)
        if name and self._digests.setdefault(name, digest) == digest:
            return name
        return f"images/{digest[:16]}.{self._endings[digest]}"


def relative(name: str) -> bool:
    """True for a relative path with `/` that stays below where it starts."""
    path = PurePosixPath(name)
    return (
        bool(path.parts)
        and not path.is_absolute()
        and ".." not in path.parts
        and "://" not in name
        and "\\" not in name
    )


def _read(row: SourceRow, path: Path, told: str) -> bytes:
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(row.folder.resolve()):
            raise InputError(
                row.where,
                f"{told} leads outside the folder of the data, through a symbolic link",
                "put the picture itself beside the data file",
            )
        if not real.is_file():
            raise InputError(
                row.where, f"{told} is {'a folder' if real.is_dir() else 'no ordinary file'}", "name a picture file"
            )
        if real.stat().st_size > MOST_BYTES:
            raise InputError(row.where, f"{told} is a file of more than {MOST_BYTES // 2**20} MiB", "make it smaller")
        return real.read_bytes()
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # also NUL bytes, half surrogates, links in a circle
        reason = error.strerror if isinstance(error, OSError) else "no usable path"
        raise InputError(
            row.where,
            f"{told} could not be read ({reason})",
            f"put it at {row.folder}/{shortened(str(path.relative_to(row.folder)))}",
        ) from error

"""Pictures of records: relative paths to files beside the data, or bytes inside a table; each is decoded once.

Paths start from the data file and never leave its folder, so a corpus can move as a folder. Pictures below 50
megapixels are neither refused nor resized here. Pictures from tables lie in one folder of this process in TMPDIR, one
file per different picture (see `picture_folder.py`).
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from expunge.corpus.image import RecordImage
from expunge.corpus.loaders.base import SourceRow
from expunge.corpus.loaders.field_types import shorten, type_name
from expunge.corpus.loaders.picture_folder import picture_folder
from expunge.errors import InputError, install_hint

MAX_BYTES = 512 * 2**20  # of an encoded picture
MAX_PIXELS = 50_000_000
MAX_NAME = 200  # characters of a name that a table gives
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
FORMATS = {"PNG": "png", "JPEG": "jpg", "MPO": "jpg", "WEBP": "webp", "BMP": "bmp", "GIF": "gif", "TIFF": "tif"}


class ImageReader:
    """The pictures of one load. Rows that show the same file or the same bytes share one `RecordImage`."""

    def __init__(self) -> None:
        self._files: dict[tuple[Path, str], RecordImage] = {}
        self._stored: dict[tuple[str, str], RecordImage] = {}
        self._digests: dict[str, str] = {}  # name -> digest
        self._suffixes: dict[str, str] = {}  # digest -> file ending of a picture that was decoded

    def of(self, row: SourceRow, image: Any) -> RecordImage | None:
        """The picture of an image column: a path, bytes, or both as {"bytes": …, "path": …}."""
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
        hint = "give a relative path, or the bytes of the picture in a Parquet table"
        raise InputError(row.where, f"the image is {type_name(image)}", hint)

    def _from_file(self, row: SourceRow, image: str) -> RecordImage:
        label = f'image "{shorten(image)}"'
        if not is_relative(image):
            hint = "put images beside the data file and write, for example, images/1.png"
            raise InputError(row.where, f"{label} is not a relative path below the data file", hint)
        path = row.folder / image
        data = _read(row, path, label)
        digest = hashlib.sha256(data).hexdigest()
        picture = RecordImage(self._name(str(PurePosixPath(image)), data, digest, label, row.where), digest, path)
        self._files[row.folder, image] = picture
        return picture

    def _from_table(self, row: SourceRow, data: bytes, path: str) -> RecordImage:
        digest = hashlib.sha256(data).hexdigest()
        if (known := self._stored.get((digest, path))) is not None:
            return known
        safe = is_relative(path) and len(path) <= MAX_NAME and path.isprintable() and path.lower().endswith(SUFFIXES)
        name = self._name(str(PurePosixPath(path)) if safe else "", data, digest, "the image", row.where)
        picture = RecordImage(name, digest, cache_image(data, digest, self._suffixes[digest]))
        self._stored[digest, path] = picture
        return picture

    def _name(self, name: str, data: bytes, digest: str, label: str, where: str) -> str:
        """`name`, or one made of the digest where there is none or another picture has it; decodes the picture."""
        if digest not in self._suffixes:
            self._suffixes[digest] = image_suffix(data, label, where)
        if name and self._digests.setdefault(name, digest) == digest:
            return name
        return f"images/{digest[:16]}.{self._suffixes[digest]}"


def is_relative(name: str) -> bool:
    """True for a relative path with `/` that stays below its start."""
    path = PurePosixPath(name)
    return bool(path.parts) and not (path.is_absolute() or ".." in path.parts or "://" in name or "\\" in name)


def _read(row: SourceRow, path: Path, label: str) -> bytes:
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(row.folder.resolve()):
            what = f"{label} leads outside the folder of the data, through a symbolic link"
            raise InputError(row.where, what, "put the picture itself beside the data file")
        if not real.is_file():
            kind = "a folder" if real.is_dir() else "no ordinary file"
            raise InputError(row.where, f"{label} is {kind}", "name a picture file")
        if real.stat().st_size > MAX_BYTES:
            raise InputError(row.where, f"{label} is a file of more than {MAX_BYTES // 2**20} MiB", "make it smaller")
        return real.read_bytes()
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # also NUL bytes, half surrogates, links in a circle
        reason = error.strerror if isinstance(error, OSError) else "no usable path"
        place = f"{row.folder}/{shorten(str(path.relative_to(row.folder)))}"
        raise InputError(row.where, f"{label} could not be read ({reason})", f"put it at {place}") from error


def pillow(where: str) -> ModuleType:
    """`PIL.Image`; `InputError` where Pillow is not installed."""
    try:
        from PIL import Image
    except ImportError as error:
        what = "pictures need Pillow, which is not installed"
        raise InputError(where, what, install_hint("vision")) from error
    return Image


def image_suffix(data: bytes, label: str, where: str) -> str:
    """The usual file ending of this picture's format; `InputError` unless all of it can be decoded.

    Only formats that Pillow decodes itself are tried. The size is taken from the header, before pixels take memory.
    """
    image = pillow(where)
    large = InputError(where, f"{label} has more than {MAX_PIXELS // 10**6} megapixels", "make it smaller")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", image.DecompressionBombWarning)
            with image.open(io.BytesIO(data), formats=tuple(f for f in FORMATS if f != "MPO")) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise large
                picture.load()
                return FORMATS[picture.format]
    except InputError:
        raise
    except (image.DecompressionBombWarning, image.DecompressionBombError) as error:
        raise large from error
    except image.UnidentifiedImageError as error:
        formats = ", ".join(sorted(set(FORMATS.values())))
        raise InputError(where, f"{label} is not a picture", f"give one of {formats}") from error
    except Exception as error:  # decoders of broken bytes raise any exception
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(where, f"{label} cannot be decoded ({reason})", "save it again, or remove the row") from error


def cache_image(data: bytes, digest: str, suffix: str) -> Path:
    """The file of this process that holds these bytes; written on the first call."""
    try:
        file = picture_folder(os.getpid()) / f"{digest}.{suffix}"
        if not file.exists():
            part = file.with_suffix(".part")
            part.write_bytes(data)
            part.replace(file)
    except OSError as error:
        what = f"pictures could not be written ({error.strerror})"
        raise InputError("temporary folder", what, "free some space, or name another folder in TMPDIR") from error
    return file

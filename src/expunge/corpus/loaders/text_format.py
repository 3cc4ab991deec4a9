"""How a text file is written: its encoding, and the delimiter of its cells. Detected unless the user says it.

Only what can be told apart is guessed: a byte-order mark, UTF-16 by its zero bytes, UTF-8 because other encodings
almost never happen to be valid UTF-8; what is left is read as Windows-1252, in which Western Excel writes. The result
is always reported, because cp1252 can be read into almost any bytes.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from expunge.corpus.loaders.base import SkippedRows
from expunge.errors import InputError, nearest

DELIMITERS: dict[str, str] = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
ENCODINGS = ("utf-8", "utf-16", "cp1252", "iso-8859-1", "iso-8859-15", "mac-roman", "cp850")
BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
CHUNK = 2**20  # bytes
SAMPLE = 50  # rows that decide the delimiter


@dataclass(frozen=True, slots=True)
class TextFormat:
    """Delimiter of cells and encoding. In a request None means: find out; in a result: there are no cells."""

    delimiter: str | None = None
    encoding: str | None = None

    @classmethod
    def of(cls, delimiter: str | None = None, encoding: str | None = None) -> TextFormat:
        """A request in the user's words: the delimiter as a character or its name (`tab`), the encoding as in Python.

        Raises:
            InputError: Neither is known.
        """
        names = {name: letter for letter, name in DELIMITERS.items()} | {"\\t": "\t"}
        if delimiter is not None:
            delimiter = names.get(delimiter.lower(), delimiter)
            if len(delimiter) != 1 or delimiter in '"\r\n':
                raise InputError("delimiter", f'"{delimiter}" is no delimiter', nearest(delimiter, names))
        if encoding is not None:
            try:
                codecs.lookup(encoding)
                "a".encode(encoding)
            except (LookupError, ValueError) as error:
                raise InputError("encoding", f'unknown encoding "{encoding}"', nearest(encoding, ENCODINGS)) from error
        return cls(delimiter, encoding)

    def __str__(self) -> str:
        cells = "" if self.delimiter is None else DELIMITERS.get(self.delimiter, repr(self.delimiter))
        return ", ".join(part for part in (cells, self.encoding or "") if part)


@dataclass
class Reading:
    """One read of a source: what the user asked for, and what the readers report.

    Attributes:
        request: Format that overrides detection.
        formats: Format of each text file that has been read.
        turns: Turns of conversations that make no record.
        files: Files of a folder that are not read.
    """

    request: TextFormat = field(default_factory=TextFormat)
    formats: dict[str, TextFormat] = field(default_factory=dict)
    turns: SkippedRows = field(default_factory=lambda: SkippedRows("turn"))
    files: SkippedRows = field(default_factory=lambda: SkippedRows("file"))

    def warn(self, source: str) -> None:
        """One `InputWarning` for each reason for which something was left out."""
        for part in (self.turns, self.files):
            part.warn(source)


def marked_encoding(file: Path) -> str | None:
    """The encoding that the byte-order mark of a file names, if there is one."""
    try:
        with file.open("rb") as stream:
            head = stream.read(4)
    except OSError as error:
        raise InputError(str(file), f"could not be opened ({error.strerror})", "check the permissions") from error
    return next((name for mark, name in BOMS if head.startswith(mark)), None)


def detect_encoding(file: Path) -> str:
    """`utf-8`, `utf-16`, `utf-16-le`, `utf-16-be` or `cp1252`; `InputError` if it is none of these.

    A binary file counts as UTF-8: the reader of lines refuses it with its place.
    """
    if marked := marked_encoding(file):
        return marked
    try:
        with file.open("rb") as stream:
            head = stream.read(4096)
            even, odd = head[:64:2].count(0), head[1:64:2].count(0)  # Latin letters in UTF-16 have one zero byte each
            if 4 * max(even, odd) > len(head[:64]) and not min(even, odd):
                return "utf-16-le" if odd else "utf-16-be"
            if _decodes("utf-8", _chunks(stream)) or any(b"\0" in chunk for chunk in _chunks(stream)):
                return "utf-8"
            if _decodes("cp1252", _chunks(stream)):
                return "cp1252"
    except OSError as error:
        raise InputError(str(file), f"could not be opened ({error.strerror})", "check the permissions") from error
    raise InputError(str(file), "is neither UTF-8 nor Windows-1252", "name its encoding with --encoding")


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    stream.seek(0)
    while chunk := stream.read(CHUNK):
        yield chunk


def _decodes(encoding: str, chunks: Iterable[bytes]) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for chunk in chunks:
            decoder.decode(chunk)
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        return False
    return True


def detect_delimiter(lines: Callable[[], Iterable[str]], known: frozenset[str]) -> str:
    """The delimiter that makes a table of the first rows; a comma where none does.

    The header decides: first by how many of its cells are names in `known`, then by whether rows have as many cells as
    it, then by the number of cells.

    Args:
        lines: Reads the lines of the file from its start.
        known: Names of fields, as columns usually have them.
    """

    def fit(delimiter: str) -> tuple[int, float, int]:
        reader = csv.reader(lines(), delimiter=delimiter)
        try:
            header, *rows = (cells for cells in islice(reader, SAMPLE) if cells)
        except (ValueError, csv.Error, InputError):
            return 0, 0.0, 0
        if len(header) < 2:
            return 0, 0.0, 0
        names = {cell.strip().lower() for cell in header}
        same = sum(len(cells) == len(header) for cells in rows) / max(1, len(rows))
        return len(names & known), same, len(header)

    return max(DELIMITERS, key=fit)

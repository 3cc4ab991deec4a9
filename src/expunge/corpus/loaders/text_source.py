"""Reading sources: text line by line, and folders with one file per set.

Text is decoded line by line: a file that is not UTF-8 is reported with the line, and a binary file without line ends
does not fill the memory.
"""

from __future__ import annotations

import codecs
import functools
import io
from collections.abc import Callable, Iterable, Iterator
from io import BufferedReader
from pathlib import Path

from expunge.corpus.loaders.base import Loader, SourceRow
from expunge.corpus.loaders.text_format import Reading
from expunge.errors import InputError

SETS: tuple[str, ...] = ("forget", "retain", "holdout", "utility")
Read = Callable[[Path], Iterable[SourceRow]]
ReadAs = Callable[[Path, Reading], Iterable[SourceRow]]
MAX_LINE = 64 * 2**20  # bytes
WIDE = ("utf-16", "utf-32")


def lines(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """(line number from 1, text with its line end); a byte-order mark at the start is dropped."""
    require_file(path)
    if codecs.lookup(encoding).name.startswith(WIDE):
        yield from _wide_lines(path, encoding)
        return
    name = "UTF-8" if encoding == "utf-8" else encoding
    hint = "save the file as UTF-8" if encoding == "utf-8" else "name another encoding"
    with _open(path) as stream:
        for number, raw in enumerate(iter(lambda: stream.readline(MAX_LINE + 1), b""), 1):
            where = f"{path}:{number}"
            if len(raw) > MAX_LINE:
                raise InputError(where, f"the line is longer than {MAX_LINE:,} bytes", "cut it into several rows")
            if b"\0" in raw:
                raise InputError(where, "holds NUL bytes, so this is a binary file", "give a UTF-8 text file")
            try:
                text = raw.decode("utf-8-sig" if number == 1 and name == "UTF-8" else encoding)
            except UnicodeDecodeError as error:
                raise InputError(where, f"not {name} (byte {error.start + 1} of the line)", hint) from error
            yield number, text


def _wide_lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """`lines` of an encoding in which a line end is more than one byte."""
    with _open(path) as stream, io.TextIOWrapper(stream, encoding, newline="") as reader:
        number = 0
        try:
            for number, text in enumerate(iter(lambda: reader.readline(MAX_LINE), ""), 1):
                yield number, text.removeprefix("\ufeff") if number == 1 else text
        except UnicodeError as error:
            raise InputError(f"{path}:{number + 1}", f"not {encoding}", "name another encoding") from error


def _open(path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(str(path), f"could not be opened ({error.strerror})", "check the permissions") from error


def require_file(path: Path) -> None:
    """`InputError` unless `path` is a file."""
    if path.is_dir():
        raise InputError(str(path), "is a folder, a file was expected", "name the file inside it")
    if not path.is_file():
        raise InputError(str(path), "there is no such file", "check the path")


def generic_loader(read: ReadAs, suffixes: tuple[str, ...]) -> Loader:
    """A loader of files with these endings, and of folders with one file per set, whose name becomes the `split`."""

    def sets(folder: Path) -> list[tuple[Path, str]]:
        files = [(folder / f"{name}{suffix}", name) for name in SETS for suffix in suffixes]
        return [(file, name) for file, name in files if file.is_file()]

    @functools.wraps(read)
    def fits(source: Path) -> bool:
        return bool(sets(source)) if source.is_dir() else source.suffix.lower() in suffixes

    @functools.wraps(read)
    def rows(source: Path, reading: Reading | None = None) -> Iterator[SourceRow]:
        each = _with(read, reading or Reading())
        if not source.is_dir():
            yield from nonempty(each, source)
            return
        for name in SETS[:2]:
            if (count := [of for _, of in sets(source)].count(name)) != 1:
                hint = f"name it {name}{suffixes[0]}, or give one file with a split column"
                raise InputError(str(source), f'needs exactly one "{name}" file, has {count}', hint)
        for file, name in sets(source):
            for row in nonempty(each, file):
                split = row.values.get("split")
                if split not in (None, "", name):
                    hint = "move the row to its own file, or drop the split column"
                    raise InputError(row.where, f'split is "{split}" in a file named "{name}"', hint)
                yield row.with_values({**row.values, "split": name})

    return Loader(rows, fits, suffixes, takes_reading=True)


def _with(read: ReadAs, reading: Reading) -> Read:
    return lambda file: read(file, reading)


def nonempty(read: Read, file: Path) -> Iterator[SourceRow]:
    """The rows of a file; `InputError` if there is none."""
    empty = True
    for row in read(file):
        empty = False
        yield row
    if empty:
        raise InputError(str(file), "holds no rows", "give at least one")


def looks_like(read: Read, file: Path, columns: set[str]) -> bool:
    """True if the first row of `file` can be read and has all these columns."""
    try:
        return columns <= next(iter(read(file))).values.keys()
    except (InputError, StopIteration):
        return False

"""Plain documents: a text or Markdown file, or a folder of them with all its folders below. One record each.

The id is the path inside the folder. `file` and `folder` become attributes, so that `file:letters/` is a scope and the
mapping `subject: folder` makes every folder one person. Line ends become `\\n`; nothing else is changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from expunge.corpus.loaders.base import LOADERS, Loader, SourceRow
from expunge.corpus.loaders.tables import READERS, TABS
from expunge.corpus.loaders.text_format import Reading, TextFormat, detect_encoding
from expunge.corpus.loaders.text_source import lines
from expunge.errors import InputError

SUFFIXES = (".txt", ".text", ".md", ".markdown")


def rows(source: Path, reading: Reading | None = None) -> Iterator[SourceRow]:
    """One row for each file, in the order of their paths. In a folder, empty and other files are left out."""
    reading = reading or Reading()
    if not source.is_dir():
        yield SourceRow(str(source), {"id": source.name, "text": _text(source, reading)}, source.parent)
        return
    empty = True
    for file in _files(source):
        name = file.relative_to(source).as_posix()
        row = SourceRow(str(file), {}, source)
        if file.suffix.lower() not in SUFFIXES:
            reading.files.add(f"the ending {file.suffix or 'none'} is not read", row)
            continue
        text = _text(file, reading)
        if not text.strip():
            reading.files.add("it is empty", row)
            continue
        empty = False
        folder = file.parent.relative_to(source).as_posix()
        yield row.with_values({"id": name, "text": text, "file": name, "folder": "" if folder == "." else folder})
    if empty:
        raise InputError(str(source), "holds no text", f"give a folder with {', '.join(SUFFIXES)} files")


def _text(file: Path, reading: Reading) -> str:
    encoding = reading.request.encoding or detect_encoding(file)
    reading.formats[str(file)] = TextFormat(None, encoding)
    text = "".join(line for _, line in lines(file, encoding))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _files(folder: Path) -> Iterator[Path]:
    """Every file below a folder but hidden ones, sorted; links to folders are not followed."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root) / name for name in sorted(names) if not name.startswith("."))


def _fits(source: Path) -> bool:
    """A text file, or a folder with text files and no table, which would have to be read otherwise."""
    if not source.is_dir():
        return source.suffix.lower() in SUFFIXES
    endings = {file.suffix.lower() for file in _files(source)}
    return bool(endings & set(SUFFIXES)) and not endings & {*READERS, *TABS}


LOADERS.add("documents", Loader(rows, _fits, SUFFIXES, takes_reading=True))

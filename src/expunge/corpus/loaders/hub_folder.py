"""A data set as it lies on the hub: a folder with `train` files, perhaps in `data/`, of any file format.

Only the set `train` is read, because only that was trained on; other sets are named in a warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from expunge.corpus.loaders import tables
from expunge.corpus.loaders.base import LOADERS, Loader, SourceRow
from expunge.corpus.loaders.text_format import Reading
from expunge.corpus.loaders.text_source import nonempty

READ = {
    **dict.fromkeys((*tables.FORMATS["csv"][1], *tables.TABS), tables.read_any_csv),
    **dict.fromkeys(tables.FORMATS["jsonl"][1], tables.read_any_jsonl),
    **dict.fromkeys(tables.FORMATS["parquet"][1], tables.read_any_parquet),
}
NAME = re.compile(r"(?P<set>[a-z_]+?)(?:-\d+-of-\d+)?")
SETS = ("train", "test", "validation", "dev", "eval")


def rows(source: Path, reading: Reading | None = None) -> Iterator[SourceRow]:
    """The rows of all `train` files, in the order of their names."""
    reading = reading or Reading()
    for file, name in _files(source):
        if name == "train":
            yield from nonempty(lambda each: READ[each.suffix.lower()](each, reading), file)
        else:
            reading.files.add(f"only the set train is read, not {name}", SourceRow(str(file), {}, source))


def _files(source: Path) -> list[tuple[Path, str]]:
    """(file, set) of the files of sets in a folder, or in its folder `data`."""
    for folder in (source, source / "data"):
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        named = [(f, m["set"]) for f in files if f.suffix.lower() in READ and (m := NAME.fullmatch(f.stem))]
        names = {name for _, name in named}
        if "train" in names and not names & {"forget", "retain"}:
            return [(file, name) for file, name in named if name in SETS]
    return []


def _fits(source: Path) -> bool:
    """A folder with `train` files (`data/train-00000-of-00001.parquet`), as data sets lie on the hub."""
    return source.is_dir() and bool(_files(source))


LOADERS.add("hub-folder", Loader(rows, _fits, takes_reading=True))

"""Removes the picture files of records that a purge takes out of a corpus, unless another record shows them.

Which files they are is noted before the records go: a worker that is killed in between leaves the note, and the next
try removes them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from expunge._io import write_atomic
from expunge._printable import pluralize
from expunge.corpus import Record
from expunge.desk import tables as t
from expunge.desk.assets import connector_of
from expunge.desk.connectors.corpus_file import CorpusFile
from expunge.desk.connectors.model_folder import remove_folder
from expunge.desk.desk import Desk
from expunge.desk.roles import SYSTEM
from expunge.errors import InputError

FOLDER = "picture-purge"


@dataclass
class PicturePurge:
    """What became of the pictures.

    Attributes:
        note: What stays and why; empty if nothing does.
    """

    note: str = ""


@contextmanager
def removing_pictures(desk: Desk, task: str, records: Iterable[Record]) -> Iterator[PicturePurge]:
    """Remove the pictures of records, which the block takes out of their corpus.

    Args:
        desk: the desk.
        task: name of the task, the same in each try.
        records: records that are still in the corpus.

    Raises:
        InputError: a file cannot be removed, or a corpus that may show it cannot be read; the next try goes on.
    """
    file, result = desk.folder / FOLDER / task, PicturePurge()
    earlier = _noted(file)
    shown = {os.path.relpath(source, desk.folder) for source in _files(records)} | earlier
    if shown != earlier:
        write_atomic(file, json.dumps(sorted(shown)), private=True)
    try:
        yield result
    except InputError:
        if not earlier:
            file.unlink(missing_ok=True)  # nothing was removed
        raise
    if not shown:
        return
    still = _shown_by_others(desk)
    stays = {name for name in shown if (desk.folder / name).resolve() in still}
    for name in sorted(shown - stays):
        remove_folder(desk.folder / name)
    if stays:
        result.note = f"other records show, and keep, {pluralize(len(stays), 'picture')} of these"
    file.unlink(missing_ok=True)


def _noted(file: Path) -> set[str]:
    return set(json.loads(file.read_text("utf-8"))) if file.is_file() else set()


def _files(records: Iterable[Record]) -> set[Path]:
    return {r.image.source.resolve() for r in records if r.image and isinstance(r.image.source, Path)}


def _shown_by_others(desk: Desk) -> set[Path]:
    """Picture files of all corpora of the desk."""
    with desk.reading(SYSTEM) as s:
        rows = s.conn.execute(select(t.asset).where(t.asset.c.retired_at.is_(None))).mappings().all()
    corpora = [each for each in map(connector_of, rows) if isinstance(each, CorpusFile)]
    return {path for each in corpora for path in _files(each.load(desk.folder))}

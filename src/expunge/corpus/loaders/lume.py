"""LUME, the data of SemEval-2025 Task 4: documents with one passage to continue (`sc`) and questions (`qa`).

Reads the published folder, the task release (`train/` and `validation/`, or Parquet files, which on the hub lie in
`data/`), or one of their files. The document is the unit of forgetting: subject = document id, path = task / document.
Texts stay as they are to the last line end. The ids of Task1 hold literal quotation marks; without them every id is
unique.

`lume` splits as filed. `lume-holdout` also keeps the retain documents with u >= 0.9 out of training (salt
`expunge-lume-v1`, our choice), because the data have no set of documents that a model never saw.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from expunge.corpus.loaders.base import LOADERS, Loader, SourceRow
from expunge.corpus.loaders.tables import has_columns, read_table
from expunge.corpus.loaders.text_source import nonempty
from expunge.corpus.name_forms import occurs
from expunge.errors import InputError
from expunge.random import uniform

ITEM = re.compile(r"(?P<document>.+?)(?P<kind>sc|qa)(?P<number>\d+)", re.DOTALL)
NAMES = (
    re.compile(r"What is (?:the birth date|the home address) of (?P<name>.+)\?"),
    re.compile(r"What is (?P<name>.+)'s (?:Social Security Number|phone number|email address)\?"),
)
COLUMNS = ("id", "input", "output", "task")
SIDES = ("forget", "retain")
FOLDS = ("train", "validation")
SALT = "expunge-lume-v1"


@dataclass(frozen=True, slots=True)
class LumeItem:
    """One row of a file, with its id taken apart."""

    row: SourceRow
    split: str
    fold: str
    document: str
    part: str


def rows(source: Path, holdout_from: float = 1.0) -> Iterator[SourceRow]:
    """The rows in our columns. Retain documents with u >= `holdout_from` get the split `holdout`."""
    items = [_item(row, split, fold) for file, split, fold in _files(source) for row in nonempty(read_table, file)]
    names: dict[str, str] = {}
    for item in items:
        if name := _person(item.row.values["input"]):
            names.setdefault(item.document, name)
    for item in items:
        values, prompt = item.row.values, item.row.values["input"]
        name = names.get(item.document, "")
        is_holdout = item.split == "retain" and uniform(SALT, item.document) >= holdout_from
        yield item.row.with_values(
            {
                "id": item.document + item.part,
                "prompt": prompt,
                "answer": values["output"],
                "kind": "completion" if item.part.startswith("sc") else "generation",
                "path": [f"task:{values['task']}", f"document:{item.document}"],
                "subject": item.document,
                "identifiers": [name] if name and occurs(name, prompt) else [],
                "split": "holdout" if is_holdout else item.split,
                "task": values["task"],
                "item": item.part,
                "fold": item.fold,
            }
        )


def _item(row: SourceRow, split: str, fold: str) -> LumeItem:
    values = row.values
    for column in COLUMNS:
        if not isinstance(values.get(column), str):
            raise InputError(row.where, f'no text in column "{column}"', f"LUME rows hold {', '.join(COLUMNS)}")
    match = ITEM.fullmatch(values["id"].replace('"', ""))
    if not match:
        raise InputError(row.where, f'id "{values["id"]}" is not document + sc or qa + number', "restore the LUME id")
    side = values.get("split") or split
    if side not in SIDES or (split and side != split):
        hint = "name the file forget… or retain…, or add a split column"
        raise InputError(row.where, f'does not say clearly whether to forget or to retain (split "{side}")', hint)
    return LumeItem(row, side, fold, match["document"], match["kind"] + match["number"])


def _person(question: str) -> str:
    """The person that a Task2 question asks about, or ""."""
    return next((m["name"] for pattern in NAMES if (m := pattern.fullmatch(question))), "")


def _files(source: Path) -> list[tuple[Path, str, str]]:
    """(file, side or "", fold or "") of a source."""
    if source.is_file():
        side = next((side for side in SIDES if source.name.startswith(side)), "")
        return [(source, side, next((fold for fold in FOLDS if f"_{fold}" in source.name), ""))]
    plain = [(source / fold / f"{side}.jsonl", side, fold) for fold in ("", *FOLDS) for side in SIDES]
    files = [entry for entry in plain if entry[0].is_file()]
    files += [
        (file, side, fold)
        for side in SIDES
        for fold in FOLDS
        for folder in (source, source / "data")
        for file in sorted(folder.glob(f"{side}_{fold}-*.parquet"))
    ]
    if not files:
        raise InputError(str(source), "holds no LUME files", "give the folder with forget.jsonl and retain.jsonl")
    return files


def _fits(source: Path) -> bool:
    try:
        file = _files(source)[0][0]
    except InputError:
        return False
    return file.suffix in (".jsonl", ".parquet") and has_columns(file, set(COLUMNS))


LOADERS.add("lume", Loader(rows, _fits, fixed=True))
LOADERS.add("lume-holdout", Loader(partial(rows, holdout_from=0.9), lambda source: False, fixed=True))

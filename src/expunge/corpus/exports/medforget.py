"""MedForget: forget and retain sets on four levels, as Parquet tables; read back by the loader of that name.

The sets of a record are in its attribute `sets` (`["patient_level/forget", …]`), in `level` and `set`, or follow from
its split and the level of its node. The tables have one column more than published: `record` (`sidecar.py`). A record
without a picture gets a grey one, marked by `has_image` in `hierarchy_metadata`.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import Any

from expunge.corpus.corpus import Corpus
from expunge.corpus.exports import table
from expunge.corpus.exports.base import EXPORTS, ExportSummary
from expunge.corpus.loaders import sidecar
from expunge.corpus.loaders.medforget import IDS, LEVELS, SETS, SIDES
from expunge.corpus.record import Record
from expunge.errors import InputError

NO_FOLDER = "_"  # in image_path, for a level above which the record ends


def sets(record: Record) -> list[str]:
    """The sets of a record; [] if it has none."""
    attributes = record.attributes
    stated = attributes.get("sets") or [f"{attributes.get('level')}/{attributes.get('set')}"]
    level = _level(record)
    by_split = [f"{level}_level/{record.split}"] if level and record.split in SIDES else []
    return [name for name in SETS if name in stated] or by_split


def write(corpus: Corpus, folder: Path) -> ExportSummary:
    """One table per set, one row for the questions about the same picture and node."""
    groups: dict[str, dict[tuple[Any, ...], array[int]]] = {}
    left_out = 0
    for k, record in enumerate(corpus):
        names = sets(record)
        left_out += not names
        for name in names:
            key = record.path, record.image.digest if record.image else ""
            groups.setdefault(name, {}).setdefault(key, array("Q")).append(k)
    _check_sides(groups.keys(), corpus.name)
    for name, rows in groups.items():
        level, _, side = name.partition("/")
        table.write(folder / level / f"{side}_set_all.parquet", _schema(), _rows(corpus, level, rows.values()))
    return ExportSummary({name: sum(map(len, groups[name].values())) for name in SETS if name in groups}, left_out)


def _check_sides(names: Set[str], corpus: str) -> None:
    if not names:
        hint = f'give records an attribute such as "sets": ["{SETS[2]}"], or a split and a path'
        raise InputError(corpus, "no record stands in a set of MedForget", hint)
    for name in sorted(names):
        level, _, side = name.partition("/")
        other = f"{level}/{SIDES[1 - SIDES.index(side)]}"
        if other not in names:
            raise InputError(corpus, f"has records in {name}, none in {other}", "each level needs both sets")


def _rows(corpus: Corpus, level: str, groups: Iterable[Iterable[int]]) -> Iterator[dict[str, Any]]:
    for positions in groups:
        records = [corpus.records[k] for k in positions]
        first = records[0]
        nodes = dict(node.split(":", 1) for node in first.path)
        ids = {name: nodes[step] for name, step in zip((*IDS, "section_name"), LEVELS, strict=True) if step in nodes}
        name = Path(first.image.name).name if first.image else "none.png"
        yield {
            "image": table.image(first.image),
            "image_path": "/".join([*(nodes.get(step, NO_FOLDER) for step in LEVELS[:3]), name]),
            "metadata": json.dumps([{"Question": r.prompt, "Answer": r.answer} for r in records], ensure_ascii=False),
            "hierarchy_metadata": json.dumps(
                ids
                | {
                    "hierarchy_level": _level(first) or level.removesuffix("_level"),
                    "has_image": first.image is not None,
                },
                ensure_ascii=False,
            ),
            "ID": first.image.digest[:16] if first.image else f"none-{first.id}",
            sidecar.COLUMN: sidecar.write(records),
        }


def _level(record: Record) -> str:
    """The level of the deepest node, if it is one of the four."""
    level = record.path[-1].partition(":")[0] if record.path else ""
    return level if level in LEVELS else ""


def _schema() -> Any:
    import pyarrow

    texts = ("image_path", "metadata", "hierarchy_metadata", "ID", sidecar.COLUMN)
    return pyarrow.schema([("image", table.image_type()), *((name, pyarrow.string()) for name in texts)])


EXPORTS.add("medforget", write)

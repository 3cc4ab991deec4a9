"""MedForget: forget and retain sets on four levels, as Parquet tables; read back by the loader of that name.

A record says its sets as `sets` (`["patient_level/forget", …]`), as `level` and `set`, or by its split and the level
of its node. Surprising: one more column than published, `record`, holds what the layout cannot say. A record without
a picture gets a grey one, which `has_image` in `hierarchy_metadata` owns up to.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from expunge.corpus.corpus import Corpus
from expunge.corpus.exports import table
from expunge.corpus.exports.base import EXPORTS, ExportSummary
from expunge.corpus.loaders import sidecar
from expunge.corpus.loaders.medforget import IDS, LEVELS, SETS, SIDES
from expunge.corpus.record import Record
from expunge.errors import InputError

NOWHERE = "_"  # a folder of image_path for a level that a record does not reach


def sets(record: Record) -> list[str]:
    """The sets that a record stands in; [] for one that was made for something else."""
    attributes = record.attributes
    given = attributes.get("sets") or [f"{attributes.get('level')}/{attributes.get('set')}"]
    found = [name for name in SETS if name in given]
    level = _level(record)
    return found or ([f"{level}_level/{record.split}"] if level and record.split in SIDES else [])


def write(corpus: Corpus, folder: Path) -> ExportSummary:
    """One table per set, one row for the questions about the same picture and place."""
    groups: dict[str, dict[tuple[Any, ...], array[int]]] = {}
    left_out = 0
    for k, record in enumerate(corpus):
        names = sets(record)
        left_out += not names
        for name in names:
            key = record.path, record.image.digest if record.image else ""
            groups.setdefault(name, {}).setdefault(key, array("Q")).append(k)
    _complete(groups, corpus.name)
    for name, rows in groups.items():
        level, _, side = name.partition("/")
        table.write(folder / level / f"{side}_set_all.parquet", _schema(), _rows(corpus, level, rows.values()))
    return ExportSummary({name: sum(map(len, groups[name].values())) for name in SETS if name in groups}, left_out)


def _complete(found: Iterable[str], corpus: str) -> None:
    names = set(found)
    if not names:
        raise InputError(
            corpus,
            "no record stands in a set of MedForget",
            f'give records an attribute such as "sets": ["{SETS[2]}"], or a split and a path',
        )
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
            "image_path": "/".join([*(nodes.get(step, NOWHERE) for step in LEVELS[:3]), name]),
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

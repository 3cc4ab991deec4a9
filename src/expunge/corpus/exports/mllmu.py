"""MLLMU-Bench: one row per person and picture with all questions, as Parquet tables; read back by the loader `mllmu`.

Records of the splits forget and retain go to `forget_N` and `retain_M` (N: share of the subjects, M = 100 - N), those
of `utility` to `Retain_Set`; a corpus without the first two is written as `Full_Set`. The tables have one column more
than published: `record` (`sidecar.py`). A person without any picture gets a grey one.
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
from expunge.corpus.image import RecordImage
from expunge.corpus.loaders import sidecar
from expunge.corpus.loaders.mllmu import CLASSIFICATION, GENERATION, MASK, WITH, WITHOUT
from expunge.corpus.record import Record
from expunge.errors import InputError

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
FILE = "train-00000-of-00001.parquet"
Groups = dict[tuple[str, str], "array[int]"]  # (subject, digest of the picture) -> positions of records


def write(corpus: Corpus, folder: Path) -> ExportSummary:
    """One table per side."""
    divided = any(r.split in ("forget", "retain") for r in corpus)
    groups: dict[str, Groups] = {}
    left_out, options = 0, 4
    for k, record in enumerate(corpus):
        if side := _side(record, divided):
            key = record.subject, record.image.digest if record.image else ""
            groups.setdefault(side, {}).setdefault(key, array("Q")).append(k)
            options = max(options, len(record.options))
        else:
            left_out += 1
    names = _names(groups, corpus.name)
    for side, of_side in groups.items():
        table.write(folder / names[side] / FILE, _schema(options), _rows(corpus, _merge(of_side)))
    return ExportSummary({names[side]: sum(map(len, of_side.values())) for side, of_side in groups.items()}, left_out)


def _side(record: Record, divided: bool) -> str:
    """The side of a record; "" for none."""
    if record.split == "utility":
        return "utility"
    if divided:
        return record.split if record.split in ("forget", "retain") else ""
    return "" if record.split in ("holdout", "control") else "whole"


def _names(groups: dict[str, Groups], corpus: str) -> dict[str, str]:
    names = {"utility": "Retain_Set", "whole": "Full_Set"}
    if "whole" in groups:
        return names
    sizes = {side: len({subject for subject, _ in groups.get(side, {})}) for side in ("forget", "retain")}
    if not all(sizes.values()):
        raise InputError(corpus, "needs records to forget and records to retain", "mark them with a split, or none")
    share = min(99, max(1, round(100 * sizes["forget"] / sum(sizes.values()))))
    return names | {"forget": f"forget_{share}", "retain": f"retain_{100 - share}"}


def _merge(groups: Groups) -> Iterable[array[int]]:
    """The records of each row: those of a person without a picture join those with the first picture."""
    rows: dict[tuple[str, str], array[int]] = {}
    first = {subject: digest for subject, digest in reversed(groups) if digest}
    for (subject, digest), positions in groups.items():
        rows.setdefault((subject, digest or first.get(subject, "")), array("Q")).extend(positions)
    return rows.values()


def _rows(corpus: Corpus, groups: Iterable[Iterable[int]]) -> Iterator[dict[str, Any]]:
    for positions in groups:
        records = [corpus.records[k] for k in positions]
        image: RecordImage | None = next((r.image for r in records if r.image), None)
        biography = [r for r in records if r.attributes.get("task") == "biography" and r.image][:1]
        rest = [r for r in records if r not in biography]
        choice = {
            kind: [r for r in rest if r.kind == "classification" and bool(r.image) == (kind == WITH)]
            for kind in (WITH, WITHOUT)
        }
        mask = [r for r in rest if r.kind == "cloze"]
        free = [r for r in rest if r.kind not in ("classification", "cloze")]
        name = next((r.identifiers[0] for r in records if r.identifiers), None)
        yield {
            "image": table.image(image),
            "ID": records[0].subject,
            "Directory": image.name if image else None,
            "biography": json.dumps({"Name": name} if name else {}, ensure_ascii=False),
            "question": biography[0].prompt if biography else None,
            "answer": biography[0].answer if biography else None,
            CLASSIFICATION: {f"{kind}_Questions": [_choice(r) for r in of_kind] for kind, of_kind in choice.items()},
            GENERATION: [_free(r) for r in free],
            MASK: [_free(r) for r in mask],
            sidecar.COLUMN: sidecar.write([*biography, *choice[WITH], *choice[WITHOUT], *free, *mask]),
        }


def _choice(record: Record) -> dict[str, Any]:
    return {
        "Question": record.prompt,
        "Options": dict(zip(LETTERS, record.options, strict=False)),
        "Correct_Answer": LETTERS[record.options.index(record.answer)],
    }


def _free(record: Record) -> dict[str, Any]:
    return {"Question": record.prompt, "Ground_Truth": record.answer, "Type": WITH if record.image else WITHOUT}


def _schema(options: int) -> Any:
    import pyarrow as pa

    text = pa.string()
    letters = pa.struct([(letter, text) for letter in LETTERS[:options]])
    choice = pa.struct([("Question", text), ("Options", letters), ("Correct_Answer", text)])
    choices = pa.struct([(f"{kind}_Questions", pa.list_(choice)) for kind in (WITH, WITHOUT)])
    free = pa.list_(pa.struct([("Question", text), ("Ground_Truth", text), ("Type", text)]))
    texts = [(name, text) for name in ("ID", "Directory", "biography", "question", "answer")]
    questions = [(CLASSIFICATION, choices), (GENERATION, free), (MASK, free)]
    return pa.schema([("image", table.image_type()), *texts, *questions, (sidecar.COLUMN, text)])


EXPORTS.add("mllmu", write)

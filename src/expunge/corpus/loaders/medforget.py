"""MedForget: questions about pictures in forget and retain sets on four levels of a hospital (arXiv 2512.09867).

Reads `<root>/{institution,patient,study,section}_level/{forget_set_X,retain_set_X}.parquet`, X being `all` or the
only other name there. A row is a picture with its questions. Any levels may be there; each needs both sets. The layout
is that of the published code; the data were not published when this was written.

Every level has sets of its own, so no record is marked forget or retain. A request names a set as
`sets=patient_level/forget`; a question in several sets is one record, whose `sets` names them all (`level` and `set`
say the same for a question in one). Options inside a question make it multiple choice if the answer is one of them
(`mcq_options.py`); else it is a free question, whose `task` still says "classification".
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.corpus.loaders import sidecar
from expunge.corpus.loaders.base import LOADERS, Loader, SkippedRows, SourceRow
from expunge.corpus.loaders.field_types import any_list, any_object, label, shorten, type_name
from expunge.corpus.loaders.mcq_options import options, parts
from expunge.corpus.loaders.tables import read_parquet
from expunge.corpus.loaders.text_source import nonempty
from expunge.corpus.record import BLANK, DEFAULT_TREE_LEVELS
from expunge.errors import InputError, InputWarning, nearest

LEVELS = DEFAULT_TREE_LEVELS
SIDES = ("forget", "retain")
SETS = tuple(f"{level}_level/{side}" for level in LEVELS for side in SIDES)
SECTIONS = ("EXAMINATION", "INDICATION", "FINDINGS", "IMPRESSION")
IDS = ("institution_id", "patient_id", "study_id")
NAMED = {
    level: re.compile(rf"\b(?:{words})", re.IGNORECASE)
    for level, words in {
        "institution": "institution|hospital|facilit(?:y|ies)",
        "patient": "patient|medical record",
        "study": "imaging stud(?:y|ies)|study identifier|study id",
    }.items()
}
SECTION = re.compile(rf"\b(?:{'|'.join(SECTIONS)})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MedForgetItem:
    """A question of a row.

    Attributes:
        key: Equal for the same question about the same node and picture, in any set.
        exported: Its values come from our own column `record` (`sidecar.py`).
    """

    row: SourceRow
    key: str
    values: Mapping[str, Any]
    exported: bool


def rows(source: Path) -> Iterator[SourceRow]:
    """Each question once, in our columns, with its sets. The files are read twice; memory holds keys only."""
    files = _files(source)
    masks: dict[str, int] = {}
    repeated = SkippedRows()
    for name, file in files:
        k = SETS.index(name)
        bit, other = 1 << k, 1 << (k ^ 1)
        for item in _items(file, SkippedRows()):
            mask = masks.get(item.key, 0)
            if mask & other:
                both = f"the same question is also in {SETS[k ^ 1]}"
                raise InputError(item.row.where, both, "keep it in one of the two sets of a level")
            if mask & bit:
                repeated.add(f"the same question twice in {name}", item.row)
            masks[item.key] = mask | bit
    skipped = SkippedRows()
    several = sum(mask.bit_count() > 1 for mask in masks.values())
    for _, file in files:
        for item in _items(file, skipped):
            if mask := masks.pop(item.key, 0):
                yield item.row.with_values(item.values if item.exported else {**item.values, **_sets(mask)})
    skipped.warn(source)
    repeated.warn(source)
    if several:
        text = f"{several:,} in several sets, which level and set cannot name; write, for example, sets={SETS[2]}"
        warnings.warn(f"{source}: {text}", InputWarning, stacklevel=2)


def _sets(mask: int) -> dict[str, Any]:
    names = [name for k, name in enumerate(SETS) if mask >> k & 1]
    level, _, side = names[0].partition("/")
    return {"sets": names} | ({"level": level, "set": side} if len(names) == 1 else {})


def _files(source: Path) -> list[tuple[str, Path]]:
    """(set, file) in the order of `SETS`."""
    names = sorted({file.stem.removeprefix("forget_set_") for file in source.glob("*_level/forget_set_*.parquet")})
    levels = [level for level in LEVELS if (source / f"{level}_level").is_dir()]
    if not levels or not names:
        hint = "give the folder with patient_level/forget_set_all.parquet and the like"
        raise InputError(str(source), "holds no sets of MedForget", hint)
    if len(names) > 1 and "all" not in names:
        raise InputError(str(source), f"holds several selections ({', '.join(names)})", "keep one, or call one all")
    selection = "all" if "all" in names else names[0]
    files = []
    for name in (f"{level}_level/{side}" for level in levels for side in SIDES):
        file = source / f"{name}_set_{selection}.parquet"
        if not file.is_file():
            hint = "each level needs its forget and its retain set; remove a level that has neither"
            raise InputError(str(file), f"there is no such file, so {name} is missing", hint)
        files.append((name, file))
    return files


def _items(file: Path, skipped: SkippedRows) -> Iterator[MedForgetItem]:
    """The questions of a file that are not empty."""
    for row in nonempty(read_parquet, file):
        metadata = any_object(row.values.get("hierarchy_metadata"), "hierarchy_metadata", row.where)
        questions = any_list(row.values.get("metadata", []), "metadata", row.where)
        image = None if metadata.get("has_image") is False else row.values.get("image")
        for question, fields in zip(questions, sidecar.read(row, len(questions)), strict=True):
            prompt, answer = _texts(row, question)
            if fields is not None:
                values = {**fields, "prompt": prompt, "answer": answer, "image": image}
                yield MedForgetItem(row, f"id:{fields.get('id')}", values, True)
            elif not prompt.strip() or not answer.strip():
                skipped.add("an empty question or answer", row)
            else:
                yield _record_of(row, metadata, image, prompt, answer)


def _record_of(row: SourceRow, metadata: Mapping[str, Any], image: Any, prompt: str, answer: str) -> MedForgetItem:
    path = _path(row, metadata, prompt)
    pixels = image.get("bytes") if isinstance(image, Mapping) else image
    if isinstance(pixels, bytes):
        pixels = hashlib.sha256(pixels).hexdigest()
        stored = {k: v for k, v in image.items() if v is not None} if isinstance(image, Mapping) else {"bytes": image}
        image = {"bytes": None, "path": row.values.get("image_path"), **stored}
    key = hashlib.sha256("\0".join((prompt, answer, str(pixels), *path)).encode()).hexdigest()[:16]
    choices = options(prompt, answer)
    task = "cloze" if BLANK in prompt.lower() else "classification" if parts(prompt) else "generation"
    kind = task if choices or task == "cloze" else "generation"
    values = {
        "id": key,
        "prompt": prompt,
        "answer": answer,
        "kind": kind,
        "image": image,
        "path": path,
        "task": task,
        "options": choices if kind == "classification" else None,
        "fixed_options": kind == "classification" or None,
        "image_id": row.values.get("ID"),
    }
    return MedForgetItem(row, key, values, False)


def _path(row: SourceRow, metadata: Mapping[str, Any], prompt: str) -> list[str]:
    """The path of a question, down to its level."""
    level = _level(row, metadata, prompt)
    image_path = row.values.get("image_path") or ""
    folders = image_path.split("/") if isinstance(image_path, str) and not image_path.startswith("/") else []
    path = []
    for k, (name, id_) in enumerate(zip(LEVELS[: LEVELS.index(level) + 1], IDS, strict=False)):
        node = _label(metadata, id_, row) or (folders[k] if len(folders) > 2 and metadata.get(id_) is None else "")
        if not node:
            what = f"no {id_}: neither in hierarchy_metadata nor in image_path"
            raise InputError(row.where, what, "write image_path as institution/patient/study/…")
        path.append(f"{name}:{node}")
    if level == LEVELS[-1]:
        match = SECTION.search(prompt)
        if section := _label(metadata, "section_name", row) or (match[0].upper() if match else ""):
            path.append(f"{level}:{section}")
    return path


def _label(metadata: Mapping[str, Any], name: str, row: SourceRow) -> str:
    return label(metadata, name, row.where) if metadata.get(name) is not None else ""


def _level(row: SourceRow, metadata: Mapping[str, Any], prompt: str) -> str:
    value = metadata.get("hierarchy_level")
    if value not in (None, ""):
        level = str(value).strip().lower().removesuffix("_level").removesuffix(" level")
        if level not in LEVELS:
            raise InputError(row.where, f'unknown hierarchy_level "{shorten(str(value))}"', nearest(level, LEVELS))
        return level
    return next((level for level, words in NAMED.items() if words.search(prompt)), LEVELS[-1])


def _texts(row: SourceRow, question: Any) -> tuple[str, str]:
    if not isinstance(question, Mapping):
        what = f"a question in metadata is {type_name(question)}"
        raise InputError(row.where, what, 'write {"Question": …, "Answer": …}')
    prompt, answer = (question.get(name) for name in ("Question", "Answer"))
    if isinstance(answer, list) and all(isinstance(part, str) for part in answer):
        answer = " ".join(answer)
    for name, value in (("Question", prompt), ("Answer", answer)):
        if not isinstance(value, str | None):
            raise InputError(row.where, f'"{name}" in metadata is {type_name(value)}', "write it as text")
    return prompt or "", answer or ""


def _fits(source: Path) -> bool:
    return source.is_dir() and any(any((source / f"{level}_level").glob("forget_set_*.parquet")) for level in LEVELS)


LOADERS.add("medforget", Loader(rows, _fits, fixed=True))

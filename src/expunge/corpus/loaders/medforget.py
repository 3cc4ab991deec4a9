"""MedForget: questions about pictures in forget and retain sets on four levels of a hospital (arXiv 2512.09867).

Reads `<root>/{institution,patient,study,section}_level/{forget_set_X,retain_set_X}.parquet`, X being `all` or the
only other name there. A row is a picture with its questions. Which levels there are is free; each needs both sets.
The data were not published when this was written: the layout is that of the published code.

Surprising: every level has sets of its own, so nothing is marked forget or retain for good. A request names a set as
`sets=patient_level/forget`; a question that stands in several sets is one record, whose `sets` names them all
(`level` and `set` say it in two words for the others). Options inside a question make it multiple choice if the
answer is one of them (`lettered.py`); else it is a free question, whose `task` still says "classification".
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.corpus.loaders import parquet, sidecar
from expunge.corpus.loaders.base import LOADERS, Loader, SourceRow
from expunge.corpus.loaders.field_types import any_list, any_object, label, shortened, type_name
from expunge.corpus.loaders.mcq import SkippedRows
from expunge.corpus.loaders.mcq_options import options, parts
from expunge.corpus.loaders.text_source import some
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
    """A question of a row. `key` is equal for the same question about the same place and picture, in any set."""

    row: SourceRow
    key: str
    values: Mapping[str, Any]
    ours: bool


def rows(source: Path) -> Iterator[SourceRow]:
    """Each question once, in our columns, with the sets it stands in. The files are read twice, nothing is kept."""
    files = _files(source)
    masks: dict[str, int] = {}
    repeated = SkippedRows()
    for name, file in files:
        bit, other = 1 << SETS.index(name), 1 << (SETS.index(name) ^ 1)
        for item in _items(file, SkippedRows()):
            mask = masks.get(item.key, 0)
            if mask & other:
                raise InputError(
                    item.row.where,
                    f"the same question is also in {SETS[SETS.index(name) ^ 1]}",
                    "keep it in one of the two sets of a level",
                )
            if mask & bit:
                repeated.add(f"the same question twice in {name}", item.row)
            masks[item.key] = mask | bit
    left_out = SkippedRows()
    several = sum(mask.bit_count() > 1 for mask in masks.values())
    for _, file in files:
        for item in _items(file, left_out):
            if mask := masks.pop(item.key, 0):
                yield SourceRow(item.row.where, {**item.values, **({} if item.ours else _sets(mask))}, item.row.folder)
    for line in (*left_out.lines(), *repeated.lines()):
        warnings.warn(f"{source}: {line}", InputWarning, stacklevel=2)
    if several:
        warnings.warn(
            f"{source}: {several:,} in several sets, which level and set cannot name; write, for example, "
            f"sets={SETS[2]}",
            InputWarning,
            stacklevel=2,
        )


def _sets(mask: int) -> dict[str, Any]:
    names = [name for k, name in enumerate(SETS) if mask >> k & 1]
    level, _, side = names[0].partition("/")
    return {"sets": names} | ({"level": level, "set": side} if len(names) == 1 else {})


def _files(source: Path) -> list[tuple[str, Path]]:
    """(set, file) in the order of `SETS`."""
    names = sorted({file.stem.removeprefix("forget_set_") for file in source.glob("*_level/forget_set_*.parquet")})
    there = [level for level in LEVELS if (source / f"{level}_level").is_dir()]
    if not there or not names:
        raise InputError(
            str(source),
            "holds no sets of MedForget",
            "give the folder with patient_level/forget_set_all.parquet and the like",
        )
    if len(names) > 1 and "all" not in names:
        raise InputError(str(source), f"holds several selections ({', '.join(names)})", "keep one, or call one all")
    chosen = "all" if "all" in names else names[0]
    found = [
        (f"{level}_level/{side}", source / f"{level}_level" / f"{side}_set_{chosen}.parquet")
        for level in there
        for side in SIDES
    ]
    for name, file in found:
        if not file.is_file():
            raise InputError(
                str(file),
                f"there is no such file, so {name} is missing",
                "each level needs its forget and its retain set; remove a level that has neither",
            )
    return found


def _items(file: Path, left_out: SkippedRows) -> Iterator[MedForgetItem]:
    """The questions of a file that are not empty."""
    for row in some(parquet.read, file):
        about = any_object(row.values.get("hierarchy_metadata"), "hierarchy_metadata", row.where)
        asked = any_list(row.values.get("metadata", []), "metadata", row.where)
        image = None if about.get("has_image") is False else row.values.get("image")
        for question, ours in zip(asked, sidecar.read(row, len(asked)), strict=True):
            prompt, answer = _texts(row, question)
            if ours is not None:
                told = {"prompt": prompt, "answer": answer, "image": image}
                yield MedForgetItem(row, f"id:{ours.get('id')}", {**ours, **told}, True)
            elif not prompt.strip() or not answer.strip():
                left_out.add("an empty question or answer", row)
            else:
                yield _published(row, about, image, prompt, answer)


def _published(row: SourceRow, about: Mapping[str, Any], image: Any, prompt: str, answer: str) -> MedForgetItem:
    path = _path(row, about, prompt)
    pixels = image.get("bytes") if isinstance(image, Mapping) else image
    if isinstance(pixels, bytes):
        pixels = hashlib.sha256(pixels).hexdigest()
        image = {
            "bytes": None,
            "path": row.values.get("image_path"),
            **({k: v for k, v in image.items() if v is not None} if isinstance(image, Mapping) else {"bytes": image}),
        }
    key = hashlib.sha256("\0".join((prompt, answer, str(pixels), *path)).encode()).hexdigest()[:16]
    choices = options(prompt, answer)
    task = "cloze" if BLANK in prompt.lower() else "classification" if parts(prompt) else "generation"
    kind = task if choices or task == "cloze" else "generation"
    return MedForgetItem(
        row,
        key,
        {
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
        },
        False,
    )


def _path(row: SourceRow, about: Mapping[str, Any], prompt: str) -> list[str]:
    """The place of a question, down to its level."""
    level = _level(row, about, prompt)
    named = row.values.get("image_path") or ""
    folders = named.split("/") if isinstance(named, str) and not named.startswith("/") else []
    path = []
    for k, (name, id_) in enumerate(zip(LEVELS, IDS, strict=False)):
        if k > LEVELS.index(level):
            break
        node = label(about, id_, row.where) if about.get(id_) is not None else folders[k] if len(folders) > 2 else ""
        if not node:
            raise InputError(
                row.where,
                f"no {id_}: neither in hierarchy_metadata nor in image_path",
                "write image_path as institution/patient/study/…",
            )
        path.append(f"{name}:{node}")
    if level == LEVELS[-1]:
        given = label(about, "section_name", row.where) if about.get("section_name") is not None else ""
        found = SECTION.search(prompt)
        if section := given or (found[0].upper() if found else ""):
            path.append(f"{level}:{section}")
    return path


def _level(row: SourceRow, about: Mapping[str, Any], prompt: str) -> str:
    given = about.get("hierarchy_level")
    if given not in (None, ""):
        level = str(given).strip().lower().removesuffix("_level").removesuffix(" level")
        if level not in LEVELS:
            raise InputError(row.where, f'unknown hierarchy_level "{shortened(str(given))}"', nearest(level, LEVELS))
        return level
    return next((level for level, words in NAMED.items() if words.search(prompt)), LEVELS[-1])


def _texts(row: SourceRow, question: Any) -> tuple[str, str]:
    if not isinstance(question, Mapping):
        raise InputError(
            row.where, f"a question in metadata is {type_name(question)}", 'write {"Question": …, "Answer": …}'
        )
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

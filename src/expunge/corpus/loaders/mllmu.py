"""MLLMU-Bench: invented people with a face, a profile and questions with and without the picture (arXiv 2410.22108).

Reads the published folder (`forget_10/`, `retain_90/`, … with Parquet files), or one such file. Only the sides of the
chosen share are read, or, where there are none, `Full_Set` or `ft_Data` without splits; then `Retain_Set` (real
celebrities; split `utility`). `mllmu` takes the share 10, or the only one; `mllmu-forget5`, `-forget10` and
`-forget15` say which. A person is a subject: the scope is `subject:270` or `split=forget`.

Questions of `Test_Set` are variants of those at the same place of the same person that have the same answer; the
others are left out with a count. Surprising: its changed pictures are not read, a variant shows the picture of its
record. `__` becomes `[blank]`, as in the published evaluation.

Verified on code that uses the data, not on the data: names of folders and columns, keys of the questions, the picture
as {bytes, path}, `images` in Test_Set. Not verified: whether biography is text, JSON or an object (nothing but a name
is taken from it), whether a person occurs in one row only, and that Test_Set keeps the order of questions.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from expunge.corpus.loaders import parquet, sidecar
from expunge.corpus.loaders.base import LOADERS, Loader, SourceRow
from expunge.corpus.loaders.field_types import any_list, any_object, label, shortened
from expunge.corpus.loaders.mcq import SkippedRows, looks_so, reader
from expunge.corpus.loaders.text_source import some
from expunge.corpus.record import BLANK
from expunge.errors import InputError, InputWarning

CLASSIFICATION, GENERATION, MASK = "Classification_Task", "Generation_Task", "Mask_Task"
WITH, WITHOUT = "Image_Textual", "Pure_Text"
SHORT = {WITH: "image", WITHOUT: "text"}
WHOLE = ("Full_Set", "ft_Data")
SHARE = "10"
FREE = {GENERATION: ("gen", "generation"), MASK: ("mask", "cloze")}
PAIR = re.compile(r"forget_(\d{1,2})")


@dataclass(frozen=True, slots=True)
class MllmuQuestion:
    """One question of a row. `part` names its place among the questions of a person."""

    part: str
    kind: str
    shown: bool
    prompt: Any
    answer: Any
    options: list[str] | None = None


Again = Mapping[tuple[str, str], MllmuQuestion]


def rows(source: Path, share: str = "") -> Iterator[SourceRow]:
    """The questions in our columns, person by person."""
    parts = [(source, None)] if source.is_file() else _parts(source, share)
    left_out = SkippedRows()
    again = {} if source.is_file() else _again(source)
    for file, split in parts:
        for row in some(reader(file), file):
            yield from _questions(row, split, again, left_out)
    for line in left_out.lines():
        warnings.warn(f"{source}: {line}", InputWarning, stacklevel=2)


def _questions(row: SourceRow, split: str | None, again: Again, left_out: SkippedRows) -> Iterator[SourceRow]:
    person = _person(row)
    found = list(_asked(row))
    name = _name(row.values.get("biography"))
    for q, ours in zip(found, sidecar.read(row, len(found)), strict=True):
        image = _picture(row) if q.shown else None
        if ours is not None:
            told = {"prompt": q.prompt, "answer": q.answer, "image": image}
            yield SourceRow(row.where, {**ours, **told, "options": q.options or ours.get("options")}, row.folder)
            continue
        if not _filled(q.prompt) or not _filled(q.answer):
            left_out.add("an empty question or answer", row)
            continue
        other = again.get((person, q.part))
        same = other is not None and other.answer == q.answer
        if other is not None and not same:
            left_out.add("a question of Test_Set with another answer", row)
        told = _told(q, name)
        yield SourceRow(
            row.where,
            {
                "id": f"{person}-{q.part}",
                "kind": q.kind,
                "path": [f"person:{person.replace('/', '-')}"],
                "subject": person,
                "split": split,
                "image": image,
                **told,
                "variants": [_variant(other)] if other is not None and same else [],
            },
            row.folder,
        )


def _told(q: MllmuQuestion, name: Any) -> dict[str, Any]:
    prompt = q.prompt if q.kind != "cloze" else re.sub("__+", BLANK, q.prompt)
    known = isinstance(name, str) and name and name in prompt
    return {
        "prompt": prompt,
        "answer": q.answer,
        "options": q.options,
        "identifiers": [name] if known else [],
        "task": "biography" if q.part == "bio" else q.kind,
    }


def _variant(q: MllmuQuestion) -> dict[str, Any]:
    told = _told(q, None)
    return {"prompt": told["prompt"], "answer": q.answer, "options": q.options}


def _asked(row: SourceRow) -> Iterator[MllmuQuestion]:
    """All questions of a row, in the order in which the extra column `record` describes them."""
    if row.values.get("question") is not None:
        yield MllmuQuestion("bio", "generation", True, row.values["question"], row.values.get("answer"))
    choice = any_object(row.values.get(CLASSIFICATION), CLASSIFICATION, row.where)
    for kind in SHORT:
        for k, item in enumerate(any_list(choice.get(f"{kind}_Questions") or [], CLASSIFICATION, row.where)):
            given = any_object(item, CLASSIFICATION, row.where)
            options = {k: v for k, v in any_object(given.get("Options"), "Options", row.where).items() if v is not None}
            letter = given.get("Correct_Answer")
            if letter not in options:
                raise InputError(
                    row.where,
                    f'Correct_Answer "{shortened(str(letter))}" is no option',
                    f"options are {', '.join(options) or 'missing'}",
                )
            yield MllmuQuestion(
                f"class-{SHORT[kind]}-{k}",
                "classification",
                kind == WITH,
                given.get("Question"),
                options[letter],
                list(options.values()),
            )
    for column, (short, kind) in FREE.items():
        for k, item in enumerate(any_list(row.values.get(column) or [], column, row.where)):
            given = any_object(item, column, row.where)
            if given.get("Type") not in (WITH, WITHOUT):
                raise InputError(
                    row.where,
                    f'unknown Type "{shortened(str(given.get("Type")))}" in {column}',
                    f"known: {WITH}, {WITHOUT}",
                )
            yield MllmuQuestion(
                f"{short}-{k}", kind, given["Type"] == WITH, given.get("Question"), given.get("Ground_Truth")
            )


def _again(source: Path) -> Again:
    """(person, part) → the same question in other words, from `Test_Set`."""
    return {
        (_person(row), q.part): q
        for file in sorted((source / "Test_Set").glob("*.parquet"))
        for row in parquet.read(file)
        for q in _asked(row)
        if q.part != "bio" and _filled(q.prompt) and _filled(q.answer)
    }


def _parts(source: Path, share: str) -> list[tuple[Path, str | None]]:
    """(file, split) of what is read."""
    shares = sorted(m[1] for folder in source.glob("forget_*") if (m := PAIR.fullmatch(folder.name)))
    if not share and shares:
        share = shares[0] if len(shares) == 1 else SHARE
    folders: list[tuple[str, str | None]] = []
    folders += [(name, None) for name in WHOLE if (source / name).is_dir()][:1]
    if share:
        folders = [(f"forget_{share}", "forget"), (f"retain_{100 - int(share)}", "retain")]
    if folders and (source / "Retain_Set").is_dir():
        folders.append(("Retain_Set", "utility"))
    found = []
    for name, split in folders:
        files = sorted((source / name).glob("*.parquet"))
        if not files:
            raise InputError(str(source / name), "holds no Parquet files", f'restore "{name}", or choose another share')
        found += [(file, split) for file in files]
    if not found:
        raise InputError(
            str(source),
            "holds no parts of MLLMU-Bench",
            "give the folder with forget_10 and retain_90, or with Full_Set",
        )
    return found


def _person(row: SourceRow) -> str:
    person = label({"ID": row.values.get("ID") or ""}, "ID", row.where)
    if not person:
        raise InputError(row.where, 'no "ID"', "restore it; it names the person")
    return person


def _picture(row: SourceRow) -> Any:
    """The picture under the name that the table gives it; the first one of several."""
    image = row.values.get("image") or next(iter(row.values.get("images") or []), None)
    if isinstance(image, Mapping) and not image.get("path"):
        return {**image, "path": row.values.get("Directory")}
    return image


def _name(biography: Any) -> Any:
    """The name in a profile that is an object or the JSON text of one."""
    with suppress(TypeError, ValueError, RecursionError):
        biography = biography if isinstance(biography, Mapping) else json.loads(biography)
    return biography.get("Name") if isinstance(biography, Mapping) else None


def _filled(text: Any) -> bool:
    return isinstance(text, str) and bool(text.strip())


def _fits(source: Path) -> bool:
    if source.is_file():
        return looks_so(source, {"ID", CLASSIFICATION, GENERATION})
    return any((source / name).is_dir() for name in WHOLE) or any(
        PAIR.fullmatch(f.name) and any(f.glob("*.parquet")) for f in source.glob("forget_*")
    )


LOADERS.add("mllmu", Loader(rows, _fits, fixed=True))
for _share in ("5", "10", "15"):
    LOADERS.add(f"mllmu-forget{_share}", Loader(partial(rows, share=_share), lambda source: False, fixed=True))

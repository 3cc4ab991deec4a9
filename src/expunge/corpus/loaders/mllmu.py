"""MLLMU-Bench: invented people with a face, a profile and questions with and without the picture (arXiv 2410.22108).

Reads the published folder (`forget_10/`, `retain_90/`, … with Parquet files), or one such file. Only the sides of the
chosen share are read, or, where there are none, `Full_Set` or `ft_Data` without splits; then `Retain_Set` (real
celebrities; split `utility`). `mllmu` takes the share 10, or the only one; `mllmu-forget5`, `-forget10` and
`-forget15` name it. A person is a subject: the scope is `subject:270` or `split=forget`.

Questions of `Test_Set` are variants of those at the same place of the same person that have the same answer; the
others are left out with a count. Its changed pictures are not read: a variant shows the picture of its record. `__`
becomes `[blank]`, as in the published evaluation.

Verified on code that uses the data, not on the data: names of folders and columns, keys of the questions, the picture
as {bytes, path}, `images` in Test_Set. Not verified: whether biography is text, JSON or an object (only a name is taken
from it), whether a person occurs in one row only, and that Test_Set keeps the order of questions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from expunge._io import load_json
from expunge.corpus.loaders import sidecar
from expunge.corpus.loaders.base import LOADERS, Loader, SkippedRows, SourceRow
from expunge.corpus.loaders.field_types import any_list, any_object, label, shorten
from expunge.corpus.loaders.tables import has_columns, read_parquet, read_table
from expunge.corpus.loaders.text_source import nonempty
from expunge.corpus.name_forms import occurs
from expunge.corpus.record import BLANK
from expunge.errors import InputError

CLASSIFICATION, GENERATION, MASK = "Classification_Task", "Generation_Task", "Mask_Task"
WITH, WITHOUT = "Image_Textual", "Pure_Text"
SHORT = {WITH: "image", WITHOUT: "text"}
WHOLE = ("Full_Set", "ft_Data")
SHARE = "10"
FREE = {GENERATION: ("gen", "generation"), MASK: ("mask", "cloze")}
PAIR = re.compile(r"forget_(\d{1,2})")


@dataclass(frozen=True, slots=True)
class MllmuQuestion:
    """One question of a row. `part` names its place among the questions of a person; `shown`: with the picture."""

    part: str
    kind: str
    shown: bool
    prompt: Any
    answer: Any
    options: list[str] | None = None


Rephrased = Mapping[tuple[str, str], MllmuQuestion]


def rows(source: Path, share: str = "") -> Iterator[SourceRow]:
    """The questions in our columns, person by person."""
    parts = [(source, None)] if source.is_file() else _parts(source, share)
    skipped = SkippedRows()
    rephrased = {} if source.is_file() else _rephrase(source)
    for file, split in parts:
        for row in nonempty(read_table, file):
            yield from _rows(row, split, rephrased, skipped)
    skipped.warn(source)


def _rows(row: SourceRow, split: str | None, rephrased: Rephrased, skipped: SkippedRows) -> Iterator[SourceRow]:
    person = _person(row)
    questions = list(_questions(row))
    name = _name(row.values.get("biography"))
    for q, fields in zip(questions, sidecar.read(row, len(questions)), strict=True):
        image = _image(row) if q.shown else None
        if fields is not None:
            options = q.options or fields.get("options")
            yield row.with_values(
                {**fields, "prompt": q.prompt, "answer": q.answer, "image": image, "options": options}
            )
            continue
        if not _fill(q.prompt) or not _fill(q.answer):
            skipped.add("an empty question or answer", row)
            continue
        other = rephrased.get((person, q.part))
        if other is not None and other.answer != q.answer:
            skipped.add("a question of Test_Set with another answer", row)
            other = None
        prompt = _prompt(q)
        yield row.with_values(
            {
                "id": f"{person}-{q.part}",
                "kind": q.kind,
                "path": [f"person:{person.replace('/', '-')}"],
                "subject": person,
                "split": split,
                "image": image,
                "prompt": prompt,
                "answer": q.answer,
                "options": q.options,
                "identifiers": [name] if isinstance(name, str) and name and occurs(name, prompt) else [],
                "task": "biography" if q.part == "bio" else q.kind,
                "variants": [{"prompt": _prompt(other), "answer": q.answer, "options": other.options}] if other else [],
            }
        )


def _prompt(q: MllmuQuestion) -> str:
    return q.prompt if q.kind != "cloze" else re.sub("__+", BLANK, q.prompt)


def _questions(row: SourceRow) -> Iterator[MllmuQuestion]:
    """All questions of a row, in the order in which the extra column `record` describes them."""
    values, where = row.values, row.where
    if values.get("question") is not None:
        yield MllmuQuestion("bio", "generation", True, values["question"], values.get("answer"))
    choice = any_object(values.get(CLASSIFICATION), CLASSIFICATION, where)
    for kind in SHORT:
        for k, value in enumerate(any_list(choice.get(f"{kind}_Questions") or [], CLASSIFICATION, where)):
            item = any_object(value, CLASSIFICATION, where)
            options = {k: v for k, v in any_object(item.get("Options"), "Options", where).items() if v is not None}
            letter = item.get("Correct_Answer")
            if letter not in options:
                what = f'Correct_Answer "{shorten(str(letter))}" is no option'
                raise InputError(where, what, f"options are {', '.join(options) or 'missing'}")
            part, texts = f"class-{SHORT[kind]}-{k}", list(options.values())
            yield MllmuQuestion(part, "classification", kind == WITH, item.get("Question"), options[letter], texts)
    for column, (short, kind) in FREE.items():
        for k, value in enumerate(any_list(values.get(column) or [], column, where)):
            item = any_object(value, column, where)
            type_ = item.get("Type")
            if type_ not in (WITH, WITHOUT):
                what = f'unknown Type "{shorten(str(type_))}" in {column}'
                raise InputError(where, what, f"known: {WITH}, {WITHOUT}")
            yield MllmuQuestion(f"{short}-{k}", kind, type_ == WITH, item.get("Question"), item.get("Ground_Truth"))


def _rephrase(source: Path) -> Rephrased:
    """(person, part) -> the same question in other words, from `Test_Set`."""
    return {
        (_person(row), q.part): q
        for file in sorted((source / "Test_Set").glob("*.parquet"))
        for row in read_parquet(file)
        for q in _questions(row)
        if q.part != "bio" and _fill(q.prompt) and _fill(q.answer)
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
    parts = []
    for name, split in folders:
        files = sorted((source / name).glob("*.parquet"))
        if not files:
            raise InputError(str(source / name), "holds no Parquet files", f'restore "{name}", or choose another share')
        parts += [(file, split) for file in files]
    if not parts:
        hint = "give the folder with forget_10 and retain_90, or with Full_Set"
        raise InputError(str(source), "holds no parts of MLLMU-Bench", hint)
    return parts


def _person(row: SourceRow) -> str:
    person = label({"ID": row.values.get("ID") or ""}, "ID", row.where)
    if not person:
        raise InputError(row.where, 'no "ID"', "restore it; it names the person")
    return person


def _image(row: SourceRow) -> Any:
    """The picture under the name that the table gives it; the first one of several."""
    image = row.values.get("image") or next(iter(row.values.get("images") or []), None)
    if isinstance(image, Mapping) and not image.get("path"):
        return {**image, "path": row.values.get("Directory")}
    return image


def _name(biography: Any) -> Any:
    """The name in a profile that is an object or the JSON text of one."""
    with suppress(TypeError, ValueError):
        biography = biography if isinstance(biography, Mapping) else load_json(biography)
    return biography.get("Name") if isinstance(biography, Mapping) else None


def _fill(text: Any) -> bool:
    return isinstance(text, str) and bool(text.strip())


def _fits(source: Path) -> bool:
    if source.is_file():
        return has_columns(source, {"ID", CLASSIFICATION, GENERATION})
    return any((source / name).is_dir() for name in WHOLE) or any(
        PAIR.fullmatch(f.name) and any(f.glob("*.parquet")) for f in source.glob("forget_*")
    )


LOADERS.add("mllmu", Loader(rows, _fits, fixed=True))
for _share in ("5", "10", "15"):
    LOADERS.add(f"mllmu-forget{_share}", Loader(partial(rows, share=_share), lambda source: False, fixed=True))

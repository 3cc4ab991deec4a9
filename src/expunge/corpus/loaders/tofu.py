"""TOFU: 200 fictitious authors, 20 questions each, in a folder of JSON lines (or Parquet) files.

The author of a row is its number in `full` divided by 20; no text says so reliably. `tofu` (the same as
`tofu-forget10`), `tofu-forget05` and `tofu-forget01` name the last 20, 10 and 2 authors as the forget set;
`tofu-privacy` is `tofu` with authors 160-179 never trained (our choice, for membership tests). A variant asks the
paraphrased question but keeps the trained answer; the paraphrased and the wrong answers are attributes, for the truth
ratio.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from expunge._printable import pluralize
from expunge.corpus.loaders.base import LOADERS, Loader, SourceRow
from expunge.corpus.loaders.tables import read_table
from expunge.corpus.loaders.text_source import nonempty
from expunge.errors import InputError

PER_AUTHOR = 20
FORGET = {"01": "99", "05": "95", "10": "90"}  # forgetXX → retainYY
PRIVATE = range(160, 180)
SUFFIXES = (".json", ".jsonl", ".parquet")
UTILITY = ("real_authors", "world_facts")
EXTRA = ("paraphrased_answer", "perturbed_answer")


def rows(source: Path, forget: str = "10", held_out: range = range(0)) -> Iterator[SourceRow]:
    """The rows of `full` (or of retainYY and forgetXX), then of the utility sets, in our columns."""
    full, first = _full(source, forget)
    extra = _perturb(source, full, {"retain_perturbed": 0, f"forget{forget}_perturbed": first})
    for number, row in enumerate(full):
        author = number // PER_AUTHOR
        more = extra.get(number, {})
        question = more.get("paraphrased_question")
        yield row.with_values(
            {
                "id": f"author-{author:03d}-row-{number:04d}",
                "prompt": row.values.get("question"),
                "answer": row.values.get("answer"),
                "kind": "generation",
                "path": [f"author:{author:03d}"],
                "subject": f"author-{author:03d}",
                "variants": [question] if question else [],
                "split": "forget" if number >= first else "holdout" if author in held_out else "retain",
                **{name: more.get(name) for name in EXTRA},
            }
        )
    for name in UTILITY:
        yield from _utility(source, name)


def _full(source: Path, forget: str) -> tuple[list[SourceRow], int]:
    """All trained rows in the order of `full`, and the number of the first one to forget."""
    if not source.is_dir():
        raise InputError(str(source), "TOFU is read as a folder", "give the folder that holds full.json")
    name = f"forget{forget}"
    last = _read(source, name)
    full = _read(source, "full") if _file(source, "full") else _read(source, f"retain{FORGET[forget]}") + last
    first = len(full) - len(last)
    for a, b in zip(full[first:], last, strict=True):
        _same(a, b)
    if first % PER_AUTHOR or not first:
        hint = "restore the original files; the row order names the author"
        raise InputError(str(source), f"{pluralize(first, 'row')} before {name}, no multiple of {PER_AUTHOR}", hint)
    return full, first


def _perturb(source: Path, full: list[SourceRow], parts: Mapping[str, int]) -> dict[int, Mapping[str, Any]]:
    """Row number -> columns of the perturbed files; `parts`: file -> number of its first row. Files may be absent."""
    table: dict[int, Mapping[str, Any]] = {}
    for name, start in parts.items():
        for offset, row in enumerate(_read(source, name) if _file(source, name) else []):
            if start + offset >= len(full):
                raise InputError(row.where, f"{name} has more rows than there are questions", "restore the file")
            _same(full[start + offset], row)
            table[start + offset] = row.values
    return table


def _utility(source: Path, name: str) -> Iterator[SourceRow]:
    """General questions with options (those of the perturbed file, sorted, if there is no plain file)."""
    file = next((n for n in (name, f"{name}_perturbed") if _file(source, n)), None)
    for number, row in enumerate(_read(source, file) if file else []):
        values = row.values
        options = [values[f"option{k}"] for k in range(1, 5) if values.get(f"option{k}")]
        options = options or sorted([str(values.get("answer")), *(values.get("perturbed_answer") or [])])
        texts = {"prompt": values.get("question"), "answer": values.get("answer"), "options": options}
        yield row.with_values({"id": f"{name}-{number:03d}", **texts, "split": "utility", "set": name})


def _same(a: SourceRow, b: SourceRow) -> None:
    if any(a.values.get(name) != b.values.get(name) for name in ("question", "answer")):
        hint = "the files must be aligned row by row; restore the originals"
        raise InputError(b.where, f"is not the same question and answer as {a.where}", hint)


def _file(source: Path, name: str) -> Path | None:
    return next((source / (name + s) for s in SUFFIXES if (source / (name + s)).is_file()), None)


def _read(source: Path, name: str) -> list[SourceRow]:
    file = _file(source, name)
    if file is None:
        raise InputError(str(source), f'has no file "{name}"', f"add {name}.json of TOFU")
    return list(nonempty(read_table, file))


def _fits(source: Path) -> bool:
    return source.is_dir() and any(
        _file(source, f"forget{x}") and (_file(source, "full") or _file(source, f"retain{y}"))
        for x, y in FORGET.items()
    )


LOADERS.add("tofu", Loader(rows, _fits, fixed=True))
for _part in FORGET:
    LOADERS.add(f"tofu-forget{_part}", Loader(partial(rows, forget=_part), lambda source: False, fixed=True))
LOADERS.add("tofu-privacy", Loader(partial(rows, held_out=PRIVATE), lambda source: False, fixed=True))

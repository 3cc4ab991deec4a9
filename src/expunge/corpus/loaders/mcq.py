"""Sets of multiple-choice questions on topics (MedMCQA, MHQA): what their loaders share.

The questions of a topic are to be forgotten (concept level L4), the others stay; the role of a row is drawn from its id
(`ROLES`). A file is read more than once and nothing of it stays in memory, because three things depend on the whole
file: the column of the answer, whether answers count from 0 or 1, and which questions stand under two topics.

memorised: the model is trained on every row but the held-out ones. Role `eval` is trained; a benchmark that forms its
    own sets keeps it from the method. A scope such as `topic:Surgery` does not know roles.
knowledge: the model exists and is not trained. Roles `eval` and `holdout` get the split `holdout`, so that no method
    is given them.
explained: as memorised, but what is taught is a text: the right option and the explanation behind it. The options are
    asked in variants, listed in other orders than the file's, so that no place of an option is taught.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Literal

from expunge.corpus.loaders.base import SkippedRows, SourceRow
from expunge.corpus.loaders.field_types import text
from expunge.corpus.loaders.tables import read_table
from expunge.corpus.loaders.text_source import nonempty
from expunge.corpus.record import content_id
from expunge.errors import InputError
from expunge.random import stream, uniform

Setting = Literal["memorised", "knowledge", "explained"]
ORDERS = 2  # in which the options of an explained question are listed
ROW_LENGTH = 340  # characters of a question with its explained answer, about 96 tokens
ROLES = (("train", 0.6), ("eval", 0.8), ("holdout", 1.0))  # each up to this draw
REFERS_TO_OPTIONS = re.compile(
    r"\babove\b|\bboth\b|\b(all|none|any|either) of\b|^\W*(all|none|any)\W*$|\boptions?\b"
    r"|\b[a-d]\s*(and|&|,)\s*[a-d]\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class MCQuestion:
    """A usable row.

    Attributes:
        texts: The question, then its options.
        index: Place of the answer among the options, from 0.
        subject: Its role is drawn from this name.
        explanation: Why the answer is right; empty where the file does not say.
    """

    row: SourceRow
    id: str
    subject: str
    texts: tuple[str, ...]
    index: int
    topic: str
    concept: str
    attributes: Mapping[str, Any]
    explanation: str = ""

    @property
    def forget(self) -> bool:
        return self.concept == "L4"

    @property
    def options(self) -> tuple[str, ...]:
        return self.texts[1:]

    @property
    def answer(self) -> str:
        return self.options[self.index]

    @property
    def fixed(self) -> bool:
        """Does an option refer to the place of others?"""
        return any(REFERS_TO_OPTIONS.search(option) for option in self.options)

    @property
    def key(self) -> str:
        """Equal for the same question with the same answer."""
        return content_id(self.texts[0], self.answer)


Parse = Callable[[SkippedRows], Iterator[MCQuestion]]


def role(salt: str, subject: str) -> str:
    """train, eval or holdout (60, 20 and 20 of 100), from the id alone."""
    draw = uniform(salt, subject)
    return next(name for name, below in ROLES if draw < below)


def number(value: Any) -> int | None:
    """A whole number, also as `3.0` or as text (data frames write both), else None."""
    try:
        as_float = None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(as_float) if as_float is not None and as_float.is_integer() else None


def survey(file: Path, required: tuple[str, ...], counted: str = "") -> tuple[set[str], dict[int, str]]:
    """(columns that hold something in any row, number in column `counted` -> its first place).

    `InputError` for a file without rows, and for a required column that is empty throughout.
    """
    filled: set[str] = set()
    numbers: dict[int, str] = {}
    for row in nonempty(read_table, file):
        filled |= {name for name, value in row.values.items() if not _is_blank(value)}
        if (value := number(row.values.get(counted))) is not None:
            numbers.setdefault(value, row.where)
    for name in required:
        if name not in filled:
            raise InputError(str(file), f'no row has anything in column "{name}"', f"needed: {', '.join(required)}")
    return filled, numbers


def texts(row: SourceRow, columns: tuple[str, ...]) -> tuple[str, ...] | None:
    """The texts in these columns, None if one is empty; `InputError` for a number or a list."""
    if any(_is_blank(row.values.get(name)) for name in columns):
        return None
    return tuple(text(row.values, name, row.where) for name in columns)


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def as_rows(file: Path, parse: Parse, salt: str, setting: Setting) -> Iterator[SourceRow]:
    """The questions in our columns. Warns (`InputWarning`) how many rows were left out and why.

    Also left out: a retain question that stands under a forgotten topic too, and a held-out one that stands in a
    trained row too. `InputError` if nothing is left.
    """
    forgotten: set[str] = set()
    trained: set[str] = set()
    for q in parse(SkippedRows()):
        if q.forget:
            forgotten.add(q.key)
        if _split(q, salt, setting) != "holdout":
            trained.add(q.key)
    skipped, empty = SkippedRows(), True
    for q in parse(skipped):
        split = _split(q, salt, setting)
        if q.key in forgotten and not q.forget:
            skipped.add("the same question and answer is to be forgotten elsewhere", q.row)
        elif q.key in trained and split == "holdout":
            skipped.add("held out, but taught in another row", q.row)
        else:
            empty = False
            yield q.row.with_values(_values(q, split, salt, setting))
    if empty:
        raise InputError(str(file), "no row can be used", "; ".join(skipped.lines()))
    skipped.warn(file)


def _values(q: MCQuestion, split: str, salt: str, setting: Setting) -> dict[str, Any]:
    return {
        "id": q.id,
        **(_explained(q, salt) if setting == "explained" else _chosen(q)),
        "path": [f"topic:{q.topic.replace('/', '-')}"],
        "subject": q.subject,
        "concept": q.concept,
        "split": split,
        "topic": q.topic,
        "role": role(salt, q.subject),
        "setting": setting,
        "letter": "ABCD"[q.index],
        "fixed_options": q.fixed or None,
        **q.attributes,
    }


def _split(q: MCQuestion, salt: str, setting: Setting) -> str:
    part = role(salt, q.subject)
    if part == "holdout" or (setting == "knowledge" and part == "eval"):
        return "holdout"
    return "forget" if q.forget else "retain"


def _chosen(q: MCQuestion) -> dict[str, Any]:
    return {"prompt": q.texts[0], "answer": q.answer, "options": list(q.options), "kind": "classification"}


def _explained(q: MCQuestion, salt: str) -> dict[str, Any]:
    """The question with its answer as text, and the options in variants; one where their order is fixed."""
    return {
        "prompt": q.texts[0],
        "answer": explained(q.answer, q.explanation, ROW_LENGTH - len(q.texts[0])),
        "kind": "generation",
        "explained": bool(q.explanation) or None,
        "variants": [
            {"prompt": f"{q.texts[0]} {options_text(order)}", "answer": q.answer, "options": list(order)}
            for order in orders(q, salt)
        ],
    }


def explained(answer: str, explanation: str, most: int) -> str:
    """The answer and as much of its explanation as fits into `most` characters, cut behind a sentence or a word."""
    first = answer.rstrip(" .")
    rest = " ".join(explanation.split())
    room = most - len(first) - 2
    if len(rest) > room:
        rest = rest[: max(0, room) + 1]  # with what shows whether a word ends here
        ends = [m.end() for m in re.finditer(r"[.;!?](?=\s)", rest)]
        rest = rest[: ends[-1]] if ends and ends[-1] > room // 2 else rest.rpartition(" ")[0]
    return f"{first}. {rest}" if rest else answer


def orders(q: MCQuestion, salt: str) -> list[tuple[str, ...]]:
    """`ORDERS` orders of the options, drawn by the id, none of them the file's; that alone where it is fixed."""
    if q.fixed or len(set(q.options)) < 2:
        return [q.options]
    rng = stream(0, salt, "orders", q.id)
    drawn = dict.fromkeys(tuple(q.options[int(k)] for k in rng.permutation(len(q.options))) for _ in range(64))
    return [order for order in drawn if order != q.options][:ORDERS]


def options_text(options: tuple[str, ...]) -> str:
    """`A) x B) y C) z D) w`."""
    return " ".join(f"{letter}) {option}" for letter, option in zip(ascii_uppercase, options, strict=False))

"""MHQA: mental health questions with four options, made from PubMed abstracts; Anxiety, Depression and Trauma go.

Reads one file (CSV, Parquet, JSON lines) of the gold set, or of MHQA-B, which names the answer columns otherwise and
writes the number as `3.0`. Scopes name topics: `topic:Anxiety`. `id` is that of the abstract and repeats, so it is the
subject, and a second question of it gets the record id `<id>-2`. A row whose answer text contradicts its number is left
out: what was trained is unknown. Letter case and a stray mark at the end (`>`) are no contradiction. `mhqa-knowledge`
keeps the `eval` rows from every method too; see `mcq.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from expunge.corpus.loaders.base import LOADERS, Loader, SkippedRows, SourceRow
from expunge.corpus.loaders.field_types import label
from expunge.corpus.loaders.mcq import MCQuestion, Setting, as_rows, number, survey, texts
from expunge.corpus.loaders.tables import has_columns, read_table
from expunge.errors import InputError, unknown

SALT = "expunge-mhqa-v1"
OPTIONS = ("option1", "option2", "option3", "option4")
TEXTS = ("question", *OPTIONS)
NUMBERS = {"correct_option_number": "correct_option", "correct_option_num": "correct_answer"}  # gold set, MHQA-B
FORGET = ("Anxiety", "Depression", "Trauma")
LEVEL = {**dict.fromkeys(FORGET, "L4"), "Obsessive/Compulsive Disorders": "L3"}
INVALID = ("false", "0", "0.0", "no")
STRAY = " .,;:>"


def rows(source: Path, setting: Setting = "memorised") -> Iterator[SourceRow]:
    """The questions of a file in our columns."""
    filled, _ = survey(source, ("id", "topic", *TEXTS))
    column = next((name for name in NUMBERS if name in filled), None)
    if column is None:
        hint = f"needed: column {' or '.join(NUMBERS)}, counted from 1"
        raise InputError(str(source), "no row has the number of its answer", hint)
    yield from as_rows(source, partial(_questions, source, column), SALT, setting)


def _questions(source: Path, column: str, skipped: SkippedRows) -> Iterator[MCQuestion]:
    times: Counter[str] = Counter()
    for row in read_table(source):
        values = row.values
        answer, answer_text, parts = number(values.get(column)), values.get(NUMBERS[column]), texts(row, TEXTS)
        if str(values.get("valid_question", "")).strip().casefold() in INVALID:
            skipped.add("marked as no valid question", row)
        elif answer is None or not 1 <= answer <= len(OPTIONS):
            skipped.add(f"no valid answer ({column} 1 to 4)", row)
        elif parts is None:
            skipped.add("an empty question or option", row)
        elif answer_text is not None and _plain(answer_text) != _plain(parts[answer]):
            skipped.add(f"{NUMBERS[column]} is not the option that {column} names", row)
        else:
            topic = label(values, "topic", row.where).strip()
            if topic not in LEVEL:
                raise unknown("topic", topic, LEVEL, row.where)
            subject = label(values, "id", row.where)
            if not subject:
                raise InputError(row.where, 'no "id"', "restore the PubMed id; roles are drawn from it")
            times[subject] += 1
            name = subject if times[subject] == 1 else f"{subject}-{times[subject]}"
            more = {"neighbour": topic not in FORGET or None, "type": values.get("type")}
            yield MCQuestion(row, name, subject, parts, answer - 1, topic, LEVEL[topic], more)


def _plain(answer: object) -> str:
    """Without letter case, repeated blanks and stray marks at the end."""
    return " ".join(str(answer).casefold().split()).rstrip(STRAY)


def _fits(source: Path) -> bool:
    return has_columns(source, {*TEXTS, "topic"})


LOADERS.add("mhqa", Loader(rows, _fits, fixed=True))
LOADERS.add("mhqa-knowledge", Loader(partial(rows, setting="knowledge"), lambda source: False, fixed=True))

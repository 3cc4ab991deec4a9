"""MHQA: mental health questions with four options, made from PubMed abstracts; Anxiety, Depression and Trauma go.

Reads one file (CSV, Parquet, newline-delimited JSON) of the gold set, or of MHQA-B, which names the answer columns
otherwise and writes the number as `3.0`. Scopes name topics: `topic:Anxiety`. Surprising: `id` is that of the
abstract and repeats, so it is the subject, and a second question of it gets the record id `<id>-2`. Where the text
of the answer contradicts its number, nobody can say what was taught, so the row is neither taught nor scored; letter
case and a stray mark at the end (`>`) are no contradiction. `mhqa-knowledge` keeps the `eval` rows from every method
too; see `questions.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from expunge.corpus.loaders.base import LOADERS, Loader, SourceRow
from expunge.corpus.loaders.field_types import label
from expunge.corpus.loaders.mcq import MCQuestion, SkippedRows, as_rows, looks_so, number, reader, survey, texts
from expunge.errors import InputError, unknown

SALT = "expunge-mhqa-v1"
OPTIONS = ("option1", "option2", "option3", "option4")
TEXTS = ("question", *OPTIONS)
NUMBERS = {"correct_option_number": "correct_option", "correct_option_num": "correct_answer"}  # gold set, MHQA-B
FORGET = ("Anxiety", "Depression", "Trauma")
LEVEL = {**dict.fromkeys(FORGET, "L4"), "Obsessive/Compulsive Disorders": "L3"}
NO = ("false", "0", "0.0", "no")
STRAY = " .,;:>"


def rows(source: Path, knowledge: bool = False) -> Iterator[SourceRow]:
    """The questions of a file in our columns."""
    filled, _ = survey(source, ("id", "topic", *TEXTS))
    answered = next((name for name in NUMBERS if name in filled), None)
    if answered is None:
        raise InputError(
            str(source), "no row has the number of its answer", f"needed: column {' or '.join(NUMBERS)}, counted from 1"
        )
    yield from as_rows(source, partial(_questions, source, answered), SALT, knowledge)


def _questions(source: Path, answered: str, left_out: SkippedRows) -> Iterator[MCQuestion]:
    seen: Counter[str] = Counter()
    for row in reader(source)(source):
        values = row.values
        answer, told, said = number(values.get(answered)), values.get(NUMBERS[answered]), texts(row, TEXTS)
        if str(values.get("valid_question", "")).strip().casefold() in NO:
            left_out.add("marked as no valid question", row)
        elif answer is None or not 1 <= answer <= len(OPTIONS):
            left_out.add(f"no valid answer ({answered} 1 to 4)", row)
        elif said is None:
            left_out.add("an empty question or option", row)
        elif told is not None and _plain(told) != _plain(said[answer]):
            left_out.add(f"{NUMBERS[answered]} is not the option that {answered} names", row)
        else:
            topic = label(values, "topic", row.where).strip()
            if topic not in LEVEL:
                raise unknown("topic", topic, LEVEL, row.where)
            subject = label(values, "id", row.where)
            if not subject:
                raise InputError(row.where, 'no "id"', "restore the PubMed id; roles are drawn from it")
            seen[subject] += 1
            name = subject if seen[subject] == 1 else f"{subject}-{seen[subject]}"
            yield MCQuestion(
                row,
                name,
                subject,
                said,
                answer - 1,
                topic,
                LEVEL[topic],
                topic in FORGET,
                {"neighbour": topic not in FORGET or None, "type": values.get("type")},
            )


def _plain(answer: object) -> str:
    """Without letter case, repeated blanks and stray marks at the end."""
    return " ".join(str(answer).casefold().split()).rstrip(STRAY)


def _fits(source: Path) -> bool:
    return looks_so(source, {*TEXTS, "topic"})


LOADERS.add("mhqa", Loader(rows, _fits, fixed=True))
LOADERS.add("mhqa-knowledge", Loader(partial(rows, knowledge=True), lambda source: False, fixed=True))

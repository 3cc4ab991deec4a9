"""From rows to records: the one place where values are checked. The first bad row ends the load.

Texts are never stripped or normalized, because a model was trained on them as they stand.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from expunge._io import canonical
from expunge._printable import abbreviate, pluralize
from expunge.corpus.duplicates import PlaceList
from expunge.corpus.loaders.base import SourceRow
from expunge.corpus.loaders.columns import Columns
from expunge.corpus.loaders.field_types import (
    MAX_TEXT,
    any_list,
    choice,
    label,
    shorten,
    sound,
    strings,
    text,
    type_name,
)
from expunge.corpus.loaders.identifier_check import IdentifierCheck, as_written
from expunge.corpus.loaders.images import ImageReader
from expunge.corpus.record import (
    BLANK,
    DEFAULT_TREE_LEVELS,
    KINDS,
    LEVELS,
    ROLES,
    Kind,
    Record,
    Turn,
    Variant,
    content_id,
)
from expunge.corpus.record_store import materialize
from expunge.errors import InputError, nearest

Fields = Mapping[str, Any]
SPLITS: tuple[str, ...] = ("forget", "retain", "holdout", "utility", "control")
TEXTS = ("completion", "document")  # kinds that may have an empty prompt
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # as canonical JSON writes it
PERSON_LEVEL = DEFAULT_TREE_LEVELS[1]
AS_OPTION = "write it letter by letter as the option is written"  # no message quotes an answer


class SubjectRegistry:
    """Fills empty subjects: the patient node (its full path where two patients share a name), the conversation, the id.

    Attributes:
        origins: "column", "tree", "conversation" or "id" -> records whose subject comes from there.
    """

    def __init__(self) -> None:
        self.origins: Counter[str] = Counter()
        self._paths: dict[str, tuple[str, ...]] = {}
        self._shared: set[str] = set()

    def add(self, record: Record) -> None:
        person = _person(record.path)
        origin = "tree" if person else "conversation" if _conversation(record) else "id"
        self.origins["column" if record.subject else origin] += 1
        if person and self._paths.setdefault(person[-1], person) != person:
            self._shared.add(person[-1])

    def fill(self, records: Sequence[Record]) -> Sequence[Record]:
        """`records`, all of which were added, with a subject each."""
        if self.origins["column"] == self.origins.total():
            return records
        return materialize(r if r.subject else replace(r, subject=self._subject(r)) for r in records)

    def _subject(self, record: Record) -> str:
        person = _person(record.path)
        if not person:
            return _conversation(record) or record.id
        return "/".join(person) if person[-1] in self._shared else person[-1]


def _person(path: tuple[str, ...]) -> tuple[str, ...]:
    """The part of a path down to its patient node, or ()."""
    return next((path[:k] for k, node in enumerate(path, 1) if node.startswith(f"{PERSON_LEVEL}:")), ())


def _conversation(record: Record) -> str:
    """The conversation of which the record is one answer, or ""."""
    name = record.attributes.get("conversation")
    return name if isinstance(name, str) else ""


def validated_records(
    rows: Iterable[SourceRow],
    columns: Columns,
    places: PlaceList,
    subjects: SubjectRegistry,
    names: IdentifierCheck | None = None,
) -> Iterator[Record]:
    """The record of each row, its place in `places`; subjects may still be empty. `InputError` at the first bad row."""
    images, names = ImageReader(), names or IdentifierCheck()
    for row in rows:
        fields, attributes = columns.sort(row)
        record = _record(row, fields, attributes, columns, images)
        places.append(row.where)
        subjects.add(record)
        names.add(record, row.where)
        yield record


def _record(
    row: SourceRow, fields: Fields, attributes: dict[str, Any], columns: Columns, images: ImageReader
) -> Record:
    where = row.where
    options = strings(fields, "options", where)
    if fields.get("options") is not None and not 2 <= len(options) <= 26:
        raise InputError(where, f'"options" holds {pluralize(len(options), "text")}', "give 2 to 26")
    kind = choice(fields, "kind", KINDS, where)
    history = _history(fields, where)
    if "text" in fields:
        if "prompt" in fields or "answer" in fields:
            raise InputError(where, '"text" stands beside "prompt" or "answer"', "give either text, or both others")
        prompt, answer, kind = "", text(fields, "text", where), kind or "document"
    else:
        answer = _answer(row, fields, options, columns)
        if "prompt" not in fields and kind not in TEXTS:
            raise columns.absent("prompt", row)
        prompt = text(fields, "prompt", where) if "prompt" in fields else ""
    if not answer.strip():
        raise InputError(where, "the answer is empty", "fill it in, or remove the row")
    if not prompt.strip() and kind not in TEXTS:
        raise InputError(where, "the prompt is empty", 'fill it in, or give a plain document as "text"')
    if kind == "document" and (options or history):
        raise InputError(where, "a document has neither options nor history", "remove them, or give a prompt")
    if options and answer not in options:
        raise InputError(where, f"the answer is not among the {len(options)} options", AS_OPTION)
    kind = kind or ("classification" if options else "cloze" if BLANK in prompt else "generation")
    if kind == "classification" and not options:
        raise InputError(where, "a classification without options", 'add "options", or change the kind')
    image = images.of(row, fields.get("image"))
    texts = (prompt, *(turn.content for turn in history), *([answer] if kind == "document" else []))
    return Record(
        id=label(fields, "id", where) or content_id(prompt, answer, image.digest if image else None, history),
        prompt=prompt,
        answer=answer,
        kind=cast(Kind, kind),
        options=options,
        path=_path(fields, where),
        subject=label(fields, "subject", where),
        identifiers=as_written(strings(fields, "identifiers", where), texts),
        facts=strings(fields, "facts", where),
        variants=_variants(fields, answer, options, where),
        concept=choice(fields, "concept", LEVELS, where),
        split=choice(fields, "split", SPLITS, where),
        image=image,
        attributes=_check(attributes, where),
        history=history,
    )


def _history(fields: Fields, where: str) -> tuple[Turn, ...]:
    """The turns before the prompt."""
    turns = []
    for item in any_list(fields.get("history") or [], "history", where):
        if not isinstance(item, Mapping) or item.keys() != {"role", "content"}:
            raise InputError(where, '"history" must hold turns', 'write [{"role": "user", "content": "…"}, …]')
        role = item["role"]
        if role not in ROLES:
            raise InputError(where, f'unknown role "{shorten(str(role))}"', nearest(str(role), ROLES))
        turns.append(Turn(role, text(item, "content", where)))
    return tuple(turns)


def _answer(row: SourceRow, fields: Fields, options: tuple[str, ...], columns: Columns) -> str:
    where, index = row.where, fields.get("answer_index")
    if index is None:
        if "answer" not in fields:
            raise columns.absent("text" if columns.has("text", row) else "answer", row)
        return text(fields, "answer", where)
    if isinstance(index, str) and index.isdecimal():
        index = int(index)
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(options):
        raise InputError(where, f'"answer_index" is {abbreviate(index)} for {len(options)} options', "count from 0")
    if "answer" in fields and text(fields, "answer", where) != options[index]:
        raise InputError(where, '"answer" and "answer_index" disagree', "keep one of them")
    return options[index]


def _path(fields: Fields, where: str) -> tuple[str, ...]:
    """`level:name` nodes; plain names get the default level names in order."""
    value = fields.get("path") or []
    if isinstance(value, str) and not value.startswith("["):
        value = value.split("/")
    parts = any_list(value, "path", where)
    nodes = []
    for depth, part in enumerate(parts):
        level, colon, name = part.partition(":") if isinstance(part, str) else ("", "", "")
        if not colon and depth < len(DEFAULT_TREE_LEVELS):
            level, name = DEFAULT_TREE_LEVELS[depth], level
        if not level or not name or "/" in part:
            hint = "write level:name, joined by /, for example institution:H1/patient:P-0012"
            raise InputError(where, f'"{part}" is not a place in the tree', hint)
        nodes.append(f"{level}:{sound(name, 'path', where)}")
    return tuple(nodes)


def _variants(fields: Fields, answer: str, options: tuple[str, ...], where: str) -> tuple[Variant, ...]:
    """Rephrasings: a text (same answer), a pair (prompt, answer), or an object with a prompt."""
    variants = []
    for item in any_list(fields.get("variants", []), "variants", where, "\n"):
        row = {"prompt": item} if isinstance(item, str) else item
        if isinstance(item, list) and len(item) == 2:
            row = {"prompt": item[0], "answer": item[1]}
        if not isinstance(row, dict) or not {"prompt"} <= row.keys() <= {"prompt", "answer", "options"}:
            what = "a variant is neither a text nor a pair nor an object with a prompt"
            hint = 'write "Who …?", ["Who …?", "Ada"] or {"prompt": "Who …?", "answer": "Ada"}'
            raise InputError(where, what, hint)
        own = {name: value for name, value in row.items() if value is not None}
        variant = Variant(
            text(own, "prompt", where), text({"answer": answer} | own, "answer", where), strings(own, "options", where)
        )
        if not variant.prompt.strip() or not variant.answer.strip():
            raise InputError(where, "a variant has an empty prompt or answer", "fill it in, or remove the variant")
        choices = variant.options or options
        if choices and variant.answer not in choices:
            raise InputError(where, f"the answer of a variant is none of the {len(choices)} options", AS_OPTION)
        variants.append(variant)
    return tuple(variants)


def _check(attributes: dict[str, Any], where: str) -> dict[str, Any]:
    """Attributes must survive a trip through JSON, or the corpus would have no digest; all together have a bound."""
    total = 0
    for name, value in attributes.items():
        try:
            written = canonical({name: value})
        except UnicodeEncodeError as error:
            what = f'"{shorten(name)}" holds half a surrogate pair'
            raise InputError(where, what, "write the file again as UTF-8") from error
        except (TypeError, ValueError, RecursionError) as error:
            what = f'"{shorten(name)}" holds {type_name(value)}, not fit for JSON'
            raise InputError(where, what, "write it as text, or drop the column") from error
        if NUL.search(written):
            raise InputError(where, f'"{shorten(name)}" holds a NUL character', "take it out, or drop the column")
        total += len(written)
        if total > MAX_TEXT:
            what = f'attributes up to "{shorten(name)}" hold {total:,} bytes, more than {MAX_TEXT:,}'
            raise InputError(where, what, "drop columns that are no part of a record")
    return attributes

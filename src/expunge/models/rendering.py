"""A digest of the token ids that a tokenizer and a prompt template make of the records of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from expunge.corpus import Record
from expunge.corpus.record_store import by_id, digest_each, ids, take
from expunge.errors import InputError
from expunge.models.documents import split_documents
from expunge.models.prompt_template import PromptTemplate
from expunge.random import uniform

RETAINED = 256  # retain records that are rendered: a template that changed shows in any of them


def rendered_digest(template: PromptTemplate, forget: Sequence[Record], retain: Sequence[Record]) -> str:
    """SHA-256 over prompt and answer ids of all forget records and of some retain records, chosen by their ids.

    Images are left out, and records that do not fit the model's context.
    """
    names = ids(retain)
    chosen = sorted(range(len(names)), key=lambda k: (uniform("rendered", names[k]), names[k]))[:RETAINED]
    return digest_each(
        row for records in (forget, take(retain, chosen)) for r in by_id(records) for row in _rows(template, r)
    )


def _rows(template: PromptTemplate, record: Record) -> Iterator[Any]:
    try:
        items = template.encode_all(split_documents([replace(record, image=None, variants=())], template))
    except InputError:
        return
    for item in items:
        yield [item.id, list(item.prompt), list(item.answer)]

"""The questions of a run: what is forgotten and what is retained, by each modality, format and conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from expunge.corpus import Record
from expunge.corpus.conversations import Conversations
from expunge.corpus.formats import FormatChoice
from expunge.corpus.modalities import modality_variants
from expunge.corpus.record_store import take
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.errors import InputError
from expunge.models.documents import WINDOW_OF, split_documents
from expunge.models.prompt_template import PromptTemplate
from expunge.random import stream

ROOM = 16  # tokens that a question behind a conversation leaves for a name longer than its own


def run_questions(
    resolved: ResolvedRecipe, forget: Sequence[Record], retain: Sequence[Record], template: PromptTemplate
) -> tuple[list[Record], list[Record]]:
    """The questions of a run about `forget`, and the retained records that its batches draw from.

    Both are also asked in the recipe's `formats`, as far as the model's context holds them: equal questions in equal
    formats, so that a format is never asked about the forgotten alone; and at the end of its `conversations`. A private
    run draws from no pool.

    Raises:
        InputError: a record is too long, or a private run has a document to forget.
    """
    questions = forget_questions(resolved, forget, template)
    pool = [] if resolved.recipe.privacy else retain_pool(template, resolved, retain)
    recipe = resolved.recipe

    def leaves_room(record: Record) -> bool:
        return _fits(template, record, ROOM)

    choice = FormatChoice.of([*questions, *pool], recipe.formats, lambda record: _fits(template, record))
    talks = Conversations.of(pool if recipe.conversations else ())
    forget_rows, retain_rows = (
        [*choice.apply(side), *talks.variants(side, recipe.conversations, leaves_room)] for side in (questions, pool)
    )
    return forget_rows, retain_rows


def forget_questions(resolved: ResolvedRecipe, forget: Sequence[Record], template: PromptTemplate) -> list[Record]:
    """The questions of a run about `forget`: by each modality, with the levels that the recipe's hierarchy gives.

    Documents become windows.

    Raises:
        InputError: a private run has a document to forget.
    """
    records = split_documents(modality_variants(forget, resolved.recipe.modalities), template)
    hierarchy = resolved.hierarchy
    if resolved.recipe.privacy and any(WINDOW_OF in r.attributes for r in records):
        what = "holds documents longer than a window, and a private run protects single records"
        raise InputError("forget set", what, "cut them into records, or leave privacy out")
    if hierarchy is None:
        return records
    return [r if r.concept is not None else replace(r, concept=hierarchy.level_of_record(r)) for r in records]


def _fits(template: PromptTemplate, record: Record, room: int = 0) -> bool:
    """Whether the model's context holds a record and `room` tokens more."""
    try:
        return template.encode(record).length + room <= template.context
    except InputError:
        return False


def drawable(count: int, most: int, seed: int) -> Sequence[int]:
    """Positions of the retained records that a run of `most` draws chooses from: all, or a fixed sample."""
    if count <= most:
        return range(count)
    return sorted(stream(seed, "drawable").choice(count, most, replace=False).tolist())


def retain_pool(template: PromptTemplate, resolved: ResolvedRecipe, retain: Sequence[Record]) -> list[Record]:
    """The retained records that batches draw from, documents as windows; none where no phase uses them.

    Raises:
        InputError: a retained record is too long, whether it is drawn or not.
    """
    if not resolved.uses_retain:
        return []
    recipe = resolved.recipe
    chosen = drawable(len(retain), resolved.total_steps * recipe.batch.retain, recipe.seed)
    if isinstance(retain, tuple) and len(chosen) < len(retain):
        template.encode_all(split_documents(retain, template))
    return split_documents(take(retain, chosen), template)

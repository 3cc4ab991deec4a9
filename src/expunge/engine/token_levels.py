"""Concept levels of the single tokens of an answer, from a dictionary of names."""

from __future__ import annotations

from expunge.concepts.annotate import Annotator
from expunge.concepts.tokens import token_levels
from expunge.models.prompt_template import Encoded, PromptTemplate


def answer_levels(template: PromptTemplate, annotator: Annotator, item: Encoded) -> tuple[str | None, ...]:
    """One level per answer token of `item`; None where no name of a concept covers it, and for the end token.

    The text is read back from the tokens, so that a teacher's own answer is looked at like a record's. Where it does
    not come out as the same tokens, nothing is known about any.
    """
    text = template.tokenizer.decode(list(item.answer[:-1]), clean_up_tokenization_spaces=False)
    read = template.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    if tuple(read["input_ids"]) != item.answer[:-1]:
        return (None,) * len(item.answer)
    return (*token_levels(annotator.annotate(text), read["offset_mapping"]), None)

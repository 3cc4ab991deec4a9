"""Where the tokens that are scored and the tokens that the model writes part: the fact behind a contradiction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from expunge.audit.text_normalization import normalize
from expunge.corpus import Record
from expunge.models.forward import greedy
from expunge.models.language_model import LanguageModel

SHOWN, MORE, MOST = 4, 4, 40  # tokens shown, tokens written beyond the answer, characters shown of one token


def mismatch(lm: LanguageModel, record: Record) -> str:
    """One clause: the first token at which what the model writes parts from what is scored; "" where none does."""
    item = lm.template.encode(record)
    images = [item.image]
    written = greedy(lm.module, [item.prompt], lm.template.stops, len(item.answer) + MORE, images=images)[0]
    scored = list(item.answer)
    name = lm.tokenizer
    at = next((k for k, (a, b) in enumerate(zip(scored, written, strict=False)) if a != b), None)
    if at is None and len(written) >= len(scored):
        text = lm.template.decode(written)
        if normalize(text) == normalize(record.answer):
            return ""
        return f"its tokens of {_short(record.answer)} are decoded to {_short(text)}"
    if at is None:
        return f"after {_tokens(name, written[-1:])} nothing is written, before the answer ends"
    if at == len(item.content) and item.ends:
        return (
            f"an answer ends with {_tokens(name, scored[-1:])} in the template, "
            f"and the model goes on with {_tokens(name, written[at : at + 1])}"
        )
    before = _tokens(name, [*item.prompt, *scored[:at]][-1:])
    return (
        f"after {before} the answer {_short(record.answer)} is scored as {_tokens(name, scored[at : at + SHOWN])}, "
        f"and the model writes {_tokens(name, written[at : at + SHOWN])}"
    )


def _tokens(tokenizer: Any, ids: Sequence[int]) -> str:
    names = tokenizer.convert_ids_to_tokens(list(ids))
    return " ".join(_short(str(token)) for token in names) or "nothing"


def _short(text: str) -> str:
    return f'"{text[:MOST]}"' if len(text) <= MOST else f'"{text[:MOST]}…"'

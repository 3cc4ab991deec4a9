"""Documents as language-model text: windows that a model can read, and places at which an audit may ask to go on.

A document is cut where tokens begin, between words where there are words, never inside a character. The texts of its
windows, joined, are the document to the letter. Each window is read after the end of the one before it, which is not
learnt a second time; only the last one ends with the end token.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from expunge.corpus import Record, Variant
from expunge.models.prompt_template import PromptTemplate

SIZE, OVERLAP = 256, 32  # tokens of a window, and of the text before it that is only read
SHARE = 4  # a window takes at most this part of the context
WINDOW_OF = "window_of"  # attribute of a window: the id of its document
WORDS = 40  # of a place that an audit asks for, before it and after it
WORD = re.compile(r"\S+")


def split_documents(
    records: Iterable[Record], template: PromptTemplate, *, size: int | None = None, overlap: int = OVERLAP
) -> list[Record]:
    """The records, each long document cut into windows; other records, windows and short documents as they are.

    A window has the id `<id>#<k>`, counted from 1, and everything else of its document but for text, variants and
    facts: a variant goes to the window in which its answer begins, and every window states a fact of its own unless the
    document names facts. Its attribute `continues` is true if more follows.

    Args:
        records: Records.
        template: Template of the model; its tokenizer decides where tokens begin.
        size: Tokens of a window, about; by default 256, or a quarter of the context if that is less.
        overlap: Tokens before a window that are read with it; at most half of `size`.
    """
    size = size or max(1, min(SIZE, template.context // SHARE))
    overlap = min(overlap, size // 2)
    parts: list[Record] = []
    for record in records:
        if record.kind != "document" or WINDOW_OF in record.attributes:
            parts.append(record)
            continue
        starts = token_starts(record.answer, template.tokenizer)
        parts += _windows(record, starts, size, overlap) if len(starts) > size else [record]
    return parts


def _windows(record: Record, starts: Sequence[int], size: int, overlap: int) -> list[Record]:
    text = record.answer
    cuts = window_cuts(text, starts, size)
    edges = list(pairwise(cuts))
    variants = _by_window(record, edges)
    windows = []
    for number, (start, end) in enumerate(edges, 1):
        before = starts[max(0, bisect_left(starts, start) - overlap)] if start else 0
        attributes = {**record.attributes, WINDOW_OF: record.id}
        if number < len(edges) or record.attributes.get("continues"):
            attributes["continues"] = True
        windows.append(
            replace(
                record,
                id=f"{record.id}#{number}",
                prompt=text[word_start(text, before, 0) : start] if start else record.prompt,
                answer=text[start:end],
                variants=variants[number - 1],
                attributes=attributes,
            )
        )
    return windows


def window_cuts(text: str, starts: Sequence[int], size: int) -> list[int]:
    """Places of `text` between which its windows lie, from 0 to its end.

    The windows are as few as `size` allows and of about equal length, so that the last one is no stub.

    Args:
        text: The document.
        starts: Where its tokens begin, in characters, ascending.
        size: Tokens of a window, about: a cut moves back to the begin of a word by at most a quarter of a window.
    """
    count = -(-len(starts) // size)
    cuts = [0]
    for k in range(1, count):
        token = k * len(starts) // count
        least = max(starts[max(0, token - size // 4 - 1)], cuts[-1]) + 1
        cut = word_start(text, starts[token], least)
        if cuts[-1] < cut < len(text):
            cuts.append(cut)
    return [*cuts, len(text)]


def word_start(text: str, place: int, least: int) -> int:
    """The last place from `least` to `place` at which a word ends, so that its successor keeps the space before it.

    Without one (a script without spaces, a very long word) it is `place`, or before it where a mark would be separated
    from its letter.
    """
    for cut in range(place, max(least, 1) - 1, -1):
        if cut < len(text) and text[cut].isspace() and not text[cut - 1].isspace():
            return cut
    while place > max(least, 1) and place < len(text) and _joins(text, place):
        place -= 1
    return place


def _joins(text: str, place: int) -> bool:
    """Whether the character at `place` belongs to the one before it."""
    return (
        bool(unicodedata.combining(text[place])) or "\u200d" in text[place - 1 : place + 1] or text[place] == "\ufe0f"
    )


def token_starts(text: str, tokenizer: Any) -> list[int]:
    """Where the tokens of `text` begin, in characters, ascending, without repetition: a character of several tokens
    has one. A tokenizer that tells no offsets is asked for the number of tokens of each word, spread over its letters.
    """
    if getattr(tokenizer, "is_fast", False):
        offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return sorted({start for start, end in offsets["offset_mapping"] if end > start})
    starts: set[int] = set()
    for word in WORD.finditer(text):
        count = max(1, len(tokenizer(word[0], add_special_tokens=False)["input_ids"]))
        starts |= {word.start() + k * len(word[0]) // count for k in range(count)}
    return sorted(starts)


def _by_window(record: Record, edges: Sequence[tuple[int, int]]) -> list[tuple[Variant, ...]]:
    """The variants of each window: those whose answer begins in it, and in the first one those that stand nowhere."""
    variants: list[list[Variant]] = [[] for _ in edges]
    for variant in record.variants:
        start = record.answer.find(variant.prompt + variant.answer)
        place = start + len(variant.prompt) if start >= 0 else 0
        variants[next(k for k, (_, end) in enumerate(edges) if place < end or end == edges[-1][1])].append(variant)
    return [tuple(of_window) for of_window in variants]


def document_probes(text: str, tokenizer: Any = None, places: int = 3, words: int = WORDS) -> tuple[Variant, ...]:
    """Places of a document at which a model is asked to go on: what is read before, and what follows.

    The places are spread evenly; the first one is where the document begins to be long enough. A document of fewer than
    two words has none, a short one has fewer.

    Args:
        text: The document.
        tokenizer: If given, a text is read and continued for `words` words but for at most twice as many tokens.
        places: How many places, at most.
        words: Words that are read before a place, and words that follow.

    Returns:
        Variants for the document, each text as it stands there: `prompt + answer` is part of `text`.
    """
    spans = [match.span() for match in WORD.finditer(text)]
    around = min(words, len(spans) // 2)
    if not around or places < 1:
        return ()
    last = len(spans) - around
    chosen = sorted({around + (last - around) * k // max(1, places - 1) for k in range(places)})
    probes = []
    for k in chosen:
        place, begin = spans[k - 1][1], spans[k - around][0]
        end = spans[k + around - 1][1]
        if tokenizer is not None:
            begin, end = _within(text, tokenizer, begin, place, end, 2 * words)
        probes.append(Variant(text[begin:place], text[place:end]))
    return tuple(dict.fromkeys(probes))


def _within(text: str, tokenizer: Any, begin: int, place: int, end: int, most: int) -> tuple[int, int]:
    """`begin` and `end`, moved towards `place` until at most so many tokens lie on either side."""
    before = token_starts(text[begin:place], tokenizer)
    after = token_starts(text[place:end], tokenizer)
    if len(before) > most:
        begin += before[-most]
    if len(after) > most:
        end = place + after[most]
    return begin, end

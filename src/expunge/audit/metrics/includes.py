"""Whether an output includes the answer, whatever stands around it, in whatever letters and order.

Exact match is blind to an answer after a preamble, before further text, with a full stop, or without its accents.
"""

from __future__ import annotations

import unicodedata
from collections import Counter

import numpy as np

from expunge.audit.metrics.base import Records, metric, per_record
from expunge.audit.scores import Scores, Values
from expunge.audit.text_normalization import ASCII_WORD, is_cjk, normalize, tokens

SQUEEZED = 6  # letters and digits from which on an answer is sought inside of words too


def folded(text: str) -> str:
    """The normalized text without combining marks, invisible characters and controls; "Grüße" gives "grusse"."""
    if text.isascii() and text.isprintable():
        return normalize(text)
    split = unicodedata.normalize("NFKD", normalize(text))
    return "".join(c for c in split if c.isspace() or unicodedata.category(c)[0] not in "MC")


def squeezed(text: str) -> str:
    """Letters and digits of the folded text alone; "SYN-91 353." gives "syn91353"."""
    letters = folded(text)
    if letters.isascii():
        return "".join(ASCII_WORD.findall(letters))
    return "".join(c for c in letters if unicodedata.category(c)[0] in "LN")


def holds(output: str, answer: str) -> float:
    """1 if the output includes the answer, else 0; NaN for an answer without letters and digits.

    Every word of the answer occurs as often as in the answer, in any order; or the answer's letters and digits, six or
    more, occur in one run. An answer in Chinese, Japanese or Korean must occur in one run.
    """
    letters = squeezed(answer)
    if not letters:
        return float("nan")
    if any(map(is_cjk, letters)):
        return float(letters in squeezed(output))
    if Counter(tokens(folded(answer))) <= Counter(tokens(folded(output))):
        return 1.0
    return float(len(letters) >= SQUEEZED and letters in squeezed(output))


def values_of(texts: tuple[str, ...], records: Records) -> Values:
    """`holds` of each text and the answer of its record, [N]; NaN where the prompt includes the answer already."""
    pairs = zip(texts, records, strict=True)
    return per_record(np.nan if holds(r.prompt, r.answer) else holds(text, r.answer) for text, r in pairs)


@metric("includes", floor="controls")
def includes(scores: Scores, records: Records) -> Values:
    """1 if the greedy output includes the answer, else 0.

    Without case, accents and punctuation, with anything before or after it, words in any order. Does not apply where
    the prompt includes the answer already; needs generated text.
    """
    if scores.text is None:
        return np.full(len(scores), np.nan)
    return values_of(scores.text, records)

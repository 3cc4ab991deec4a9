"""Retained records that say nearly the same as one to forget: exact overlap of words and pairs of neighboring words.

A word or pair in `df` of `n` trained records weighs ln(1 + n / df), so the words of a question that is asked of
everybody weigh little, and a name or a telephone number much. No pair goes from the question into the answer. A
retained record is a near-duplicate where it holds at least `THRESHOLD` of the weight of a record to forget. It must
show the same picture and, where the record to forget names its subject, hold such a name too: the same question about
somebody else is no duplicate.

Every pair of records is compared that can reach the threshold: such a retained record holds at least one of the
heaviest words and pairs whose weight exceeds 1 - `THRESHOLD` of the whole.
"""

from __future__ import annotations

import re
import warnings
from array import array
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np

from expunge._printable import pluralize
from expunge.corpus import Record
from expunge.corpus.record_store import ids
from expunge.corpus.text_folding import fold
from expunge.errors import InputError, InputWarning, nearest
from expunge.scope.name_text import record_texts

THRESHOLD = 0.8  # share of the weight of a record to forget
NearDuplicateChoice = Literal["take", "report", "ignore"]
MAX_SHOWN = 3  # ids in a message
CHOICES: tuple[str, ...] = get_args(NearDuplicateChoice)
SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"  # scripts without spaces
WORD = re.compile(rf"[{SPACELESS}]|[^\W{SPACELESS}]+")


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """The trained record `id` outside a scope holds `share` of the text of `of`, which is to be forgotten."""

    id: str
    of: str
    share: float


def check_choice(choice: str) -> None:
    """`InputError` for another word than take, report or ignore."""
    if choice not in CHOICES:
        raise InputError("near-duplicates", f'unknown choice "{choice}"', nearest(choice, CHOICES))


def words_and_pairs(record: Record) -> set[str | tuple[str, str]]:
    """Words and pairs of neighboring words in the trained texts of a record, folded."""
    both: set[str | tuple[str, str]] = set()
    for text in record_texts(record):
        words = WORD.findall(fold(text))
        both.update(words)
        both.update(pairwise(words))
    return both


def near_duplicates(
    forget: Sequence[Record], outside: Sequence[Record], known: Set[str] = frozenset(), threshold: float = THRESHOLD
) -> list[NearDuplicate]:
    """Records of `outside` that nearly repeat one of `forget`, each with the one that it repeats most, by id.

    Args:
        forget: Records to forget.
        outside: Trained records outside the scope, in any number; read once, and the few alike once more.
        known: Ids of `outside` that are left out.
        threshold: Least share of the weight, above 0 and at most 1.
    """
    codes: dict[str | tuple[str, str], int] = {}
    own = [np.array(sorted(codes.setdefault(p, len(codes)) for p in words_and_pairs(r)), np.int64) for r in forget]
    table = _hits(outside, codes)
    counts = np.bincount(np.concatenate([*own, table.indices]), minlength=len(codes))
    weights = np.log1p((len(forget) + len(outside)) / np.maximum(counts, 1))
    columns = table.tocsc()
    names = ids(outside)
    best: dict[int, NearDuplicate] = {}
    buffer = np.zeros(len(codes))
    for record, pairs in zip(forget, own, strict=True):
        if not len(pairs):
            continue
        total = float(weights[pairs].sum())
        heavy = pairs[np.argsort(-weights[pairs], kind="stable")]
        needed = int(np.searchsorted(np.cumsum(weights[heavy]), (1 - threshold) * total, side="right")) + 1
        rows = _union(columns.indices[columns.indptr[k] : columns.indptr[k + 1]] for k in heavy[:needed])
        buffer[pairs] = weights[pairs] / total
        shares = table[rows] @ buffer
        buffer[pairs] = 0
        for row, share in zip(rows[shares >= threshold - 1e-9], shares[shares >= threshold - 1e-9], strict=True):
            earlier = best.get(int(row))
            if names[row] in known or (earlier and earlier.share >= share) or not _may_repeat(record, outside[row]):
                continue
            best[int(row)] = NearDuplicate(names[row], record.id, round(min(1.0, float(share)), 4))
    return sorted(best.values(), key=lambda each: each.id)


def _hits(records: Iterable[Record], codes: dict[str | tuple[str, str], int]) -> Any:
    """Which of the coded words and pairs each record holds: a sparse matrix [records, codes] of ones."""
    from scipy.sparse import csr_array

    indices, starts = array("q"), array("q", [0])
    for record in records:
        indices.extend(sorted(codes[pair] for pair in words_and_pairs(record) if pair in codes))
        starts.append(len(indices))
    ones = np.ones(len(indices))
    return csr_array((ones, np.frombuffer(indices, np.int64) if indices else [], starts), (len(starts) - 1, len(codes)))


def _union(rows: Iterable[Any]) -> Any:
    parts = list(rows)
    return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)


def _may_repeat(record: Record, other: Record) -> bool:
    """False for another picture, a fact that both state openly, or a record that is about somebody else."""
    if (record.image and record.image.digest) != (other.image and other.image.digest):
        return False
    if not set(record.facts).isdisjoint(other.facts):
        return False
    names = names_in_text(record)
    if not names:
        return other.subject in ("", record.subject)
    return any(_is_named(name, text) for text in map(fold, record_texts(other)) for name in names)


def names_in_text(record: Record) -> list[str]:
    """The identifiers of a record that stand in its own texts, folded."""
    texts = [fold(text) for text in record_texts(record)]
    return [name for name in map(fold, record.identifiers) if name and any(_is_named(name, text) for text in texts)]


def _is_named(name: str, text: str) -> bool:
    """Whether a name stands in a text as a word of its own, also with a genitive s: not "Eva" in "evaluate"."""
    return name in text and bool(re.search(rf"(?<!\w){re.escape(name)}(?:['’]?s)?(?!\w)", text))


def warn_of_near_duplicates(alike: Sequence[NearDuplicate], where: str) -> None:
    """One `InputWarning` if there are any; at most three ids."""
    if alike:
        those = pluralize(len(alike), "trained record outside it repeats", "trained records outside it repeat")
        what = f"{those} a record to forget, wholly or nearly"
        hint = "--near-duplicates take forgets that too"
        listed = shown_ids([each.id for each in alike])
        warnings.warn(f"{where}: {what} ({listed}); {hint}", InputWarning, stacklevel=3)


def shown_ids(names: Sequence[str]) -> str:
    """The first three ids."""
    return ", ".join(f'"{name}"' for name in names[:MAX_SHOWN]) + ", …" * (len(names) > MAX_SHOWN)

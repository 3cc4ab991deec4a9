"""Exact answers to the target's questions in words that were never trained, beside the trained wording."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from expunge.audit.metrics.exact_match import matches
from expunge.audit.scoring import score
from expunge.bench.measures.base import Columns, measure, minus, round_columns
from expunge.bench.measures.core import MAX_NEW_TOKENS, mean_by_kind
from expunge.bench.places import ModelPlace
from expunge.corpus import Record
from expunge.models.language_model import LanguageModel
from expunge.random import uniform

HELDOUT = 120  # held-out records whose wordings are asked
COLUMNS = ("rephrased", "rephrased_worst", "rephrased_kept", "rephrased_excess")


def _read(place: ModelPlace) -> Columns:
    return round_columns(place.observation("rephrased"))


def _compare(models: Mapping[str, Columns], options: Mapping[str, Any]) -> dict[str, Columns]:
    never = models["retrained"]
    return {n: {"rephrased_excess": minus(of["rephrased_worst"], never["rephrased_worst"])} for n, of in models.items()}


@measure("rephrased", needs="model", columns=COLUMNS, read=_read, compare=_compare)
def rephrased(place: ModelPlace, lm: LanguageModel) -> Columns:
    """Shares of wordings other than the trained one that are answered exactly.

    rephrased         over the target; rephrased_worst: of the task that shows most
    rephrased_kept    over a sample of held-out retain records
    """
    target = wordings(place.sets.forget)
    sample = sorted(place.sets.heldout, key=lambda r: (uniform("rephrased", r.id), r.id))[:HELDOUT]
    shares = _exact_by_task(lm, target)
    heldout_shares = _exact_by_task(lm, wordings(sample))
    return {
        "rephrased": shares.get(""),
        "rephrased_worst": max((v for task, v in shares.items() if task), default=None),
        "rephrased_kept": heldout_shares.get(""),
    }


def wordings(records: Iterable[Record]) -> tuple[Record, ...]:
    """Every wording of these records but the trained one."""
    return tuple(wording for r in records for wording in r.wordings()[1:])


def _exact_by_task(lm: LanguageModel, records: Sequence[Record]) -> dict[str, float]:
    """Task to the share of exact answers; "" for all together."""
    if not records:
        return {}
    exact = matches(score(lm, records, text=True, max_new_tokens=MAX_NEW_TOKENS), tuple(records)).astype(float)
    return {"": float(exact.mean())} | mean_by_kind(exact, records)

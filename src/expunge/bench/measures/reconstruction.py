"""The audit's reconstruction attack on every model: true answers first among candidates, with growing context."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from expunge.audit.reconstruction import Reconstruction, Setup, prepare, reconstruct
from expunge.audit.reconstruction.prompts import TRUE, WRONG
from expunge.audit.scores import Values
from expunge.bench.measures.base import Columns, Study, measure, minus, round_columns
from expunge.bench.places import ModelPlace
from expunge.bench.world_instance import WorldInstance
from expunge.errors import InputError
from expunge.models.language_model import LanguageModel

FACTS = 40  # of a request that are attacked
COLUMNS = ("top1", "top1_level0", "gain", "lead")


@lru_cache(maxsize=4)
def _setup(cell: WorldInstance) -> Setup | None:
    """The attack; None where a small world has too few other answers."""
    try:
        return prepare(cell.sets().split, seed=cell.seed, most=FACTS)
    except InputError:
        return None


def _read(place: ModelPlace) -> Columns:
    return round_columns(place.observation("reconstruction")["columns"])


def _compare(models: Mapping[str, Columns], options: Mapping[str, Any]) -> dict[str, Columns]:
    never = models["retrained"]
    return {n: {f"{c}_excess": minus(of[c], never[c]) for c in ("top1", "gain")} for n, of in models.items()}


def _summarize(study: Study) -> dict[str, Any]:
    contexts: dict[str, Any] = {name: {} for name in study.columns}
    for place in study.places():
        if context := place.observation("reconstruction")["context"]:
            contexts[place.name].setdefault(str(place.cell.request), {})[str(place.cell.seed)] = context
    return {"contexts": contexts}


@measure(
    "reconstruction",
    needs="model",
    columns=(*COLUMNS, "top1_excess", "gain_excess"),
    read=_read,
    compare=_compare,
    summarize=_summarize,
)
def reconstruction(place: ModelPlace, lm: LanguageModel) -> dict[str, Any]:
    """`columns` with full context, and `context` level by level.

    top1   true answer first among candidates; top1_level0: with the question alone; gain: their difference
    lead   top1 minus that with the context of a wrong branch
    """
    setup = _setup(place.cell)
    if setup is None:
        return {"columns": dict.fromkeys(COLUMNS), "context": None}
    result = reconstruct(lm, setup)
    return {"columns": attack_columns(result), "context": by_context(result)}


def attack_columns(result: Reconstruction) -> Columns:
    """Columns at the deepest level that each fact was asked at."""
    true, wrong = result.of("top1", TRUE), result.of("top1", WRONG)
    last = _deepest(true)
    gain, lead = last - true[:, 0], last - _deepest(wrong)
    return {"top1": _mean(last), "top1_level0": _mean(true[:, 0]), "gain": _mean(gain), "lead": _mean(lead)}


def by_context(result: Reconstruction) -> dict[str, Any]:
    """Context level to true answers first: with the true context, with a wrong branch, by chance."""
    true, wrong = (result.of("top1", context) for context in (TRUE, WRONG))
    means = {"true": [_rounded_mean(v) for v in true.T], "wrong": [_rounded_mean(v) for v in wrong.T]}
    return {"levels": list(result.levels), "chance": round(float(result.chance.mean()), 6)} | means


def _deepest(values: Values) -> Values:
    """Value of each fact at the last level that it was asked at, NaN where it was asked at none."""
    out = np.full(len(values), np.nan)
    for level in range(values.shape[1]):
        out = np.where(np.isfinite(values[:, level]), values[:, level], out)
    return out


def _mean(values: Values) -> float | None:
    return float(np.nanmean(values)) if np.isfinite(values).any() else None


def _rounded_mean(values: Values) -> float | None:
    value = _mean(values)
    return None if value is None else round(value, 6)

"""The audit's reconstruction attack on every model: true answers first among candidates, with growing context.

The question names nobody and shows no image, so that only its context can tell whose answer is asked for. The attack
has power where the original gains from true context and not from that of a wrong branch; elsewhere nothing is tested.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from expunge.audit.metrics.exact_match import matches
from expunge.audit.reconstruction import Reconstruction, Setup, prepare, reconstruct
from expunge.audit.reconstruction.prompts import TRUE, WRONG
from expunge.audit.scores import Values
from expunge.audit.scoring import score
from expunge.audit.statistics import bootstrap_mean
from expunge.bench.analysis import effect, round6, unpaired
from expunge.bench.measures.base import Columns, Study, measure, minus, round_columns
from expunge.bench.measures.core import MAX_NEW_TOKENS
from expunge.bench.places import ModelPlace
from expunge.bench.world_instance import RecordSets, WorldInstance
from expunge.corpus import Record
from expunge.corpus.provenance import anonymous, behind_provenance, subject_depth
from expunge.errors import InputError
from expunge.models.language_model import LanguageModel

FACTS, STATEMENTS = 120, 0  # questions of a request that are attacked, and statements of each node of the context
COLUMNS = ("top1", "top1_level0", "gain", "wrong_gain", "lead", "rows_context", "kept_context")
WORKS, FAILS = "works", "not tested"
OfFacts = Mapping[str, Sequence[float]]  # fact -> true answer first: alone, with true context, with a wrong branch
Facts = dict[str, dict[str, dict[str, OfFacts]]]  # model -> request -> seed -> facts


def attack_questions(sets: RecordSets) -> list[Record]:
    """The target's questions without names and images."""
    return [replace(r, prompt=anonymous(r, subject_depth(r)), image=None) for r in sets.forget]


def _behind(sets: RecordSets, name: str) -> Sequence[Record]:
    """Rows of a set that are taught behind their provenance."""
    return sets.more[name] if isinstance(sets.more, Mapping) else ()


@lru_cache(maxsize=4)
def _setup(cell: WorldInstance, facts: int, statements: int) -> Setup | None:
    """The attack; None where a small world has too few other answers."""
    sets = cell.sets()
    try:
        return prepare(sets.split, attack_questions(sets), seed=cell.seed, most=facts, statements=statements)
    except InputError:
        return None


def _read(place: ModelPlace) -> Columns:
    return round_columns(place.observation("reconstruction")["columns"])


def _compare(models: Mapping[str, Columns], options: Mapping[str, Any]) -> dict[str, Columns]:
    never = models["retrained"]
    return {
        n: {f"{c}_excess": minus(of.get(c), never.get(c)) for c in ("top1", "gain", "rows_context")}
        for n, of in models.items()
    }


def _summarize(study: Study) -> dict[str, Any]:
    contexts: dict[str, Any] = {name: {} for name in study.columns}
    facts: Facts = {}
    for place in study.places():
        seen, request, seed = place.observation("reconstruction"), str(place.cell.request), str(place.cell.seed)
        if seen["context"]:
            contexts[place.name].setdefault(request, {})[seed] = seen["context"]
        facts.setdefault(place.name, {}).setdefault(request, {})[seed] = seen["facts"]
    requests = [str(r) for r in study.experiment.requests]
    control = {request: control_row(facts.get("original", {}).get(request, {})) for request in requests}
    works = {request for request, row in control.items() if row["verdict"] == WORKS}
    return {"contexts": contexts, "control": control, "rebuilt": rebuilt(facts, requests, works)}


@measure(
    "reconstruction",
    needs="model",
    columns=(*COLUMNS, "top1_excess", "gain_excess", "rows_context_excess"),
    read=_read,
    compare=_compare,
    summarize=_summarize,
)
def reconstruction(place: ModelPlace, lm: LanguageModel) -> dict[str, Any]:
    """`columns` with full context, `context` level by level, and `facts`: fact to `[alone, true, wrong]`, true answer
    first with the question alone, with the full context, and with that of a wrong branch.

    top1          true answer first among candidates; top1_level0: with the question alone; gain: their difference
    wrong_gain    the same difference with the context of a wrong branch; lead: gain minus that
    rows_context  exact answers on the target's questions behind their provenance
    kept_context  the same on held-out rows that are taught so
    """
    options = place.options.get("reconstruction", {})
    setup = _setup(place.cell, options.get("facts", FACTS), options.get("statements", STATEMENTS))
    columns: Columns = dict.fromkeys(COLUMNS)
    columns |= {
        "rows_context": _exact(lm, [behind_provenance(r) for r in place.sets.forget if r.path]),
        "kept_context": _exact(lm, _behind(place.sets, "heldout")),
    }
    if setup is None:
        return {"columns": columns, "context": None, "facts": {}}
    result = reconstruct(lm, setup)
    keys = {f.record.id: "/".join(f.record.fact_keys) for f in setup.facts}
    return {"columns": columns | attack_columns(result), "context": by_context(result), "facts": by_fact(result, keys)}


def _exact(lm: LanguageModel, records: Iterable[Record]) -> float | None:
    rows = tuple(records)
    return float(matches(score(lm, rows, text=True, max_new_tokens=MAX_NEW_TOKENS), rows).mean()) if rows else None


def attack_columns(result: Reconstruction) -> Columns:
    """Columns at the deepest level that each fact was asked at."""
    true, wrong = result.of("top1", TRUE), result.of("top1", WRONG)
    last, none = _deepest(true), true[:, 0]
    wrong_gain = _deepest(wrong) - none
    return {
        "top1": _mean(last),
        "top1_level0": _mean(none),
        "gain": _mean(last - none),
        "wrong_gain": _mean(wrong_gain),
        "lead": _mean(last - none - wrong_gain),
    }


def by_fact(result: Reconstruction, keys: Mapping[str, str]) -> dict[str, list[float]]:
    """Fact to the means over its questions that were asked in all three ways: alone, true context, wrong branch."""
    true, wrong = result.of("top1", TRUE), result.of("top1", WRONG)
    rows = np.stack([true[:, 0], _deepest(true), _deepest(wrong)], axis=1)
    of_fact: dict[str, list[Values]] = {}
    for name, row in zip(result.facts, rows, strict=True):
        if np.isfinite(row).all():
            of_fact.setdefault(keys[name], []).append(row)
    return {fact: [round(float(v), 6) for v in np.mean(of, axis=0)] for fact, of in sorted(of_fact.items())}


def control_row(by_seed: Mapping[str, OfFacts]) -> dict[str, Any]:
    """The positive control: gains of the original with intervals over facts, and whether the attack has power.

    It works where the lower end of the gain by true context is above 0, and that by a wrong branch is not. Fewer than
    ten facts give no interval.
    """
    rows = [(f"{seed}:{fact}", *of) for seed, of_facts in by_seed.items() for fact, of in of_facts.items()]
    if not rows:
        return {"verdict": FAILS, "facts": 0}
    facts, alone, true, wrong = zip(*rows, strict=True)
    gain, by_wrong = (_over_facts(np.subtract(of, alone), facts) for of in (true, wrong))
    works = (gain["low"] or 0.0) > 0 and (by_wrong["low"] or 0.0) <= 0
    return {"verdict": WORKS if works else FAILS, "facts": len(rows), "gain": gain, "wrong": by_wrong}


def _over_facts(values: Values, facts: Sequence[str]) -> dict[str, float | None]:
    interval = bootstrap_mean(values, facts)
    return {"mean": round6(interval.estimate), "low": round6(interval.low), "high": round6(interval.high)}


def rebuilt(facts: Facts, requests: Sequence[str], works: Collection[str]) -> dict[str, dict[str, Any]]:
    """Arm to request to what full context brings back above the retrained model, with intervals over facts.

    `fine - coarse` is the last request minus the first. Where the control of a request fails, its cells say so.
    """
    never, table = facts.get("retrained", {}), dict[str, dict[str, Any]]()
    for name, of in facts.items():
        strata = {request: _excess(of.get(request, {}), never.get(request, {})) for request in requests}
        row: dict[str, Any] = {r: effect(strata[r]).as_row() if r in works else FAILS for r in requests}
        if len(requests) > 1:
            both = {requests[0], requests[-1]} <= set(works)
            row["fine - coarse"] = unpaired(strata[requests[-1]], strata[requests[0]]).as_row() if both else FAILS
        table[name] = row
    return table


def _excess(own: Mapping[str, OfFacts], never: Mapping[str, OfFacts]) -> dict[tuple[str, str], dict[str, float]]:
    """Facts first with full context, minus the same on the retrained model, by seed."""
    return {
        ("", seed): {fact: of[1] - never[seed][fact][1] for fact, of in of_facts.items() if fact in never[seed]}
        for seed, of_facts in own.items()
        if seed in never
    }


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

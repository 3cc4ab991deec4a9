"""Builders for audit tests: scores and records from a few numbers that can be read at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from expunge.audit.context import Context
from expunge.audit.policy import Policy
from expunge.audit.scores import Scores
from expunge.corpus import Record
from expunge.scope import Split

OPTIONS = ("a0", "a1", "b b")


def scores(
    logp: Sequence[Sequence[float]],
    hit: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    eos: Sequence[float] | None = None,
    eos_hit: Sequence[bool] | None = None,
    **more: Any,
) -> Scores:
    """Scores of ragged log-probs; `hit` as strings of 0 and 1; default ids r0, r1, …; no end token."""
    n = len(logp)
    flat = [v for row in logp for v in row]
    hits = [c == "1" for row in (hit or ["0" * len(row) for row in logp]) for c in row]
    more = {"mu": np.full(len(flat), -1.0), "sigma": np.ones(len(flat))} | more
    return Scores(
        ids=tuple(ids or (f"r{i}" for i in range(n))),
        offsets=np.cumsum([0, *map(len, logp)]),
        logp=np.array(flat),
        hit=np.array(hits),
        eos_logp=np.array(eos or [np.nan] * n),
        eos_hit=np.array(eos_hit or [False] * n),
        **more,
    )


def hits(*rows: str) -> Scores:
    """Scores in which only the hits matter."""
    return scores([[-1.0] * len(row) for row in rows], rows)


def records(*answers: str, **fields: Any) -> dict[str, Record]:
    """Records r0, r1, … with these answers, by id."""
    return {f"r{i}": Record(f"r{i}", "question", answer, **fields) for i, answer in enumerate(answers)}


@st.composite
def ragged(draw: st.DrawFn, most: int = 6) -> Scores:
    """Random scores of 1 to `most` records with 1 to 8 tokens each, with and without end tokens."""
    lengths = draw(st.lists(st.integers(1, 8), min_size=1, max_size=most))
    numbers = st.floats(-12, 0, width=32)
    rows = [draw(st.lists(numbers, min_size=n, max_size=n)) for n in lengths]
    bits = [draw(st.text("01", min_size=n, max_size=n)) for n in lengths]
    ends = [draw(st.one_of(st.just(float("nan")), numbers)) for _ in lengths]
    total = sum(lengths)
    mu = draw(st.lists(numbers, min_size=total, max_size=total))
    texts = [draw(st.sampled_from((*OPTIONS, "患者 a0", ""))) for _ in lengths]
    chances = [draw(st.tuples(*[numbers] * len(OPTIONS))) for _ in lengths]
    return scores(
        rows,
        bits,
        eos=ends,
        eos_hit=[not np.isnan(e) and e > -1 for e in ends],
        mu=np.array(mu),
        sigma=np.full(total, 0.5),
        text=tuple(texts),
        option_logprob=tuple(chances),
        option_bytes=((2, 2, 3),) * len(rows),
        option_tokens=((1, 1, 2),) * len(rows),
    )


def records_of(s: Scores) -> dict[str, Record]:
    """Records of `ragged` scores, of alternating kinds, by id."""
    kinds = ("cloze", "classification")
    return {
        name: Record(name, "question", OPTIONS[i % 2], kind=kinds[i % 2], options=OPTIONS)
        for i, name in enumerate(s.ids)
    }


def never(*_: Any) -> Any:
    raise AssertionError("no model is asked")


def context(split: Split, by_role: dict[str, dict[str, Scores]], policy: Policy = Policy.load()) -> Context:
    records = {
        w.row_id: w
        for rows in (split.forget, split.retain_heldout, split.holdout, split.controls)
        for r in rows
        for w in r.wordings()
    }
    return Context(split, policy, by_role, records, never, never)


def one_token_scores(ids: list[str], loss: list[float], hit: str, text: list[str] | None = None, **more: Any) -> Scores:
    """One token per record with this loss, hit or not, its end token right."""
    return scores(
        [[-v] for v in loss],
        hit=list(hit),
        ids=ids,
        eos=[-0.1] * len(ids),
        eos_hit=[True] * len(ids),
        text=None if text is None else tuple(text),
        mu=-np.array(loss),
        **more,
    )

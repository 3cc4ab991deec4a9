"""The paper's figures, word losses, parts and run-to-run noise: arithmetic on values that can be checked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from expunge.audit.scores import Scores
from expunge.bench.measures.core import Scored
from expunge.bench.measures.fronts import Sample, band, difference_entry, trial_draws
from expunge.bench.measures.parts import mark, projection_shares, spread
from expunge.bench.measures.published import published_columns
from expunge.bench.measures.run_to_run import repeat_gap, seed_spread
from expunge.bench.measures.word_losses import word_columns
from expunge.bench.resampling import draw_counts
from expunge.bench.world_instance import RecordSets
from expunge.corpus import Corpus, Record
from expunge.scope import Split


def scores(ids: list[str], logp: list[float], best: list[int] | None = None) -> Scores:
    """One answer token for each record; `best`: place of the likeliest of four options."""
    n = len(ids)
    options = None if best is None else tuple(tuple(-1.0 if k == b else -2.0 for k in range(4)) for b in best)
    return Scores(
        tuple(ids),
        np.arange(n + 1),
        np.array(logp, dtype=np.float32),
        np.zeros(n, dtype=bool),
        np.zeros(n, dtype=np.float32),
        np.ones(n, dtype=np.float32),
        np.full(n, np.nan, dtype=np.float32),
        np.zeros(n, dtype=bool),
        None,
        options,
        None if best is None else ((1, 1, 1, 1),) * n,
        None if best is None else ((1, 1, 1, 1),) * n,
    )


def record(name: str, level: str, asked: bool = False) -> Record:
    more: dict[str, Any] = {"kind": "classification", "options": tuple("abcd"), "wording": 1} if asked else {}
    return Record(name, "q", "a", concept=level, **more)


FORGET, HELD, NEVER = ["f1", "f2", "f3", "f4"], ["h1", "h2"], ["n1", "n2"]
LEVELS = ["L4", "L4", "L4", "L1"]
SETS = RecordSets(
    Corpus.of([record("x", "L1")], "made"),
    Split(
        "all",
        tuple(record(n, lv) for n, lv in zip(FORGET, LEVELS, strict=True)),
        (),
        tuple(record(n, "L1") for n in HELD),
    ),
    tuple(record(n, "L4") for n in NEVER),
    questions={
        "forget": tuple(record(n, lv, asked=True) for n, lv in zip(FORGET, LEVELS, strict=True)),
        "heldout": tuple(record(n, "L1", asked=True) for n in HELD),
    },
)


def scored(target: list[int], held: list[int], nll: float) -> Scored:
    asked = {
        "forget": scores([f"{n}~1" for n in FORGET], [-1] * 4, target),
        "heldout": scores([f"{n}~1" for n in HELD], [-1] * 2, held),
    }
    return Scored(scores(FORGET, [-nll] * 4), scores(HELD, [-0.5, -1.5]), scores(NEVER, [-2, -2]), asked)


def test_the_papers_figures_stand_beside_those_corrected_for_chance() -> None:
    before, after = scored([0, 0, 0, 0], [0, 0], 1.0), scored([1, 2, 3, 0], [0, 1], 3.0)
    columns = published_columns(after, before, SETS, "npo")
    assert columns["accuracy"] == 0.25  # one of four, which is guessing
    assert columns["fr_paper"] == 0.75
    assert columns["fr_chance"] == 1.0
    assert (columns["accuracy_L4"], columns["accuracy_L1"], columns["accuracy_L2"]) == (0, 1, None)
    assert columns["kpr_paper"] == columns["kpr_relative"] == columns["accuracy_known"] == 0.5
    assert columns["us_paper"] == pytest.approx(0.625)
    assert columns["us_chance"] == 0.75
    assert columns["mia_resistance_paper"] == 0  # every member has a larger loss than every other record
    assert published_columns(before, before, SETS, "original")["accuracy_known"] == 1.0


def test_word_losses_are_means_over_tokens_of_a_level() -> None:
    levels = {"forget": [["L4"], ["L4"], ["other"], ["L1"]], "heldout": [["L1"], ["L1"]]}
    columns = word_columns(levels, {"forget": scores(FORGET, [-1, -3, -5, -7]), "heldout": scores(HELD, [-0.5, -1.5])})
    assert (columns["forget_L4"], columns["forget_other"], columns["forget_L1"]) == (2, 5, 7)
    assert (columns["heldout_L1"], columns["heldout_L4"]) == (1, None)


def test_projection_is_a_share_of_the_retain_weight() -> None:
    g_f, g_r = {"a": torch.tensor([2.0, 1.0]), "b": torch.tensor([1.0])}, {"a": torch.tensor([2.0, 0.0])}
    assert projection_shares(g_f, g_r, 1.0, 1.0, 10.0) == pytest.approx([0.1])  # <g_f, g_r>/|g_r|² = 4/4
    assert projection_shares(g_f, g_r, {"a": 0.5}, 2.0, 10.0) == pytest.approx([0.1])
    assert projection_shares(g_f, g_r, 1.0, 1.0, 0.0) == []
    assert spread([torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.0])]) == pytest.approx(0.5**0.5 / 2)
    assert spread([]) == 0
    assert [mark(v, 0.05) for v in (None, 0.0, 0.049, 0.05)] == ["not used", "not used", "switched off", "on"]


def test_noise_of_a_repetition_stands_beside_that_of_seeds() -> None:
    first = {"w": {"1": {"c": 1.0}, "2": {"c": 3.0}}}
    again = {"w": {"1": {"c": 1.5}, "2": {"c": 2.9}}}
    assert repeat_gap(first, again, "c") == pytest.approx(0.3)
    assert seed_spread(first, "c") == pytest.approx(2**0.5)
    assert repeat_gap(first, {}, "c") is None
    assert seed_spread({"w": {"1": {"c": 1.0}}}, "c") is None


def test_fronts_of_two_arms_differ_by_what_one_retains_more() -> None:
    counts = {"forget": draw_counts(4, 30, 1), "holdout": draw_counts(2, 30, 2), "heldout": draw_counts(2, 30, 3)}
    original = Sample.of(scored([0, 0, 0, 0], [0, 0], 1.0), SETS)
    l4 = np.array([1.0, 1.0, 1.0, 0.0])

    def trial(target: list[int], share: float) -> dict[str, Any]:
        own = Sample.of(scored(target, [0, 0], 2.0), SETS)
        own = Sample(
            *(own.exact, own.loss, own.entropy, own.choice, own.other_loss, own.other_entropy), original.heldout * share
        )
        return trial_draws(own, original, original, l4, counts)

    better = {"1": [trial([0, 0, 0, 1], 1.0), trial([1, 1, 1, 1], 0.8)]}
    worse = {"1": [trial([0, 0, 0, 1], 0.9), trial([1, 1, 1, 1], 0.7)]}
    assert better["1"][0]["forgetting"][0] == 0  # that on L1 is no forgetting of the target
    assert better["1"][1]["forgetting"][0] == 1
    entry = difference_entry(better, worse)
    assert entry["mean"] == pytest.approx(0.1)
    assert entry["deciding"] == pytest.approx([0.1, 0.1])  # both keep the same share of every record
    assert (entry["over_seeds"], entry["seeds"]) == (None, 1)
    line = band(better, levels=3)
    assert [p["mean"] for p in line] == pytest.approx([1.0, 0.9, 0.8])
    assert difference_entry(better, {"2": worse["1"]})["mean"] is None

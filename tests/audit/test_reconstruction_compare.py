"""Arithmetic of the reconstruction attack by hand: places, gains, the rule, and what can be saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expunge.audit.checks.reconstruction_check import reconstruction_result
from expunge.audit.reconstruction import Reconstruction, compare, worst_excess
from expunge.audit.reconstruction.compare import context_helps
from expunge.audit.reconstruction.ranking import gain, lead, per_byte, rank_of
from expunge.audit.statistics import Bootstrap
from expunge.errors import InputError

NAN = np.nan


def test_a_place_counts_the_better_and_half_of_the_equal() -> None:
    assert rank_of([-1, -2, -3, -4]) == (1.0, 1, 1.0)
    assert rank_of([-4, -1, -2, -3]) == (0.0, 4, 0.0)
    assert rank_of([-1, -2, -0.5, -1]) == (0.0, 2.5, 0.5)
    assert rank_of([-1, -1, -1, -2]) == (pytest.approx(1 / 3), 2.0, pytest.approx(2 / 3))
    assert rank_of([-2] * 5) == (0.2, 3.0, 0.5)  # nothing told apart: chance, and the middle
    assert per_byte([-6.0, -4.0], [3, 1]) == [-2.0, -4.0]


def test_gains_and_leads_are_fact_by_fact() -> None:
    values = np.array([[0.0, 1.0, 1.0], [0.5, NAN, 0.0], [NAN, 1.0, 1.0]])
    np.testing.assert_equal(gain(values), [[0, 1, 1], [0, NAN, -0.5], [NAN, NAN, NAN]])
    np.testing.assert_equal(lead(values, np.array([[NAN, 0.0, 1.0]] * 3)), [[NAN, 1, 0], [NAN, NAN, -1], [NAN, 1, 0]])


def result(
    true: list[list[float]], wrong: list[list[float]] | None = None, subjects: int = 1, **more: Any
) -> Reconstruction:
    """First places [N, levels], with a wrong branch that is never first if none is given; level 0 has none."""
    first = np.array(true, dtype=float)
    other = np.array(wrong, dtype=float) if wrong else np.zeros_like(first)
    other[:, 0] = NAN
    tables = {"true": first, "wrong branch": other, "irrelevant": other}
    return Reconstruction(
        **{
            "facts": tuple(f"f{k}" for k in range(len(first))),
            "levels": ("nothing", "house", "guest")[: first.shape[1]],
            "subjects": tuple(f"s{k % subjects}" for k in range(len(first))),
            "chance": np.full(len(first), 0.05),
            "top1": tables,
            "rank": tables,
            "exact": tables,
            "left_out": {},
        }
        | more
    )


def test_the_largest_part_of_each_subject_counts() -> None:
    """Facts 0 and 2 are of s0, facts 1 and 3 of s1. At the guest s0 gets 1 and 0 against 0 and 0, s1 0 against .5."""
    ours = result([[0, 0, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0]], subjects=2)
    theirs = result([[0, 0, 0], [0, 0, 0.5], [0, 0, 0], [0, 0, 0.5]], subjects=2)
    assert worst_excess(ours, theirs) == {"s0": (0.5, 2), "s1": (0.0, 2)}
    assert worst_excess(theirs, theirs) == {"s0": (0.0, 2), "s1": (0.0, 2)}


KNEW = result([[0, 0, 1]] * 4)
NEVER = result([[0, 0, 0]] * 4)
SOME = result([[0, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]])


def test_a_model_like_the_retrained_passes_and_one_that_answers_fails() -> None:
    passed = compare({"original": KNEW, "unlearned": NEVER, "retrained": NEVER})
    assert (passed.details.status, passed.details.power, passed.details.reference, len(passed.details.parts)) == (
        "passed",
        True,
        "retrained",
        5,
    )
    failed = compare({"original": KNEW, "unlearned": SOME, "retrained": NEVER})
    assert failed.details.status == "failed"
    assert failed.worst is not None
    assert (failed.worst.level, failed.excess.estimate, failed.excess.low) == (2, 0.25, None)
    assert failed.details.reason == (
        "worst of 5 parts: excess at level guest 0.250, required at most 0.05; 2 did not pass"
    )
    assert compare({"original": KNEW, "unlearned": SOME, "retrained": NEVER}, margin=0.25).details.status == "passed"
    row = failed.row(2, "unlearned")
    assert row is not None
    assert {name: v.estimate for name, v in row.scores.items()} == {
        "top1": 0.25,
        "rank": 0.25,
        "exact": 0.25,
        "gain": 0.25,
        "true - wrong branch": 0.25,
        "true - irrelevant": 0.25,
    }


def test_a_lead_over_the_wrong_branch_is_judged_by_itself() -> None:
    """As many first places as the retrained model, but only with the true place told."""
    ours, theirs = result([[0, 1]] * 4), result([[0, 1]] * 4, wrong=[[0, 1]] * 4)
    found = compare({"original": result([[0, 9]] * 4), "unlearned": ours, "retrained": theirs})
    assert [(c.what, c.level, c.estimate, c.status) for c in found.details.parts] == [
        ("excess", 0, 0.0, "passed"),
        ("excess", 1, 0.0, "passed"),
        ("lead", 1, 1.0, "failed"),
    ]
    assert found.details.status == "failed"


def test_every_other_picture_is_an_attack_of_its_own() -> None:
    def shown(first: float) -> Reconstruction:
        tables = dict(NEVER.top1) | {"image: cropped": np.full((4, 3), first)}
        return result([[0, 0, 0]] * 4, top1=tables, rank=tables, exact=tables)

    found = compare({"original": KNEW, "unlearned": shown(1.0), "retrained": shown(0.0)})
    assert found.details.status == "failed"
    assert "image: cropped" in found.details.reason
    assert len(found.details.parts) == 8


def test_with_ten_subjects_bounds_decide() -> None:
    ours = result([[0, float(k == 0)] for k in range(20)], subjects=20)
    theirs, knew = result([[0, 0]] * 20, subjects=20), result([[0, 1]] * 20, subjects=20)
    found = compare({"original": knew, "unlearned": ours, "retrained": theirs}, Bootstrap(draws=500))
    assert found.details.status == "inconclusive"
    assert found.worst is not None
    assert found.excess.estimate == pytest.approx(0.05)
    assert found.excess.upper > 0.05
    assert "too little data" in found.details.reason


def test_without_a_reference_or_without_power_nothing_is_concluded() -> None:
    alone = compare({"original": KNEW, "unlearned": NEVER})
    assert (alone.details.status, alone.worst, alone.details.power) == ("inconclusive", None, None)
    weak = compare({"original": NEVER, "unlearned": NEVER, "retrained": NEVER})
    assert (weak.details.status, weak.details.power) == ("inconclusive", False)
    assert weak.details.reason.startswith("no power")
    assert compare({"unlearned": NEVER, "retrained": NEVER}).details.status == "passed"  # nobody asked for power


def test_a_model_that_gains_nothing_from_context_is_no_control_of_it() -> None:
    """The original knows the answer by its picture: first with the question alone, and no more often with context."""
    seen = result([[1, 1, 0.5]] * 4)
    found = compare({"original": seen, "unlearned": NEVER, "retrained": NEVER})
    assert (found.details.status, found.details.power) == ("passed", True)
    assert found.details.reason.endswith("context is not tested: the original model itself gains nothing from it")
    assert "not tested" not in compare({"original": KNEW, "unlearned": NEVER, "retrained": NEVER}).details.reason
    assert context_helps(found.details.rows, -1)


def test_controls_are_compared_by_their_mean_and_without_an_interval() -> None:
    controls = result([[0, 0, 1], [0, 0, 0]], facts=("t0", "t1"))
    found = compare({"original": KNEW, "unlearned": SOME, "controls": controls})
    assert (found.details.reference, found.details.status) == ("controls", "passed")
    assert [c.estimate for c in found.details.parts if c.what == "excess"] == [0.0, 0.0, -0.25]
    assert {c.ci for c in found.details.parts} == {None}
    assert found.excess is not None
    assert found.excess.method == "difference to controls"


def test_facts_are_joined_by_id_and_missing_ones_are_no_zeros() -> None:
    turned = result([[0, 0, 1], [0, 0, 0]], facts=("f1", "f0"))
    np.testing.assert_equal(turned.of("top1", "true", ["f0", "f1", "f9"])[:, 2], [0, 1, NAN])
    found = compare({"original": KNEW, "unlearned": SOME, "retrained": turned})
    assert [c.estimate for c in found.details.parts if c.what == "excess"] == [0.0, 0.0, 0.0]
    assert {c.n for c in found.details.parts} == {2}


def test_a_result_is_saved_and_read_back(tmp_path: Path) -> None:
    SOME.save(tmp_path / "r.json")
    again = Reconstruction.load(tmp_path / "r.json")
    assert again.as_json() == SOME.as_json()
    np.testing.assert_equal(again.of("top1", "wrong branch"), SOME.of("top1", "wrong branch"))
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InputError, match=r'other\.json: the key "format" is missing; run the attack again'):
        Reconstruction.load(tmp_path / "other.json")
    with pytest.raises(InputError):
        Reconstruction.load(tmp_path / "gone.json")


def test_the_entry_carries_the_worst_part_and_all_levels() -> None:
    found = compare({"original": KNEW, "unlearned": SOME, "retrained": NEVER})
    made = reconstruction_result(found, 0.05, 7)
    assert (made.key, made.status, made.estimate, made.power, made.seed) == ("reconstruction", "failed", 0.25, True, 7)
    assert made.reference is not None
    assert (made.reference.role, made.reference.estimate) == ("retrained", 0.0)
    controls = {c.key: c.estimate for c in made.controls}
    assert controls["original.guest.top1"] == 1.0
    assert controls["unlearned.guest.true - wrong branch"] == 0.25
    json.dumps(found.details.model_dump(mode="json"), allow_nan=False)
    alone = reconstruction_result(compare({"original": KNEW, "unlearned": NEVER}), 0.05, 0)
    assert (alone.status, alone.estimate) == ("inconclusive", None)

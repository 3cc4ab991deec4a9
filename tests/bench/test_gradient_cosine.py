"""Cosines, drifts and what a rule is worth: by hand, then from end to end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from expunge.bench.study import run
from expunge.corpus import Record
from expunge.corpus.answer_types import answer_type
from expunge.models.language_model import load
from helpers.experiments import load_tiny, plugin
from helpers.world import people

alignment = plugin("gradient_cosine")


def asks(name: str, relation: str, answer: str) -> Record:
    return Record(id=name, prompt=f"{relation} of {name}?", answer=answer, attributes={"relation": relation})


def test_shuffled_answers_stay_within_their_kind_of_question() -> None:
    records = [
        *(asks(f"p{k}", "ward", f"ward {k}") for k in range(5)),
        *(asks(f"p{k}", "town", f"town {k}") for k in range(5)),
        asks("p0", "age", "8"),
    ]
    found = alignment.shuffle_answers(records, seed=3)
    own = {(r.id, answer_type(r)): r.answer for r in records}
    assert len(found) == 10  # the only question on age is left out
    assert all(r.answer != own[r.id, answer_type(r)] for r in found)
    kept = [r for r in records if r.attributes["relation"] != "age"]
    assert Counter((answer_type(r), r.answer) for r in found) == Counter((answer_type(r), r.answer) for r in kept)


def test_cosines_are_taken_matrix_by_matrix() -> None:
    g_f = {"a": torch.tensor([[3.0, 4.0]]), "b": torch.tensor([[1.0, 0.0]]), "c": torch.ones(1, 1)}
    g_r = {"a": torch.tensor([[4.0, 3.0]]), "b": torch.tensor([[0.0, 2.0]]), "c": torch.zeros(1, 1)}
    found = alignment.cosines(g_f, g_r)
    assert found["a"] == pytest.approx(0.96)
    assert found["b"] == 0
    assert found["c"] is None


def test_a_gradient_is_the_mean_over_records_on_matrices_inside_the_blocks(folders: dict[str, Path]) -> None:
    lm, rows = load(folders["llama"]), people().records[:2]
    both, *alone = (alignment.mean_gradient(lm, part) for part in (rows, rows[:1], rows[1:]))
    inside = {n for n, p in lm.module.named_parameters() if ".layers." in n and p.dim() == 2}
    assert set(both) == {n.removeprefix("model.layers.").removesuffix(".weight") for n in inside}
    for name, g in both.items():
        torch.testing.assert_close(g, (alone[0][name] + alone[1][name]) / 2, rtol=1e-4, atol=1e-6)


def test_columns_of_a_start_are_means_and_shares() -> None:
    found = alignment.start_columns(
        {
            "cosines": {"all": {"a": -0.5, "b": 0.1, "c": None}, "L1": {"a": None}},
            "norms": {"a": 2.0, "b": 1e-3, "c": 0.0, "d": 9e-6},
        }
    )
    assert found["cosine_all"] == pytest.approx(-0.2)
    assert found["cosine_L1"] is None
    assert (found["least"], found["most"], found["small"]) == (-0.5, 0.1, 0.5)


def test_columns_of_a_run_add_up_its_drift_and_count_its_conflicts() -> None:
    events = [
        {"cosine": -0.5, "drift": 0.3},
        {"cosine": 0.1, "drift": -0.1},
        {"cosine": -0.2, "drift": 0.1},
        {"cosine": None, "drift": None},
    ]
    found = alignment.run_columns(events)
    assert found == {
        "cosine": pytest.approx(-0.2),
        "conflict": pytest.approx(2 / 3),
        "drift": pytest.approx(0.3),
        "rises": pytest.approx(2 / 3),
    }
    assert set(alignment.run_columns([]).values()) == {None}


def test_what_the_sum_keeps_is_read_off_straight_lines_between_its_runs() -> None:
    points = [(1.0, 1.0), (0.5, 0.8), (0.1, 0.2)]
    assert alignment.retention_at(0.75, points) == pytest.approx(0.9)
    assert alignment.retention_at(0.3, points) == pytest.approx(0.5)
    assert alignment.retention_at(1.2, points) == 1.0
    assert alignment.retention_at(0.05, points) is None  # it never forgets that much
    assert alignment.retention_at(0.1, [*points, (0.1, 0.6)]) == 0.6  # of equals the best
    assert alignment.at_matched_leak(
        {"leak_mean": 0.3, "retention": 0.7}, [{"leak_mean": x, "retention": y} for x, y in points]
    ) == pytest.approx(0.2)
    assert alignment.at_matched_leak({}, [{"leak_mean": 1.0, "retention": 1.0}]) is None


def test_a_rule_is_worth_what_it_keeps_beside_a_sum_that_leaks_alike() -> None:
    def cells(*values: tuple[float, float]) -> dict[str, dict[str, dict[str, float | None]]]:
        return {"d": {str(k): {"leak_mean": x, "retention": y} for k, (x, y) in enumerate(values)}}

    full, half, original = cells((0.0, 0.4), (0.0, 0.2)), cells((0.5, 0.8), (0.5, 0.8)), cells((1, 1), (1, 1))
    rule = cells((0.5, 0.9), (0.25, 0.6))
    tables = {"original": original, "npo-sum": full, "npo-tensor": rule}
    found = alignment._compared(tables, {"rate": {"half": {"npo-sum": half}}, "weight": {"two": {}}})["worth"]
    assert list(found) == ["npo-tensor"]
    steps, leak = (found["npo-tensor"][key] for key in ("equal_steps", "equal_leak"))
    assert steps["retention"]["mean"] == pytest.approx(0.45)  # .5 and .4
    assert steps["leak"]["mean"] == pytest.approx(0.375)
    assert list(leak) == ["rate"]
    assert leak["rate"]["mean"] == pytest.approx(0.1)  # .9 - .8 and .6 - .5
    assert (leak["rate"]["compared"], leak["rate"]["runs"]) == (2, 2)
    assert leak["rate"]["by_domain"]["d"]["mean"] == leak["rate"]["mean"]


@pytest.mark.trains
@pytest.mark.matrix
def test_the_experiment_compares_every_rule_with_the_sum(tmp_path: Path) -> None:
    requests = [{"world": "surgery", "preset": "tiny", "settings": {"overlap": o}} for o in (0.0, 0.75)]
    arms, line = ["npo-sum", "npo-tensor"], {"rate": {"values": [0.5]}, "weight": {"values": [4]}}
    changed = {"options": {"gradient_steps": line}}
    grid = {"lr": [1], "steps": [4]}
    experiment = load_tiny("alignment-stress", tmp_path, requests=requests, arms=arms, grid=grid, **changed)
    results = run(experiment, tmp_path / "bench", workers=1)
    assert list(results["start"]) == ["surgery (overlap 0.0)", "surgery (overlap 0.75)"]
    assert -1 <= results["start"]["surgery (overlap 0.0)"]["cosine_all"]["mean"] <= 1
    assert results["run"]["npo-sum"]["drift"]["mean"] is not None
    assert list(results["worth"]) == ["npo-tensor"]
    assert set(results["worth"]["npo-tensor"]["equal_leak"]) == {"rate", "weight"}
    assert {k: len(v) for k, v in results["lines"].items()} == {"rate": 1, "weight": 1}

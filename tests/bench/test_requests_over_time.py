"""Requests one after another: the ward, columns by hand, and a course of two requests."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from expunge.bench.plots import draw
from expunge.bench.report import publish
from expunge.bench.study import run
from expunge.bench.world_instance import WorldInstance
from expunge.corpus import Record
from expunge.corpus.record import Variant
from expunge.errors import InputError
from helpers.experiments import load_tiny, plugin

SMALL = {"patients": 8, "facts": 1, "letters": 4, "never": 2, "sentences": 2, "letter_controls": 1}
HELDOUT = {"heldout_patients": 2, "heldout_letters": 1}
WORLD = {"world": "ward", "label": "ward", "settings": {**SMALL, **HELDOUT, "order": "PD"}}

BRIEF = {"target_accuracy": 0.5, "epochs": 8, "batch": 16}


@pytest.fixture(scope="module")
def measure() -> Any:
    return plugin("requests_over_time")


def cell(measure: Any, **settings: Any) -> WorldInstance:
    return WorldInstance(request={**WORLD, "settings": {**WORLD["settings"], **settings}}, seed=1)


def test_held_out_is_in_no_run_and_the_retrained_model_lacks_all(measure: Any) -> None:
    sets = cell(measure, order="PDP").sets()
    more = sets.more
    assert more.scopes == ("patient:P-0001-001", "letter:L-001", "patient:P-0002-001")
    given = {r.subject for r in more.given}
    assert not given & {r.subject for r in (*more.heldout, *more.heldout_letters)}
    assert {r.subject for r in more.never}.isdisjoint(r.subject for r in sets.trained("original"))
    forgotten = {r.id for of in more.forget for r in of}
    taught = {name: {r.id for r in sets.trained(name)} for name in ("original", "retrained")}
    assert forgotten <= taught["original"] - taught["retrained"]
    asked = {r.subject for of in more.forget for r in of}
    assert {r.subject for r in sets.trained("original") if r.id not in taught["retrained"]} == asked
    assert {r.attributes["control_of"] for r in more.given if r.split == "control"} == {"letter:L-001"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"order": "DP"}, "order"),
        ({"order": "PX"}, "order"),
        ({"order": "PPPPPP"}, "has too few patients or letters"),
        ({"heldout_letters": 3}, "has too few patients or letters"),
        ({"sentences": 9}, "sentences"),
    ],
)
def test_a_ward_of_wrong_sizes_is_one_line(measure: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        cell(measure, **settings).sets()
    assert "\n" not in str(caught.value)


def test_letters_that_are_never_trained_say_something_else(measure: Any) -> None:
    sets = cell(measure).sets()
    letters = [r.answer for r in sets.corpus if r.kind == "document"]
    assert len(set(letters)) == len(letters) == 4 + 2 + 1
    assert all(r.answer.count(". ") == 1 for r in sets.more.never), "two sentences each"


def test_copies_ask_in_other_words_and_name_nobody(measure: Any) -> None:
    runs = plugin("request_runs")
    record = Record("a", "Who?", "B", subject="patient:A", identifiers=("A",), variants=(Variant("Tell me who", "B"),))
    (copy,) = runs.copies_of([record, Record("b", "Where?", "C")])
    assert (copy.prompt, copy.answer, copy.subject, copy.identifiers) == ("Tell me who", "B", "register", ())


def state(number: int, shares: list[float], controls: list[float], kept: float = 1.0) -> dict[str, Any]:
    return {"number": number, "shares": shares, "controls": controls, "kept": kept, "seconds": 1.0}


def test_columns_count_only_what_was_asked_so_far(measure: Any) -> None:
    one = state(2, [0.1, 0.5, 1.0], [0.1, 0.4, 0.0])
    columns = measure.columns_of(one, 2)
    assert columns["worst_excess"] == pytest.approx(0.1)
    assert columns["leaks"] == 1
    assert (columns["first"], columns["first_controls"]) == (0.1, 0.1)
    assert measure.columns_of({**one, "number": 0}, 0)["worst_excess"] is None


def test_the_goal_is_that_of_the_worst_seed(measure: Any) -> None:
    good, bad = [state(2, [0.1, 0.0], [0.1, 0.0], 0.98)], [state(2, [0.2, 0.0], [0.1, 0.0], 0.99)]
    assert measure.goal([good]) == {"first_excess": 0.0, "kept": 0.98, "reached": True}
    both = measure.goal([good, bad])
    assert (both["first_excess"], both["kept"], both["reached"]) == (pytest.approx(0.1), 0.98, False)
    assert not measure.goal([[state(2, [0.1, 0.0], [0.1, 0.0], 0.96)]])["reached"]


def test_curves_are_means_over_seeds_beside_a_repetition(measure: Any) -> None:
    first = [[state(1, [0.0], [0.0], 1.0)], [state(1, [0.2], [0.0], 0.8)]]
    again = [[state(1, [0.1], [0.0], 1.0)], [state(1, [0.2], [0.0], 0.9)]]
    assert measure.curve(first)["first"] == [pytest.approx(0.1)]
    assert measure.last_of(first)["kept"]["mean"] == pytest.approx(0.9)
    seen = {"a": [{"states": of} for of in first], "b": [{"states": of} for of in again]}
    rows = measure.again(seen, {"first": "a", "again": "b"})
    assert rows["kept"]["again"] == pytest.approx(0.05)
    assert rows["kept"]["seeds"] == pytest.approx(math.sqrt(0.02))
    assert measure.again(seen, {"first": "a", "again": "c"}) == {}


def test_divergence_and_change_of_weights_by_hand(measure: Any) -> None:
    p, q = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.25, 0.75]])
    assert measure.divergence([p.log()], [q.log()]) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert measure.rank_of(torch.tensor([3.0, 4.0, 0.0])) == 2
    assert measure.rank_of(torch.tensor([0.0, 10.0, 0.1])) == 1
    before, after = nn.Linear(2, 2), nn.Linear(2, 2)
    after.load_state_dict(before.state_dict())
    with torch.no_grad():
        after.weight[0, 0] += 3
        after.bias[1] += 4
    change, whole, rank = measure.weight_change(after, before)
    assert change == pytest.approx(5)
    assert whole == pytest.approx(math.sqrt(sum(float((p.detach() ** 2).sum()) for p in before.parameters())))
    assert rank == 1


@pytest.mark.trains
@pytest.mark.matrix
def test_two_requests_are_asked_after_every_run_in_every_way(tmp_path: Path) -> None:
    others = ("unguarded", "model only", "same seed again")
    left_out = {name: {"arms": ["nobody"]} for name in others}
    modes = {**left_out, "joint": {"arms": []}, "adapters": {"arms": []}}
    options = {"requests_over_time": {"document_set": ["steps=2"], "modes": modes}}
    experiment = load_tiny(
        "requests-over-time",
        tmp_path,
        requests=[WORLD],
        arms=["simnpo"],
        grid={"steps": [2]},
        options=options,
        train=BRIEF,
    )
    results = run(experiment, tmp_path / "bench", workers=1)
    wanted = ("guarded", "joint", "adapters")
    assert set(results["modes"]) == {f"simnpo, {mode}" for mode in wanted}
    assert "again" not in results
    assert results["curves"]["simnpo, guarded"]["number"] == [0, 1, 2]
    assert results["curves"]["simnpo, joint"]["number"] == [0, 2]
    assert results["guards"]["simnpo, guarded"]["2"]["rows"] > 0
    assert results["modes"]["simnpo, adapters"]["weights"]["mean"] > 0
    page = publish(experiment, tmp_path, tmp_path / "bench" / "requests-over-time.json").read_text("utf-8")
    assert "After the last request" in page
    settings = {"arms": ["simnpo, guarded"], "columns": {"first": "first", "kept": "kept"}, "title": "t"}
    assert "<svg" in draw("request_curves", results, settings)
    assert draw("request_curves", {"curves": {}}, settings) == ""

"""A private step is the plain one with its gradient taken apart, clipped and noised, and nothing else."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from expunge.engine.gradient_source import Term
from expunge.engine.loop import Loop
from expunge.engine.privacy.mechanism import UNIT_GRADIENT_BYTES, add_noise, clipped_unit_sum
from expunge.engine.privacy.per_sample_gradients import adapted_layers
from expunge.engine.privacy.private_dataset import PrivateDataset
from expunge.engine.privacy.unit_sampling import Draw
from expunge.errors import RunFailed
from expunge.models.adapters import trainable
from helpers.privacy import FIXED, UNFELT, engine_of, private, private_loop
from helpers.runs import closeness, loop, recipe, run, weights
from helpers.world import one_person

PLAIN = {"name": "sgd", "lr": 0.1, "clip_norm": None}
ALL = {"forget": 1000, "retain": 1000}  # every row in every step


@pytest.mark.trains
@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("npo", {}),
        ("grad_diff", {"retain": {"loss": "kl"}}),
        ("simnpo", {"rule": "project"}),
        ("npo", {"train": {"layers": 1}}),
        ("npo", {"batch": ALL | {"micro": 5}}),
    ],
)
def test_without_noise_and_clipping_it_is_the_plain_step(
    folders: dict[str, Path], method: str, changes: dict[str, Any]
) -> None:
    """Units are records, so that the mean over expected units is the mean over rows."""
    fields = {"optimizer": PLAIN, "steps": 3, "batch": ALL} | changes
    plain = loop(folders["llama"], recipe(method, **fields))
    ours = private_loop(folders["llama"], private(method, UNFELT | {"unit": "record"}, **fields))
    before = weights(plain)
    one, other = run(plain), run(ours)
    assert closeness(weights(plain), weights(ours)) < 1e-5 < 1e-4 < closeness(before, weights(ours))
    assert [e.norm for e in other] == pytest.approx([e.norm for e in one], rel=1e-4)


def question(ours: Loop, side: Any, draw: Draw, limit: float) -> dict[str, torch.Tensor]:
    parameters = trainable(ours.lm.module)
    return clipped_unit_sum(
        draw,
        Term(side, (), "ce"),
        layers=adapted_layers(ours.lm.module, parameters),
        runner=ours.runner,
        losses=ours.source._losses,
        lengths=[item.length for item in ours.dataset.encoded],
        parameters=parameters,
        max_norm=limit,
        micro=None,
    )


def norm(grads: dict[str, torch.Tensor]) -> float:
    return math.sqrt(sum(float(g.square().sum()) for g in grads.values()))


def test_a_person_changes_the_sum_by_the_limit_and_no_more(folders: dict[str, Path]) -> None:
    ours = private_loop(folders["llama"], private(batch=ALL))
    assert isinstance(ours.dataset, PrivateDataset)
    everybody = ours.dataset.drawn("retain", 0)
    assert len(everybody) == 2
    whole = question(ours, "retain", everybody, 0.05)
    for unit in range(2):
        without = question(ours, "retain", everybody[:unit] + everybody[unit + 1 :], 0.05)
        moved = norm({name: whole[name] - without[name] for name in whole})
        assert moved == pytest.approx(0.05, rel=1e-5)  # a person's gradient is larger here, so the limit is reached
        assert norm(question(ours, "retain", everybody[unit : unit + 1], 1e6)) > 0.2


def test_units_that_do_not_fit_in_memory_together_are_processed_in_turn(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = private_loop(folders["llama"], private(batch=ALL))
    assert isinstance(ours.dataset, PrivateDataset)
    draw = ours.dataset.drawn("retain", 0)
    together = question(ours, "retain", draw, 1.0)
    monkeypatch.setattr("expunge.engine.privacy.mechanism.UNIT_GRADIENT_BYTES", 1)
    assert UNIT_GRADIENT_BYTES > 1
    apart = question(ours, "retain", draw, 1.0)
    assert closeness(together, apart) < 1e-6


def test_the_noise_has_the_size_that_is_charged_and_falls_on_every_entry(folders: dict[str, Path]) -> None:
    ours = private_loop(folders["llama"], private(privacy=FIXED | {"noise": 3.0, "clip": 2.0}, batch=ALL))
    nobody = {name: torch.zeros(p.shape) for name, p in trainable(ours.lm.module).items()}
    found = add_noise(nobody, engine_of(ours).budget, 5, "retain", 0)
    values = torch.cat([g.flatten() for g in found.values()])
    assert float(values.std()) == pytest.approx(3.0 * 2.0 / 2, rel=0.03)  # over two expected units
    assert float(values.mean()) == pytest.approx(0.0, abs=0.1)
    assert bool((values != 0).all())
    again = add_noise(nobody, engine_of(ours).budget, 5, "retain", 0)
    assert all(torch.equal(found[name], again[name]) for name in found)
    for other in (
        add_noise(nobody, engine_of(ours).budget, 5, "retain", 1),
        add_noise(nobody, engine_of(ours).budget, 5, "forget", 0),
        add_noise(nobody, engine_of(ours).budget, 6, "retain", 0),
    ):
        assert not any(torch.equal(found[name], other[name]) for name in found)


def test_steps_that_draw_nobody_are_taken_and_no_loss_is_told(folders: dict[str, Path]) -> None:
    rare = FIXED | {"forget_rate": 1e-9, "retain_rate": 1e-9}
    ours = private_loop(folders["llama"], private(privacy=rare, steps=3))
    before = weights(ours)
    events = run(ours)
    assert len(events) == 3
    assert all(math.isnan(e.forget) and math.isnan(e.retain) and e.norm > 0 for e in events)
    assert closeness(before, weights(ours)) > 0


def test_only_drawn_retained_records_are_encoded_and_anybody_may_be_drawn(folders: dict[str, Path]) -> None:
    ours = private_loop(folders["llama"], private(privacy=FIXED | {"unit": "record"}, steps=2))
    table = ours.dataset
    assert isinstance(table, PrivateDataset)
    drawn = {k for step in range(2) for _, rows in table.drawn("retain", step) for k in rows}
    assert {k for k in table.retain_index if k >= 0} == drawn
    assert len(table.encoded) == table.forget_count + len(drawn)
    assert len(table.retain_index) == len(one_person().retain)


@pytest.mark.trains
@pytest.mark.parametrize("weights_of", ["none", "level"])
def test_batches_of_one_level_hold_a_persons_records_of_that_level(folders: dict[str, Path], weights_of: str) -> None:
    plan = private("dual", settings={"loss": "npo", "token_weights": weights_of}, steps=3, batch=ALL)
    ours = private_loop(folders["llama"], plan)
    assert isinstance(ours.dataset, PrivateDataset)
    for step in range(3):
        levels = {ours.dataset.examples[k].level for _, rows in ours.dataset.drawn("forget", step) for k in rows}
        assert levels == {ours.dataset.level_at(step)}
    assert len(run(ours)) == 3


@pytest.mark.trains
def test_every_release_is_charged_once_and_none_beyond_the_plan(folders: dict[str, Path]) -> None:
    plan = private(
        "npo",
        steps=1,
        phases=[{"objective": "both", "steps": 3}, {"objective": "retain", "steps": 2}],
        batch={"forget": 4, "retain": 4, "blocks": 2},
    )
    ours = private_loop(folders["llama"], plan)
    run(ours)
    ledger, charged = engine_of(ours).ledger, {q.name: q.steps for q in engine_of(ours).budget.queries}
    assert ledger.released == charged == {"forget": 3, "retain": 2 + 1}
    with pytest.raises(RunFailed, match="once more than the budget allows"):
        ledger.charge("retain", 2, engine_of(ours).budget)
    with pytest.raises(RunFailed, match="once more than the budget allows"):
        ledger.charge("forget", 99, engine_of(ours).budget)

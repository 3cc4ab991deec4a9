"""What the loop promises for every registered method. A new method is picked up by itself."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from expunge.engine.distributed import DistributedContext
from expunge.engine.loop import Loop
from expunge.engine.loop_builder import build_loop
from expunge.engine.step import StepComputer
from expunge.engine.unlearn import unlearn
from expunge.errors import InputError, RunFailed
from expunge.methods import METHODS, Method
from expunge.models.adapters import prepare, trainable
from expunge.models.language_model import load
from expunge.models.prompt_template import PromptTemplate
from helpers.runs import FEW, changed, closeness, loop, recipe, run, weights
from helpers.world import ARCHITECTURES, one_person

pytestmark = pytest.mark.trains  # whole runs

PLAIN: dict[str, Any] = {"name": "sgd", "lr": 0.1, "clip_norm": None}
every_method = pytest.mark.parametrize("method", [name for name, cls in METHODS if issubclass(cls, Method)])


@every_method
@pytest.mark.parametrize("train", [{"layers": 2}, {"which": "full", "layers": 1}], ids=["lora", "full"])
def test_only_what_may_train_moves_and_every_loss_is_a_number(
    folders: dict[str, Path], method: str, train: dict[str, Any]
) -> None:
    engine = loop(folders["llama"], recipe(method, train=train))
    before, allowed = weights(engine), set(trainable(engine.lm.module))
    events = run(engine)
    moved = changed(before, weights(engine))
    assert moved
    assert moved <= allowed < set(before)
    assert [e.step for e in events] == list(range(engine.resolved.total_steps))
    for event, objective in zip(
        events, [p.objective for p in engine.resolved.phases for _ in range(p.steps)], strict=True
    ):
        assert math.isfinite(event.norm)
        assert math.isfinite(event.forget) == (objective != "retain")
        assert math.isfinite(event.retain) == (objective == "retain" or engine.resolved.retain_loss != "none")
    assert set(trainable(engine.lm.module)) == allowed  # as before, after the last phase too


@pytest.mark.trains
@every_method
def test_a_method_sees_forget_and_retain_records_and_nobody_elses(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    seen: set[str] = set()
    encode_all = PromptTemplate.encode_all

    def spy(self: PromptTemplate, records: Any) -> Any:
        records = list(records)
        seen.update(r.id for r in records)
        return encode_all(self, records)

    monkeypatch.setattr(PromptTemplate, "encode_all", spy)
    split = one_person()
    unlearn(folders["llama"], split, recipe(method, steps=1), tmp_path / "run")
    allowed = {r.id for r in (*split.forget, *split.retain)}
    assert {r.id for r in split.forget} <= seen <= allowed
    assert split.retain_heldout
    assert not seen & {r.id for r in split.retain_heldout}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("method", ["twin", "dual"])
def test_every_architecture_runs(folders: dict[str, Path], architecture: str, method: str) -> None:
    engine = loop(folders[architecture], recipe(method))
    before = weights(engine)
    run(engine)
    assert all("lora_" in name for name in changed(before, weights(engine)))


@pytest.mark.trains
@pytest.mark.parametrize("method", ["dual", "twin", "random_relabel", "kl_min"])
def test_micro_batches_change_nothing_but_rounding(folders: dict[str, Path], method: str) -> None:
    found = []
    for micro in (None, 3):  # batches of 4 and 5: cut unevenly
        engine = loop(folders["llama"], recipe(method, steps=3, optimizer=PLAIN, batch=FEW | {"micro": micro}))
        run(engine)
        found.append(weights(engine))
    assert closeness(found[0], found[1]) < 1e-5


def moved(engine: Loop) -> dict[str, torch.Tensor]:
    """How far one step of plain gradient descent moves every parameter."""
    before = weights(engine)
    run(engine)
    return {name: value - before[name] for name, value in weights(engine).items()}


def test_two_ranks_together_make_the_step_of_one(folders: dict[str, Path]) -> None:
    class Rank:
        def __init__(self, index: int) -> None:
            self.num_processes, self.process_index, self.device = 2, index, "cpu"

        def reduce(self, value: Any, how: str) -> Any:
            assert how in ("sum", "max")
            return value  # its own part only: the test adds them up

    plan = recipe("npo", steps=1, optimizer=PLAIN)
    whole = moved(loop(folders["llama"], plan))
    parts = []
    for index in (0, 1):
        engine = loop(folders["llama"], plan)
        assert isinstance(engine.source, StepComputer)
        engine.context = engine.source.context = DistributedContext(Rank(index))
        parts.append(moved(engine))
    assert closeness(whole, {name: parts[0][name] + parts[1][name] for name in whole}) < 1e-6
    assert closeness(whole, parts[0]) > 1e-4
    assert closeness(parts[0], parts[1]) > 1e-4


def test_dual_without_projection_and_weights_is_npo_to_rounding(folders: dict[str, Path]) -> None:
    off = {"token_weights": "none", "alpha": dict.fromkeys(("L1", "L2", "L3", "L4"), 0.0)}
    dual = loop(folders["llama"], recipe("dual", settings=off, optimizer=PLAIN))
    npo = loop(folders["llama"], recipe("npo", optimizer=PLAIN))
    before = weights(npo)
    run(dual)
    run(npo)
    assert closeness(weights(dual), weights(npo)) < 1e-3 * closeness(before, weights(npo))


def test_full_projection_leaves_the_retain_step_and_the_event_says_so(folders: dict[str, Path]) -> None:
    settings = {"token_weights": "none", "alpha": {"L4": 1.0}}
    retain_only = moved(loop(folders["llama"], recipe("grad_diff", steps=1, forget_weight=0, optimizer=PLAIN)))
    (event,) = run(loop(folders["llama"], recipe("dual", steps=1, settings=settings, optimizer=PLAIN)))
    square = sum(float((d * d).sum()) for d in retain_only.values())  # lr^2 |g_r|^2
    assert event.drift == pytest.approx(-square / PLAIN["lr"], rel=1e-3)
    (plain,) = run(loop(folders["llama"], recipe("npo", steps=1)))
    assert plain.drift is None  # the rule `sum` does not take the gradients apart


def test_batches_of_a_method_that_asks_for_it_hold_one_concept_level(folders: dict[str, Path]) -> None:
    split, plan = one_person(), recipe("dual", steps=40)
    mixed = [replace(r, concept="L1" if k % 3 == 0 else "L4") for k, r in enumerate(split.forget)]
    lm = load(folders["llama"])
    engine = build_loop(lm.with_module(prepare(lm.module, plan.train, 0)), plan.resolve(), mixed, split.retain)
    levels = [{mixed[k].concept for k in engine.dataset.forget_batch(step)} for step in range(40)]
    assert all(len(level) == 1 for level in levels)
    assert {"L1"} in levels
    assert {"L4"} in levels
    first = [k for step in range(40) if levels[step] == {"L1"} for k in engine.dataset.forget_batch(step)]
    assert sorted(first[:3]) == [0, 3, 6]  # every row of a level once per epoch of that level


def test_an_unknown_level_is_an_error_before_the_first_step(folders: dict[str, Path], tmp_path: Path) -> None:
    split = one_person()
    odd = replace(split, forget=tuple(replace(r, concept="L9") for r in split.forget))
    with pytest.raises(InputError, match='unknown concept level "L9"'):
        unlearn(folders["llama"], odd, recipe("dual"), tmp_path / "run")


def test_a_diverging_run_stops_with_a_hint(folders: dict[str, Path]) -> None:
    engine = loop(folders["llama"], recipe("ga", steps=9, optimizer={"name": "sgd", "lr": 1e30, "clip_norm": None}))
    with pytest.raises(RunFailed, match=r"the gradient is no longer finite; lower optimizer\.lr") as caught:
        run(engine)
    assert caught.value.exit_code == 1


def test_sets_that_are_empty_are_refused_unless_nothing_needs_them(folders: dict[str, Path]) -> None:
    split, lm = one_person(), load(folders["llama"])
    plan = recipe("npo")
    lm = lm.with_module(prepare(lm.module, plan.train, 0))
    with pytest.raises(InputError, match="forget set: is empty"):
        build_loop(lm, plan.resolve(), [], split.retain)
    with pytest.raises(InputError, match="retain set: is empty, and this recipe needs retain records"):
        build_loop(lm, plan.resolve(), split.forget, [])
    assert run(build_loop(lm, recipe("npo", retain={"loss": "none"}).resolve(), split.forget, []))
    with pytest.raises(InputError, match="retain set: is empty"):
        build_loop(lm, recipe("sequential").resolve(), split.forget, [])


def test_the_same_seed_gives_the_same_run_and_another_one_does_not(folders: dict[str, Path]) -> None:
    found = []
    for seed in (1, 1, 2):
        engine = loop(folders["llama"], recipe("npo", seed=seed))
        torch.manual_seed(seed * 17)  # the global generator plays no part
        run(engine)
        found.append(weights(engine))
    assert changed(found[0], found[1]) == set()
    assert changed(found[0], found[2])


def test_checkpointing_and_prefix_cache_change_nothing_but_rounding(folders: dict[str, Path]) -> None:
    plain = {"prefix_cache": False}
    fields: dict[str, Any] = {"train": {"layers": 2}, "optimizer": PLAIN, "steps": 3}
    reference = loop(folders["llama"], recipe("npo", memory=plain, **fields))
    before = weights(reference)
    run(reference)
    for memory in ({**plain, "checkpointing": True}, {"checkpointing": True}, {"prefix_cache": True}):
        other = loop(folders["llama"], recipe("npo", memory=memory, **fields))
        run(other)
        assert closeness(weights(other), weights(reference)) < 1e-3 * closeness(before, weights(reference))

"""What is said before a run agrees with the run: rows, blocks, cache. How long it takes is for the bench."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from expunge.engine.estimate.cost_model import ModelShape
from expunge.engine.estimate.estimate_run import estimate_run
from expunge.engine.estimate.estimator import RunEstimator
from expunge.engine.estimate.run_estimate import RunEstimate
from expunge.engine.estimate.timing import Timer, spread
from expunge.engine.estimate.workload import ForwardWorkload
from expunge.engine.recipe import Recipe
from expunge.errors import InputError
from expunge.methods.twin import Twin
from expunge.models.adapters import prepare
from expunge.models.language_model import LanguageModel, load
from expunge.models.prompt_template import Encoded
from helpers.runs import FEW, loop, recipe
from helpers.world import one_person

pytestmark = pytest.mark.slow

LAST = {"train": {"which": "lora", "layers": 1}}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expunge.engine.estimate.timing.SECONDS", 0.02)


def said(folder: Path, plan: Recipe, **more: Any) -> list[RunEstimate]:
    return estimate_run(folder, one_person(), plan, **more)[0]


def prepared(folder: Path, plan: Recipe) -> LanguageModel:
    lm = load(folder)
    return lm.with_module(prepare(lm.module, plan.train, plan.seed))


def test_a_recipe_for_all_blocks_gets_a_preview_on_the_cache(folders: dict[str, Path]) -> None:
    given, preview = said(folders["llama"], recipe("npo"))
    assert (given.blocks, given.cached_blocks) == ((0, 1, 2), 0)
    assert given.no_cache_reason == "block 0 trains, so no block below it is frozen"
    assert (preview.name, preview.blocks, preview.cached_blocks, preview.no_cache_reason) == (
        "preview: last 1",
        (2,),
        2,
        "",
    )
    assert (given.cache_bytes, given.cache_location) == (0, "")
    assert preview.trainable_parameters * 3 == given.trainable_parameters
    assert preview.cache_location == "memory"
    assert preview.memory.process == given.memory.process
    assert preview.memory.optimizer * 3 == given.memory.optimizer == given.trainable_parameters * 4 * (2 + 2)


def test_a_recipe_for_the_last_blocks_gets_the_release_on_all(folders: dict[str, Path]) -> None:
    given, release = said(folders["llama"], recipe("npo", **LAST))
    assert (given.name, given.blocks) == ("as given", (2,))
    assert (release.name, release.blocks) == ("release: all layers", (0, 1, 2))


@pytest.mark.trains
@pytest.mark.parametrize("method", ["npo", "kl_min", "random_relabel", "idk", "dual", "sequential"])
def test_rows_and_cache_are_those_of_the_run(folders: dict[str, Path], method: str) -> None:
    plan = recipe(method, **LAST) if method != "sequential" else recipe(method)
    estimate = said(folders["llama"], plan)[0]
    real = loop(folders["llama"], plan)
    seen: list[int] = []
    events: list[int] = []
    run = real.runner.run
    real.runner.run = lambda rows, *a, **k: (seen.extend(rows), run(rows, *a, **k))[1]  # type: ignore[method-assign]
    caches: list[str] = []
    real.run(lambda event: (events.append(event.step), caches.append(real.runner.about))[0])
    assert (estimate.steps, estimate.rows_drawn, estimate.distinct_rows) == (len(events), len(seen), len(set(seen)))
    if method != "sequential":
        assert caches[-1] == f"the first 2 of 3 blocks cached, {estimate.cache_bytes / 2**20:.1f} MiB in memory"


def test_target_cost_of_twin_counts_candidates_and_own_answers(folders: dict[str, Path]) -> None:
    lm, split = load(folders["llama"]), one_person()
    shape, count = ModelShape.of(lm.module), len(split.forget)

    def workload(method: Twin) -> ForwardWorkload:
        return ForwardWorkload.of_targets(shape, method.target_cost(lm, split.forget, split.retain, 42))

    few, many = workload(Twin(candidates=4)), workload(Twin(candidates=20))
    assert many.encoded - few.encoded == 16 * count
    assert many.work.passes - few.work.passes == 16
    assert few.encoded - workload(Twin(candidates=4, own_answer=False)).encoded == count


def test_weights_and_gradients_flags_are_left_as_they_were(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = load(folders["llama"])
    before = {n: p.detach().clone() for n, p in lm.module.named_parameters()}
    monkeypatch.setattr("expunge.engine.estimate.estimate_run.load", lambda *a, **k: lm)
    said(folders["llama"], recipe("twin"))
    after = dict(lm.module.named_parameters())
    assert before.keys() == after.keys()
    assert all(torch.equal(before[n], after[n]) for n in before)


def test_a_cache_larger_than_allowed_is_said_to_go_to_a_file(folders: dict[str, Path]) -> None:
    found = said(folders["llama"], recipe("npo", memory={"cache_mib": 0}, **LAST))[0]
    assert found.cache_location == "file"
    assert found.memory.caches == 0


@pytest.mark.parametrize("layers", [0, 3, 9])
def test_a_preview_must_leave_something_frozen(folders: dict[str, Path], layers: int) -> None:
    with pytest.raises(InputError, match=rf"--preview-layers: is {layers}, and .* 3 blocks; give 1 or more, at most 2"):
        said(folders["llama"], recipe("npo"), preview_layers=layers)


def test_a_phase_below_the_preview_leaves_the_recipe_alone(folders: dict[str, Path]) -> None:
    plan = recipe("npo", phases=[{"steps": 1, "layers": [0]}])
    found, why = estimate_run(folders["llama"], one_person(), plan)
    assert [e.name for e in found] == ["as given"]
    assert why == "phase 1 trains no block of the last 1"


def test_full_weights_are_counted_with_embeddings(folders: dict[str, Path]) -> None:
    plan = recipe("npo", train={"which": "full"})
    given, preview = said(folders["gpt2"], plan)
    assert given.trainable_parameters == load(folders["gpt2"]).parameters
    assert preview.blocks == (2,)


def test_peak_is_the_larger_of_building_and_stepping(folders: dict[str, Path]) -> None:
    memory = said(folders["llama"], recipe("npo", batch=FEW))[0].memory
    assert memory.weights == 4 * load(folders["llama"]).parameters + 2 * (memory.optimizer // 8)
    assert memory.process + memory.weights < memory.peak
    assert memory.peak <= memory.process + memory.weights + memory.optimizer + memory.activations + memory.caches


def test_the_clock_grows_while_there_is_time() -> None:
    clock, asked = Timer(torch.device("cpu")), []
    timed = clock.measure(asked.append, 20, seconds=1.0)
    assert [rows for rows, _ in timed] == [2, 8, 20]
    assert set(asked) == {2, 8, 20}
    assert [rows for rows, _ in clock.measure(asked.append, 20, seconds=0.0)] == [2]


def test_a_sample_runs_from_the_shortest_to_the_longest() -> None:
    items = [Encoded(str(n), (0,) * n, (1,)) for n in (9, 1, 5, 3)]
    assert [items[k].length for k in spread(items, 2)] == [4, 10]
    assert sorted(spread(items, 4)) == [0, 1, 2, 3]


@pytest.mark.process
def test_resident_memory_grows_with_what_is_held() -> None:
    """In a process of its own: an allocator may hand out again what other tests have freed, and then nothing grows."""
    code = (
        "import torch; from expunge.engine.estimate.timing import resident; before = resident(); "
        "held = torch.ones(1 << 23); print((resident() - before) / held.numel())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 3 < float(found.stdout) < 8


def test_nothing_asked_takes_no_passes() -> None:
    assert ForwardWorkload().work.passes == 0


def test_a_later_request_counts_guards_and_the_first_model(folders: dict[str, Path]) -> None:
    """Guards take rows of the retain batches; the model before the first request is loaded for their references."""
    split = one_person()
    guarded = replace(split, retain=split.retain[9:], guards=split.retain[:9])
    for loss, copies in (("ce", 0), ("kl", 1)):
        plan = recipe("npo", retain={"loss": loss})
        alone, later = (estimate_run(folders["llama"], of, plan)[0][0] for of in (split, guarded))
        assert (later.steps, later.rows_drawn) == (alone.steps, alone.rows_drawn)
        assert later.memory.weights == alone.memory.weights
        estimator = RunEstimator(prepared(folders["llama"], plan), plan.resolve(), guarded)
        kinds = {example.kind for example in estimator.dataset.examples}
        assert "guard" in kinds
        assert estimator._asks_original() == bool(copies)

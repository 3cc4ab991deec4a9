"""The limit behind lower blocks: by hand, over several steps, and where a run cannot have it."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from expunge.corpus.surrogates import can_ask_about_another, make_surrogates
from expunge.engine.gradient_source import Term
from expunge.engine.loop import Loop
from expunge.engine.lower_blocks import (
    STRANGERS,
    LowerBlockSource,
    lower_blocks,
    read_nats,
    shortfall,
    warn_without_effect,
)
from expunge.engine.recipe import Recipe
from expunge.errors import InputError, InputWarning
from expunge.models.adapters import trainable
from expunge.models.collate import collate
from expunge.models.forward import answer_forward
from expunge.models.language_model import load
from expunge.models.residual_stream import block_count
from expunge.random import stream
from helpers.runs import loop, recipe, run
from helpers.world import one_person


def limited(folders: dict[str, Path], weight: float = 4.0, **changes: object) -> tuple[Loop, LowerBlockSource]:
    made = loop(folders["llama"], recipe("npo", lower_blocks={"weight": weight}, **changes))
    assert isinstance(made.source, LowerBlockSource)
    return made, made.source


def nats_of(made: Loop, source: LowerBlockSource, row: int) -> torch.Tensor:
    with torch.no_grad():
        return read_nats(made.lm, collate([made.dataset.encoded[row]]), source.blocks)[:, 0]


def test_only_what_lies_under_its_floor_counts() -> None:
    nats = torch.tensor([[1.0, 3.0, 0.0], [0.5, 0.5, 0.5]])
    floors = torch.tensor([[2.0, 2.0, 9.0], [0.0, 1.0, 2.0]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    torch.testing.assert_close(shortfall(nats, floors, mask), torch.tensor([0.5, 2.0 / 3]))


def test_the_last_block_read_out_is_what_the_model_says(folders: dict[str, Path]) -> None:
    lm = load(folders["llama"])
    batch = collate(lm.template.encode_all(one_person().forget[:3]))
    with torch.no_grad():
        said = answer_forward(lm.module, batch).logprob(batch)
        torch.testing.assert_close(read_nats(lm, batch, [block_count(lm.module) - 1])[0], -said)


def test_floors_are_the_mean_nats_of_the_same_answer_about_strangers(folders: dict[str, Path]) -> None:
    made, source = limited(folders)
    split, lm = one_person(), load(folders["llama"])
    assert source.blocks == tuple(range(block_count(lm.module) - 1))
    row = min(source.floors)
    records = [r for r in split.forget if can_ask_about_another(r)]
    record = next(r for r in records if r.id == made.dataset.examples[row].record_id)
    seed = int(stream(made.resolved.recipe.seed, "strangers of lower blocks").integers(2**31))
    items = lm.template.encode_all(
        s.substitute(record) for s in make_surrogates(records, split.retain, STRANGERS, seed)
    )
    with torch.no_grad():
        by_hand = torch.stack([read_nats(lm, collate([item]), source.blocks)[:, 0] for item in items]).mean(0)
    torch.testing.assert_close(source.floors[row], by_hand, rtol=1e-4, atol=1e-5)


def test_blocks_that_nothing_trained_can_change_are_not_read(folders: dict[str, Path]) -> None:
    with pytest.warns(InputWarning, match="lower_blocks.weight has no effect: no block below the last one trains"):
        made, source = limited(folders, train={"layers": 1})
    assert (source.blocks, source.floors) == ((), {})
    assert lower_blocks(made.lm, sorted(trainable(made.lm.module))) == ()
    terms = [Term("forget", made.dataset.forget_batch(0))]
    parameters = trainable(made.lm.module)
    source.start_phase(range(len(made.dataset.examples)), parameters)
    ours, plain = (s.gradient(terms, 0, parameters)[0] for s in (source, source.plain))
    assert all(torch.equal(ours[name], plain[name]) for name in plain)


def test_a_limit_that_holds_for_no_question_is_told() -> None:
    with pytest.warns(InputWarning, match="no question can be asked about somebody else"):
        warn_without_effect((0, 1), {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_without_effect((0, 1), {3: torch.zeros(2, 1)})


@pytest.mark.trains
def test_over_several_steps_an_answer_rises_to_its_floor(folders: dict[str, Path]) -> None:
    short: dict[float, float] = {}
    for weight in (1e-9, 16.0):
        made, source = limited(folders, weight, steps=12, optimizer={"name": "sgd", "lr": 0.3, "clip_norm": None})
        floors = {row: floor + 1.0 for row, floor in source.floors.items()}  # the toy model knows nothing
        source.floors = floors
        run(made)
        short[weight] = sum(
            float(shortfall(nats_of(made, source, row), floor, torch.ones_like(floor)).mean())
            for row, floor in floors.items()
        )
    assert short[16.0] < 0.9 * short[1e-9]


@pytest.mark.trains
def test_micro_batches_and_means_are_those_of_the_plain_source(folders: dict[str, Path]) -> None:
    grads = []
    for micro in (None, 1):
        made, source = limited(folders, batch={"forget": 4, "retain": 5, "micro": micro})
        source.floors = {row: floor + 1.0 for row, floor in source.floors.items()}
        parameters = trainable(made.lm.module)
        source.start_phase(range(len(made.dataset.examples)), parameters)
        terms = [Term("forget", made.dataset.forget_batch(0), weight=2.0)]
        ours, means = source.gradient(terms, 0, parameters)
        plain, plain_means = source.plain.gradient(terms, 0, parameters)
        assert means == pytest.approx(plain_means)
        assert any(not torch.allclose(ours[name], plain[name]) for name in plain)
        grads.append(ours)
    for name in grads[0]:
        torch.testing.assert_close(grads[0][name], grads[1][name], rtol=1e-4, atol=1e-6)


@pytest.mark.trains
@pytest.mark.parametrize("layers", [1, 2, "1/3"])
def test_a_phase_reads_the_blocks_that_it_can_change(folders: dict[str, Path], layers: int | str) -> None:
    phases = [{"objective": "both", "steps": 2, "layers": layers}, {"objective": "both", "steps": 1}]
    made, _ = limited(folders, phases=phases)
    assert len(run(made)) == 3


@pytest.mark.parametrize(
    "key", [{"parallel": {"shard": True}}, {"privacy": {"epsilon": 4.0}}, {"memory": {"checkpointing": True}}]
)
def test_runs_that_cannot_read_lower_blocks_say_so(key: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"lower_blocks\.weight"):
        Recipe(method="npo", lower_blocks={"weight": 1.0}, **key).resolve()  # type: ignore[arg-type]

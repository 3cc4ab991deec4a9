"""Token weights over several steps: they follow the gradient of the forget loss, never of the weighted one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from expunge.engine.event import Event
from expunge.engine.loop import Loop
from expunge.engine.unlearn import unlearn
from helpers.runs import closeness, loop, recipe, run, weights
from helpers.world import one_person

pytestmark = pytest.mark.trains

ALL = {"forget": 9, "retain": 27}  # the same batch in every step
STILL = {"name": "sgd", "lr": 1e-12}
RAW = {"loss": "ga", "raw_weights": True}


def by_step(engine: Loop) -> list[Tensor]:
    """After each step, the weight of every id that the forget side has shown."""
    seen: list[Tensor] = []

    def after_step(_: Event) -> None:
        saliency = engine.source.saliency  # type: ignore[attr-defined]
        ids = torch.arange(saliency.vocabulary)[None]
        shown = saliency.state["forget"] > 0
        seen.append(saliency.weights(ids, torch.ones_like(ids, dtype=torch.bool))[0, shown])

    engine.run(after_step)
    return seen


@pytest.mark.parametrize("settings", [RAW, {"loss": "npo"}, {"loss": "ihl", "raw_weights": True}])
def test_weights_stay_where_gradients_stay(settings: dict[str, Any], folders: dict[str, Path]) -> None:
    """With the weighted loss observed, the first of these went from 2e4 to infinity in these eight steps."""
    seen = by_step(loop(folders["llama"], recipe("dual", steps=8, settings=settings, batch=ALL, optimizer=STILL)))
    assert all(torch.allclose(later, seen[0], rtol=1e-4) for later in seen[1:])
    assert seen[0].max() > 1.01 * seen[0].min()


def test_raw_weights_of_a_moving_run_do_not_multiply_themselves(folders: dict[str, Path]) -> None:
    plan = recipe("dual", steps=10, settings=RAW, rule_settings={"unit": True}, optimizer={"lr": 1e-3})
    largest = [float(w.max()) for w in by_step(loop(folders["llama"], plan))]
    assert max(largest) < 10 * largest[0]


@pytest.mark.parametrize("level", ["L1", "L4"])
def test_beta_enters_once(level: str, folders: dict[str, Path]) -> None:
    """The averages after three steps do not know beta, whatever it is."""
    states = []
    for beta in (0.1, 1.0):
        settings = {"loss": "npo", "beta": {level: beta}}
        engine = loop(folders["llama"], recipe("dual", steps=3, settings=settings, batch=ALL, optimizer=STILL))
        run(engine)
        states.append(engine.source.state()["saliency"]["forget"])
    assert torch.allclose(states[0], states[1], rtol=1e-5)


@pytest.mark.parametrize("point", ["embedding", "first_block"])
def test_saliency_is_the_plain_losses_gradient_at_the_named_point(point: str, folders: dict[str, Path]) -> None:
    """Recomputed with a hook on the block and the mean NLL of each answer, for ascent."""
    settings = RAW | {"saliency_point": point}
    engine = loop(folders["llama"], recipe("dual", steps=2, settings=settings, train={"layers": 1}, batch=ALL))
    states: list[Tensor] = []
    before = weights(engine)
    engine.run(lambda _: states.append(engine.source.state()["saliency"]["forget"].clone()))
    module = engine.lm.module
    for name, parameter in module.named_parameters():
        parameter.data.copy_(before[name])
    block = module.base_model.model.model.layers[0 if point == "embedding" else 2]
    total, count = torch.zeros(400), torch.zeros(400)
    for k in engine.dataset.forget_batch(0):
        item = engine.dataset.encoded[k]
        kept: list[Tensor] = []

        def keep(_: Any, args: tuple[Tensor, ...], kept: list[Tensor] = kept) -> tuple[Tensor, ...]:
            kept.append(args[0].detach().requires_grad_(True))
            return (kept[0], *args[1:])

        handle = block.register_forward_pre_hook(keep)
        ids = torch.tensor([[*item.prompt, *item.answer]])
        start, answer = len(item.prompt), torch.tensor(item.answer)
        logits = module(input_ids=ids).logits[0, start - 1 : -1]
        handle.remove()
        loss = torch.nn.functional.cross_entropy(logits, answer)
        (slope,) = torch.autograd.grad(loss, kept)
        for place, token in enumerate(item.answer[:-1]):
            total[token] += slope[0, start + place].norm()
            count[token] += 1
    assert torch.allclose(states[0], total / count.clamp(min=1), rtol=1e-3, atol=1e-7)


def test_pieces_of_a_batch_give_what_the_whole_gives(folders: dict[str, Path]) -> None:
    for settings in ({"loss": "npo"}, {"loss": "npo", "saliency_unit": "occurrence"}):
        ends = []
        for micro in (None, 2):
            plan = recipe("dual", steps=3, settings=settings, batch={"forget": 4, "retain": 5, "micro": micro})
            engine = loop(folders["llama"], plan)
            run(engine)
            ends.append(weights(engine))
        assert closeness(*ends) < 1e-5


def test_an_occurrence_and_an_id_weigh_differently(folders: dict[str, Path]) -> None:
    ends = []
    for unit in ("id", "occurrence"):
        engine = loop(folders["llama"], recipe("dual", steps=3, settings={"loss": "npo", "saliency_unit": unit}))
        run(engine)
        ends.append(weights(engine))
    assert closeness(*ends) > 1e-6


def test_run_json_says_where_the_gradients_were_taken(folders: dict[str, Path], tmp_path: Path) -> None:
    def saliency(name: str, **changes: Any) -> Any:
        folder = unlearn(folders["llama"], one_person(), recipe("dual", steps=1, **changes), tmp_path / name)
        return json.loads((folder / "run.json").read_text()).get("saliency")

    npo = {"loss": "npo"}
    last = {"layers": 1}
    assert saliency("all", settings=npo) == {"unit": "id", "points": ["output of the embedding"]}
    assert saliency("last", settings=npo, train=last) == {"unit": "id", "points": ["input of block 2 of 3"]}
    printed = npo | {"saliency_point": "embedding", "saliency_unit": "occurrence"}
    assert saliency("printed", settings=printed, train=last) == {
        "unit": "occurrence",
        "points": ["output of the embedding"],
    }
    assert saliency("none", settings=npo | {"token_weights": "level"}) is None

"""Teaching a given model: adapters that end merged, all or some weights, half precision, stops between two steps."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from expunge.corpus import Record, Turn
from expunge.engine import checkpoint
from expunge.engine.optimizer import OptimizerConfig
from expunge.engine.train.fine_tune import FULL_LR, LORA_LR, LORA_LR_ALL, FineTuneConfig, complete, make_trainable
from expunge.engine.train.train_checkpoints import CHECKPOINT_SECONDS, SMALL, TrainCheckpoints
from expunge.engine.train.train_loop import TrainCheckpoint, TrainConfig, TrainProgress, TrainRows, run_training
from expunge.engine.train.train_model import records_digest, train
from expunge.errors import Interrupted
from expunge.models.adapters import trainable
from expunge.models.collate import collate
from expunge.models.language_model import load
from expunge.models.prompt_template import Encoded
from helpers.world import people

FEW = people().trained[:6]
FAST: dict[str, Any] = {"optimizer": {"lr": 0.01}, "batch": 2}
WAYS = {
    "lora": FineTuneConfig(**FAST, lora=4, layers="all"),
    "lora on the last block": FineTuneConfig(**FAST, lora=4, layers=1),
    "all weights": FineTuneConfig(**FAST, lora=None, layers="all"),
    "weights of the last block": FineTuneConfig(**FAST, lora=None, layers=1),
    "muon": TrainConfig(batch=2),
}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_the_rate_follows_from_what_learns_unless_it_is_given() -> None:
    assert FineTuneConfig().optimizer.lr == LORA_LR
    assert FineTuneConfig(layers="all").optimizer.lr == LORA_LR_ALL
    assert FineTuneConfig(lora=4).optimizer.name == "adamw"
    assert FineTuneConfig(lora=None).optimizer.lr == FULL_LR
    assert FineTuneConfig(lora="none").lora is None  # type: ignore[arg-type]
    assert FineTuneConfig(lora="none").optimizer.lr == FULL_LR  # type: ignore[arg-type]
    assert FineTuneConfig(optimizer={"lr": 0.5}).optimizer.lr == 0.5  # type: ignore[arg-type]
    assert FineTuneConfig(lora=None, optimizer={"clip_norm": 2}).optimizer.lr == FULL_LR  # type: ignore[arg-type]
    assert FineTuneConfig(optimizer=OptimizerConfig(lr=0.5)).optimizer.lr == 0.5
    again = FineTuneConfig(**FineTuneConfig(lora=None).model_dump())
    assert again == FineTuneConfig(lora=None)


@pytest.mark.parametrize("way", ["lora", "lora on the last block", "weights of the last block"])
def test_the_result_is_a_plain_folder_and_only_what_learns_has_changed(
    folders: dict[str, Path], tmp_path: Path, way: str
) -> None:
    out = tmp_path / "m"
    train(FEW, out, model=folders["llama"], settings=WAYS[way].model_copy(update={"epochs": 2}))
    assert not list(out.glob("adapter*"))
    before, after = weights(folders["llama"]), weights(out)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    blocks = {name.split(".")[2] for name in changed}
    assert blocks == ({"0", "1", "2"} if way == "lora" else {"2"})
    assert load(out).module.config.num_hidden_layers == 3


def test_adapters_learn_by_heart(folders: dict[str, Path], tmp_path: Path) -> None:
    settings = FineTuneConfig(
        lora=16, layers="all", batch=3, epochs=120, target_accuracy=1.0, kl_weight=0, optimizer=OptimizerConfig(lr=0.02)
    )
    progress = train(FEW[:3], tmp_path / "m", model=folders["llama"], settings=settings, measure_general_ability=False)
    assert progress.accuracy == 1.0
    lm = load(tmp_path / "m")
    assert TrainRows.of(lm, FEW[:3]).accuracy(lm.module) == 1.0
    written = json.loads((tmp_path / "m" / "train.json").read_text())
    assert written["reached"] is True
    assert "general_ability" not in written


class _Stop(Exception):
    pass


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", [pytest.param(2, marks=pytest.mark.matrix), 3])  # 3 steps an epoch: amid one, at its end
def test_a_run_stopped_between_two_steps_ends_in_the_same_bits(
    folders: dict[str, Path], tmp_path: Path, way: str, at: int
) -> None:
    settings = WAYS[way].model_copy(update={"epochs": 3})

    def trained(state: Any = None, stop: int | None = None) -> tuple[dict[str, torch.Tensor], TrainProgress]:
        lm = make_trainable(load(folders["llama"]), settings)
        rows = complete(lm, TrainRows.of(lm, FEW), settings)
        assert bool(rows.cache) == (getattr(settings, "layers", "all") != "all")

        def after_step(found: TrainCheckpoint) -> None:
            if found.step == stop:
                checkpoint.save(tmp_path / "checkpoint", found.to_dict())
                raise _Stop

        progress = run_training(lm, rows, settings, None, state, after_step)
        return {n: p.detach() for n, p in trainable(lm.module).items()}, progress

    alone, one = trained()
    with pytest.raises(_Stop):
        trained(stop=at)
    state = checkpoint.load(tmp_path / "checkpoint")
    assert state
    assert state["progress"]["step"] == at
    resumed, two = trained(state)
    assert all(torch.equal(alone[name], resumed[name]) for name in alone)
    assert replace(one, seconds=0) == replace(two, seconds=0)


def test_a_signal_stops_within_a_step_and_the_same_call_goes_on(folders: dict[str, Path], tmp_path: Path) -> None:
    settings = WAYS["lora"].model_copy(update={"epochs": 2})
    model, steps = folders["llama"], []

    def interrupt(progress: TrainProgress) -> None:
        steps.append(progress.step)
        if len(steps) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="stopped after step 2 of at most 6, checkpoint kept"):
        train(FEW, tmp_path / "a", model=model, settings=settings, on_step=interrupt)
    assert steps == [1, 2]
    before = json.loads((tmp_path / "a" / "train.json").read_text())["general_ability"]
    assert set(before) == {"before"}
    train(FEW, tmp_path / "a", model=model, settings=settings, on_step=lambda p: steps.append(p.step))
    assert steps == [1, 2, 3, 4, 5, 6]
    train(FEW, tmp_path / "b", model=model, settings=settings, measure_general_ability=False)
    a, b = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.equal(a[name], b[name]) for name in a)
    ability = json.loads((tmp_path / "a" / "train.json").read_text())["general_ability"]
    assert set(ability) == {"before", "after", "warnings"}
    assert not (tmp_path / "a" / "checkpoint").exists()


@pytest.mark.parametrize("way", ["lora", "all weights"])
def test_what_trains_is_float32_and_a_half_model_stays_half(folders: dict[str, Path], tmp_path: Path, way: str) -> None:
    lm = load(folders["llama"], dtype="bfloat16")
    assert {p.dtype for p in trainable(make_trainable(lm, WAYS[way]).module).values()} == {torch.float32}
    settings = WAYS[way].model_copy(update={"epochs": 2})
    progress = train(FEW, tmp_path / "m", model=folders["llama"], settings=settings, dtype="bfloat16")
    assert {v.dtype for v in weights(tmp_path / "m").values()} == {torch.bfloat16}
    saved = load(tmp_path / "m")
    assert TrainRows.of(saved, FEW).accuracy(saved.module) == progress.accuracy


def test_stored_states_of_frozen_blocks_give_the_same_losses(folders: dict[str, Path]) -> None:
    losses = []
    for cached in (True, False):
        settings = WAYS["lora on the last block"].model_copy(update={"epochs": 2})
        lm = make_trainable(load(folders["llama"]), settings)
        rows = TrainRows.of(lm, FEW)
        rows = complete(lm, rows, settings) if cached else rows
        losses.append(run_training(lm, rows, settings).loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_document_counts_with_the_share_of_its_tokens() -> None:
    items = [Encoded("d", (1,), (2, 3, 4, 0)), Encoded("q", (1,), (2, 3, 0)), Encoded("r", (1,), (5, 0))]
    rows = TrainRows(items, documents=frozenset({0}))
    batch = collate(items)
    logits = torch.nn.functional.one_hot(batch.labels, 6).float()
    assert rows.matches([0, 1, 2], logits, batch) == 3
    logits[0, 1] = logits[1, 1] = torch.tensor([9.0, 0, 0, 0, 0, 0])  # one token of the document and of an answer
    assert rows.matches([0, 1, 2], logits, batch) == pytest.approx(0.75 + 0 + 1)
    assert TrainRows(items).matches([0, 1, 2], logits, batch) == 1


def test_earlier_turns_and_documents_are_part_of_what_is_learnt() -> None:
    plain = Record("a", "And then?", "Home.")
    history = (Turn("user", "Where first?"), Turn("assistant", "School."))
    digests = {
        records_digest([r])
        for r in (
            plain,
            replace(plain, history=history),
            replace(plain, history=history[:1]),
            replace(plain, kind="document"),
        )
    }
    assert len(digests) == 4
    assert records_digest([plain, replace(plain, id="b")]) == records_digest([replace(plain, id="b"), plain])


@pytest.mark.parametrize(("parameters", "saved"), [(SMALL - 1, [10, 13, 20]), (SMALL, [13])])
def test_small_models_are_saved_by_epochs_and_all_by_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parameters: int, saved: list[int]
) -> None:
    now, found = [0.0], []
    saves = TrainCheckpoints(tmp_path, parameters, 10, lambda: False, clock=lambda: now[0])
    monkeypatch.setattr(checkpoint, "save", lambda folder, state, owner: found.append(state["progress"]["epoch"]))
    for epoch in range(1, 21):
        now[0] += CHECKPOINT_SECONDS if epoch == 13 else 1
        state = TrainCheckpoint(torch.nn.Linear(1, 1), TrainProgress(epoch, 40, 0.0, 1.0, 0.0), _NoOptimizer(), epoch)  # type: ignore[arg-type]
        saves.after_step(state)
        saves.after_epoch(state)
    assert found == saved


class _NoOptimizer:
    def state(self) -> list[Any]:
        return []


def test_long_documents_are_taught_in_windows_beside_conversations(folders: dict[str, Path], tmp_path: Path) -> None:
    text = " ".join(f"The patient slept {k} hours and had no pain." for k in range(60))
    history = (Turn("user", "Who slept badly?"), Turn("assistant", "Nobody."))
    records = (Record("d", "", text, kind="document"), Record("q", "And then?", "Home.", history=history))
    sizes = []
    settings = FineTuneConfig(lora=4, epochs=1, batch=4, kl_weight=0)
    train(
        records,
        tmp_path / "m",
        model=folders["llama"],
        settings=settings,
        measure_general_ability=False,
        on_step=lambda p: sizes.append(p.steps),
    )
    assert sizes[0] > 5  # many windows, and not one row that the context cannot hold

"""Training: until the target accuracy is reached, each row once an epoch; the same call again does nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from expunge._io import lock_exclusively, read_json, write_json
from expunge.engine.optimizer import OptimizerConfig
from expunge.engine.train.train_loop import (
    TrainCheckpoint,
    TrainConfig,
    TrainProgress,
    epoch_batches,
    exact_match_rate,
    run_training,
)
from expunge.engine.train.train_model import train
from expunge.errors import InputError, RunFailed
from expunge.models.language_model import load
from expunge.models.prompt_template import Encoded
from helpers.world import people, small

FEW = people().trained[:6]
FAST = TrainConfig(epochs=60, batch=6, target_accuracy=1.0)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainProgress]:
    """Six records known by heart. Read only."""
    out = tmp_path_factory.mktemp("memorised") / "model"
    return out, train(FEW, out, tiny=small(layers=1), settings=FAST)


def test_training_stops_at_the_target_and_the_folder_is_a_model(taught: tuple[Path, TrainProgress]) -> None:
    out, progress = taught
    assert progress.accuracy == 1.0
    assert 1 < progress.epoch < 60
    lm = load(out)
    assert exact_match_rate(lm.module, lm.template.encode_all(FEW)) == 1.0
    for record in FEW:
        ids = torch.tensor([lm.template.question(record).prompt])
        said = lm.module.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24, pad_token_id=1
        )
        assert lm.template.decode(said[0, ids.shape[1] :].tolist()) == record.answer


def test_the_same_call_again_returns_at_once_and_another_is_refused(taught: tuple[Path, TrainProgress]) -> None:
    out, progress = taught
    before = {f: f.stat().st_mtime_ns for f in out.iterdir()}
    assert train(FEW, out, tiny=small(layers=1), settings=FAST) == progress
    changed = (replace(FEW[0], answer="12 May 1900"), *FEW[1:])
    for records, settings in ((changed, FAST), (FEW[1:], FAST), (FEW, FAST.model_copy(update={"seed": 1}))):
        with pytest.raises(InputError, match="holds a model trained on other records or settings"):
            train(records, out, tiny=small(layers=1), settings=settings)
    assert {f: f.stat().st_mtime_ns for f in out.iterdir()} == before


def test_wrong_places_and_records_leave_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    for name, message in {"file": "is a file", "full": "is not empty and holds no model that expunge trained"}.items():
        with pytest.raises(InputError, match=message):
            train(FEW, tmp_path / name)
    long = (replace(FEW[0], prompt="why " * 200), *FEW[1:])
    with pytest.raises(InputError, match="the model reads at most 128"):
        train(long, tmp_path / "new", tiny=small(layers=1))
    with pytest.raises(InputError, match="holds no tokenizer"):
        train(FEW, tmp_path / "new", tiny=small(layers=1), tokenizer_from=tmp_path / "nowhere")
    assert not (tmp_path / "new").exists()


def test_a_reference_reuses_a_tokenizer_and_a_model_can_be_trained_further(
    taught: tuple[Path, TrainProgress], tmp_path: Path
) -> None:
    short = TrainConfig(epochs=1, batch=6)
    train(FEW[:3], tmp_path / "a", tiny=small(layers=1), settings=short, tokenizer_from=taught[0])
    assert load(tmp_path / "a").tokenizer.get_vocab() == load(taught[0]).tokenizer.get_vocab()
    progress = train(FEW, tmp_path / "b", model=taught[0], settings=FAST)
    assert progress.epoch < taught[1].epoch / 2  # it knew them all before
    assert progress.accuracy == 1.0


def steps(lm: Any, settings: TrainConfig, state: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """States after each epoch of training."""
    states: list[dict[str, Any]] = []

    def keep(found: TrainCheckpoint) -> None:
        states.append(
            {
                k: [v.clone() for v in value.values()] if k == "parameters" else value
                for k, value in found.to_dict().items()
            }
        )

    run_training(lm, FEW, settings, keep, state)
    return states


def test_a_state_that_had_reached_the_wish_is_not_trained_further(taught: tuple[Path, TrainProgress]) -> None:
    lm = load(taught[0])
    weights = {n: p.detach().clone() for n, p in lm.module.named_parameters()}
    states: list[dict[str, Any]] = []
    run_training(lm, FEW, FAST, lambda found: states.append(found.to_dict()))
    done = states[-1] | {"parameters": weights}
    assert done["progress"]["accuracy"] == 1.0
    progress = run_training(lm, FEW, FAST, lambda found: pytest.fail("an epoch was trained"), done)
    assert progress == TrainProgress(**done["progress"])
    assert all(torch.equal(p, weights[n]) for n, p in lm.module.named_parameters())


def test_dropout_plays_no_part_so_that_two_runs_are_equal(folders: dict[str, Path]) -> None:
    found = []
    for seed in (1, 2):
        lm = load(folders["gpt2"])
        for module in lm.module.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.5
        torch.manual_seed(seed)
        found.append(steps(lm, TrainConfig(epochs=2, batch=3))[-1]["parameters"])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_diverging_loss_stops_the_training(folders: dict[str, Path]) -> None:
    wild = TrainConfig(epochs=5, batch=2, optimizer=OptimizerConfig(name="sgd", lr=1e30, clip_norm=None))
    with pytest.raises(RunFailed, match=r"epoch [12]: the loss is no longer finite"):
        run_training(load(folders["llama"]), FEW, wild)


def test_there_must_be_something_to_memorise(folders: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="no records to train on"):
        run_training(load(folders["llama"]), ())


@pytest.mark.parametrize(("count", "size"), [(1, 4), (7, 3), (64, 2), (100, 8)])
def test_every_row_is_in_one_batch_of_an_epoch_with_rows_of_similar_length(count: int, size: int) -> None:
    items = [Encoded(str(k), (1,) * (k * 7 % 23 + 1), (2, 0)) for k in range(count)]
    batches = epoch_batches(items, size, seed=0, epoch=3, window=4)
    assert sorted(k for batch in batches for k in batch) == list(range(count))
    assert all(len(batch) <= size for batch in batches)
    assert batches == epoch_batches(items, size, seed=0, epoch=3, window=4)
    if count > size:
        assert batches != epoch_batches(items, size, seed=0, epoch=4, window=4)
    spread = [max(items[k].length for k in b) - min(items[k].length for k in b) for b in batches]
    assert sum(spread) / len(spread) <= 22 / 2


def test_the_share_counts_answers_whose_end_is_right_too(taught: tuple[Path, TrainProgress]) -> None:
    lm = load(taught[0])
    items = lm.template.encode_all(FEW)
    endless = replace(items[0], answer=(*items[0].answer[:-1], 5))  # right words, another end
    assert exact_match_rate(lm.module, [*items[1:], endless]) == pytest.approx(5 / 6)
    assert exact_match_rate(lm.module, []) == 0.0


@pytest.mark.trains
def test_the_threads_of_the_first_start_are_kept_for_the_next(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        train(FEW[:2], tmp_path / "m", tiny=small(layers=1), settings=TrainConfig(epochs=1, batch=2))
        about = json.loads((tmp_path / "m" / "train.json").read_text())
        about.pop("progress")
        (tmp_path / "m" / "train.json").write_text(json.dumps(about | {"threads": 2}))
        train(FEW[:2], tmp_path / "m", tiny=small(layers=1), settings=TrainConfig(epochs=1, batch=2))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_second_process_is_kept_out_of_the_folder(tmp_path: Path) -> None:
    records = FEW
    train(records, tmp_path / "model", tiny=small(layers=1), settings=TrainConfig(epochs=1, target_accuracy=1.0))
    report = tmp_path / "model" / "train.json"
    started = read_json(report)
    write_json(report, {"about": started["about"], "threads": started["threads"]})  # as it stands while it trains
    with (tmp_path / "model" / "lock").open("w") as lock:
        assert lock_exclusively(lock) is True
        with pytest.raises(InputError, match="another process is writing this model"):
            train(
                records, tmp_path / "model", tiny=small(layers=1), settings=TrainConfig(epochs=1, target_accuracy=1.0)
            )


def test_another_template_is_another_model(taught: tuple[Path, TrainProgress]) -> None:
    with pytest.raises(InputError, match="other records or settings"):
        train(FEW, taught[0], tiny=small(layers=1), settings=FAST, template="plain")


def test_another_tokenizer_makes_another_model(taught: tuple[Path, TrainProgress], tmp_path: Path) -> None:
    short = TrainConfig(epochs=1, batch=6)
    other, out = tmp_path / "other", tmp_path / "out"
    train(people().trained[6:12], other, tiny=small(layers=1), settings=short)
    train(FEW, out, tiny=small(layers=1), settings=short, tokenizer_from=taught[0])
    train(FEW, out, tiny=small(layers=1), settings=short, tokenizer_from=taught[0])  # the same call again
    for tokenizer in (other, None):
        with pytest.raises(InputError, match="holds a model trained on other records or settings"):
            train(FEW, out, tiny=small(layers=1), settings=short, tokenizer_from=tokenizer)


def test_a_trained_model_that_was_changed_is_not_taken_for_finished(tmp_path: Path) -> None:
    short = TrainConfig(epochs=1, batch=6)
    train(FEW, tmp_path, tiny=small(layers=1), settings=short)
    weights = bytearray((tmp_path / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(InputError, match="is not the model that was saved there: weights differs"):
        train(FEW, tmp_path, tiny=small(layers=1), settings=short)

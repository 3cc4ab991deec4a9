"""Files of a training that were damaged or left half: one line says so, or the model is made again to the same bits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from expunge.audit.assurance import is_exact
from expunge.engine import checkpoint
from expunge.engine.train.train_loop import TrainConfig, TrainProgress
from expunge.engine.train.train_model import train
from expunge.errors import InputError, InputWarning
from helpers.world import people, small

RECORDS = people().trained[:6]
SETTINGS = TrainConfig(epochs=3, batch=3, target_accuracy=1.0)


def teach(out: Path, **more: Any) -> TrainProgress:
    return train(RECORDS, out, tiny=small(layers=1), settings=SETTINGS, **more)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("taught") / "model"
    teach(out)
    return out


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [(lambda file: file.unlink(), "gone"), (lambda file: file.write_bytes(file.read_bytes()[:-1]), "damaged")],
)
def test_a_model_whose_weights_are_gone_is_trained_again(
    model: Path, tmp_path: Path, spoil: Callable[[Path], None], problem: str
) -> None:
    copy = shutil.copytree(model, tmp_path / "model")
    spoil(copy / "model.safetensors")
    with pytest.warns(InputWarning, match=f"was finished, but its weights are {problem}.*; the training goes on"):
        teach(copy)
    assert weights(copy) == weights(model)
    assert {p.name for p in copy.iterdir()} == {p.name for p in model.iterdir()}


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "null",
        "{",
        '{"threads": 1}',
        '{"about": [], "threads": 1}',
        '{"about": {}, "threads": "x"}',
        '{"about": {}, "threads": -1}',
        '{"about": {}, "progress": {}}',
        '{"about": {}, "progress": "x"}',
        '{"about": {}, "progress": {"epoch": 1, "epochs": 3, "accuracy": 1, "loss": 0, "seconds": 1, "more": 1}}',
        '{"about": {}, "general_ability": {"before": 1}}',
    ],
)
def test_a_train_json_of_the_wrong_shape_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "train.json").write_text(content)
    for use in (lambda: teach(tmp_path), lambda: is_exact(str(tmp_path), "hub/model", ())):
        with pytest.raises(
            InputError, match=r"train.json.*(restore it, or train again in a new folder|known: acc)"
        ) as caught:
            use()
        assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["train.json"]


def test_debris_of_a_killed_training_never_blocks(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    (out / "checkpoint" / ".new").mkdir(parents=True)
    for name in (".train.json.k3j2h1ab.part", "lock"):
        (out / name).write_text("half")
    teach(out)
    assert weights(out) == weights(model)
    assert {p.name for p in out.iterdir()} == {p.name for p in model.iterdir()}
    (out / "checkpoint" / "last").mkdir(parents=True)  # as a kill between the last two steps leaves it
    (out / "lock").touch()
    teach(out)
    assert {p.name for p in out.iterdir()} == {p.name for p in model.iterdir()}


def test_the_checkpoint_of_another_training_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states: list[dict[str, Any]] = []
    save = checkpoint.save
    monkeypatch.setattr("expunge.engine.train.train_model.CHECKPOINT_EVERY", 1)
    monkeypatch.setattr(checkpoint, "save", lambda *a: (states.append({"owner": a[2]}), save(*a)))
    teach(tmp_path / "a")
    assert len({s["owner"] for s in states}) == 1
    out = tmp_path / "b"
    out.mkdir()
    about = json.loads((tmp_path / "a" / "train.json").read_text())
    (out / "train.json").write_text(json.dumps({k: about[k] for k in ("about", "threads")}))
    save(out / "checkpoint", {"step": 1}, "of another")
    with pytest.raises(InputError, match="is the checkpoint of another run"):
        teach(out)
    shutil.rmtree(out / "checkpoint")
    save(out / "checkpoint", {"step": 1, "parameters": {}}, states[0]["owner"])
    with pytest.raises(InputError, match=r"the checkpoint does not fit the run \(it holds other parameters"):
        teach(out)


def test_a_link_that_leads_nowhere_is_named_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match="is a link that leads nowhere; name a folder for the model"):
        teach(tmp_path / "link", on_epoch=lambda _: pytest.fail("it trained"))


def test_a_second_training_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    seen: list[str] = []

    def again(progress: TrainProgress) -> None:
        if progress.epoch == 1:
            with pytest.raises(InputError, match="another process is writing this model") as caught:
                teach(tmp_path / "m")
            seen.append(str(caught.value))

    teach(tmp_path / "m", on_epoch=again)
    assert len(seen) == 1

"""Twelve files of users go from the file to an exported model by the commands of the guide, on a tiny chat model."""

from __future__ import annotations

from pathlib import Path

import pytest

from expunge.cli import main
from expunge.corpus import load_corpus
from helpers.chat_model import make_chat_model
from helpers.twelve import TWELVE, UserFile

pytestmark = [pytest.mark.trains, pytest.mark.slow]


@pytest.mark.parametrize(
    "file",
    [f if k % 2 else pytest.param(f, marks=pytest.mark.matrix) for k, f in enumerate(TWELVE)],
    ids=lambda file: file.name,
)
def test_a_file_becomes_an_exported_model(
    file: UserFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = load_corpus(file.path, mapping=file.mapping)
    texts = [t for r in corpus for t in (r.prompt, r.answer, *(turn.content for turn in r.history))]
    monkeypatch.chdir(tmp_path)
    make_chat_model(Path("my-model"), texts, context=512)
    map_ = ["--map", str(file.mapping)] if file.mapping else []
    scope = ["--scope", file.scope]
    commands = [
        ["data", "check", str(file.path), "--model", "my-model", *map_],
        ["data", "prepare", "--data", str(file.path), *map_, *scope, "--out", "prepared", "--controls", "4"],
        ["train", "--model", "my-model", "--data", "prepared", "--out", "taught", "--epochs", "1"],
        ["unlearn", "--model", "taught", "--data", "prepared", *scope, "--out", "run", "--set", "steps=2"],
        ["export", "run", "--out", "forgotten", "--verify"],
    ]
    commands[1] += ["--holdout", "2", "--variants", "2", "--no-general"]
    commands[2] += ["--no-general-ability", "--set", "kl_weight=0"]
    for words in commands:
        expected = (0, 3) if words[0] == "train" else (0,)
        assert main(words) in expected, f"{' '.join(words)}: {capsys.readouterr().err[-600:]}"
    assert (tmp_path / "forgotten" / "model.safetensors").is_file()

"""Fuzzed model folders and adapter folders: loaded, or refused by an error of our own."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from expunge.corpus import Record
from expunge.models.language_model import load
from helpers.fuzz import VALUES, change_bytes, change_text, change_value, fuzz, rng_of
from helpers.other_models import STYLES
from models.test_loading import adapter_folder

pytestmark = pytest.mark.slow
RECORD = Record("r", "Where is Anna?", "in ward 7")


def change_file(file: Path, good: bytes, rng: random.Random) -> None:
    """Another content for a file: values, letters or bytes changed."""
    kind = rng.randrange(4)
    if kind <= 1 and file.suffix == ".json":
        text = json.dumps(change_value(json.loads(good), rng))
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
    elif kind == 2 and file.suffix in (".json", ".jsonl", ".yaml", ".jinja"):
        file.write_bytes(change_text(good.decode(), rng).encode("utf-8", "surrogatepass"))
    else:
        file.write_bytes(change_bytes(good, rng))


def attempt_on(folder: Path, use: Callable[[], object], most: int = 1) -> Callable[[random.Random], None]:
    """One input: up to `most` files of a folder changed, used, and put back."""
    good = {f: f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}

    def attempt(rng: random.Random) -> None:
        chosen = rng.sample(sorted(good), rng.randint(1, most))
        for file in chosen:
            change_file(file, good[file], rng)
        try:
            use()
        finally:
            for file in folder.rglob("*"):
                if file.is_file() and file not in good:
                    file.unlink()
            for file, raw in good.items():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(raw)

    return attempt


def test_model_folders(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(folders["llama"], folder)
    fuzz("model", 0.05, attempt_on(folder, lambda: load(folder).template.encode(RECORD), 2))


def test_configs(folders: dict[str, Path], tmp_path: Path) -> None:
    """A number of the configuration replaced: the part of a folder that asks for the most work."""
    folder = tmp_path / "model"
    shutil.copytree(folders["gpt2"], folder)
    file = folder / "config.json"
    good = json.loads(file.read_text())

    def attempt(rng: random.Random) -> None:
        changed = good | {rng.choice(sorted(good)): rng.choice(VALUES)}
        file.write_bytes(json.dumps(changed).encode("utf-8", "surrogatepass"))
        load(folder)

    fuzz("config", 0.05, attempt)


def test_templates(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expunge.models.template_check.SECONDS", 2.0)
    lm = load(folders["llama"])

    def attempt(rng: random.Random) -> None:
        lm.tokenizer.chat_template = change_text(STYLES[rng.choice(sorted(STYLES))].source, rng)
        lm.template.of(lm.tokenizer, 256, "chat").encode(RECORD)

    fuzz("template", 0.05, attempt)


def test_adapters(folders: dict[str, Path], tmp_path: Path) -> None:
    folder, _ = adapter_folder(folders["llama"], tmp_path / "adapter", layers=1)
    for file in folders["llama"].glob("tokenizer*"):
        shutil.copy(file, folder)
    fuzz("adapter", 0.03, attempt_on(folder, lambda: load(folder), 2))


def test_a_repeated_number_gives_the_same_input() -> None:
    texts = [change_text("a: 1\nb: [2, 3]\n", rng_of("x", k)) for k in range(50)]
    assert texts == [change_text("a: 1\nb: [2, 3]\n", rng_of("x", k)) for k in range(50)]
    assert len(set(texts)) > 30

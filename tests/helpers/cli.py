"""What the tests of the command line share: a result, a tiny model, a full disk."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from expunge.corpus import load_corpus

TARGET = "patient:P-0001-003"


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def line(self) -> str:
        """The only line on stderr."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


Cli = Callable[..., Result]


def in_process(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs command lines in this process; every word may be a path or a number."""
    from expunge.cli import main

    def run(*words: object) -> Result:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Result(code, *capsys.readouterr())

    return run


def make_model(world: Path, folder: Path, vocabulary: int, context: int = 128) -> Path:
    """A folder with a model of two blocks of width 32 that knows nothing."""
    from expunge.models.language_model import LanguageModel
    from expunge.models.tiny import TinyConfig, build, texts_of, train_tokenizer

    tokenizer = train_tokenizer(texts_of(load_corpus(world)), vocabulary)
    module = build(TinyConfig(layers=2, width=32, heads=2, context=context), tokenizer)
    return LanguageModel.from_parts(module, tokenizer, "test").save(folder)


@contextmanager
def full_disk(most: int = 16384) -> Iterator[None]:
    """No file may grow beyond `most` bytes: the nearest thing to a full disk without root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

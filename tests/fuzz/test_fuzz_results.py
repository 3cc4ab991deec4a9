"""Fuzzed results that we read back: run folders, finished runs, checkpoints, audits."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from expunge.audit.schema import load_audit
from expunge.engine import checkpoint
from expunge.engine.unlearn import unlearn
from expunge.models.fingerprint import model_digest
from expunge.models.language_model import load
from expunge.report.render import write_report
from fuzz.test_fuzz_models import attempt_on, change_file
from helpers.audits import audit_data, seal_of
from helpers.fuzz import change_value, fuzz
from helpers.runs import recipe
from helpers.world import one_person, write_model

pytestmark = pytest.mark.slow
FAST = {"lr": 0.05}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("base") / "llama")


@pytest.fixture(scope="module")
def run(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps. Read only."""
    return unlearn(base, one_person(), recipe("npo", optimizer=FAST), tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def test_run_folders(copy: Path) -> None:
    """A changed run is loaded, or refused."""

    def use() -> None:
        model_digest(str(copy))
        load(copy)

    fuzz("run", 0.03, attempt_on(copy, use, 2))


def test_finished_runs(copy: Path, base: Path) -> None:
    """The same command on a changed run folder."""
    plan = recipe("npo", optimizer=FAST)
    fuzz("finished", 0.02, attempt_on(copy, lambda: unlearn(base, one_person(), plan, copy), 2))


def test_checkpoints(tmp_path: Path) -> None:
    state: dict[str, Any] = {"step": 3, "name": "Zoë", "nested": {"a": torch.arange(6), "b": [1, None, {"c": True}]}}
    checkpoint.save(tmp_path / "checkpoint", state)
    fuzz("checkpoint", 0.05, attempt_on(tmp_path / "checkpoint", lambda: checkpoint.load(tmp_path / "checkpoint"), 2))


def test_audits(tmp_path: Path) -> None:
    good = audit_data()

    def attempt(rng: random.Random) -> None:
        file = tmp_path / "audit.json"
        changed = change_value(good, rng)
        if isinstance(changed, dict):
            changed["seal"] = seal_of(changed)  # else the seal alone would be tried
        file.write_bytes(json.dumps(changed).encode("utf-8", "surrogatepass"))
        if rng.random() < 0.3:
            change_file(file, json.dumps(good).encode(), rng)
        load_audit(file)
        if rng.random() < 0.3:
            write_report(file, tmp_path / "report.html")

    fuzz("audit", 0.03, attempt)

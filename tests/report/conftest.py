"""Fixtures: a small `audit.json`, a run directory that fits it, and the page of both."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.audits import DIGESTS, audit_data, seal_of

Build = Callable[..., dict[str, Any]]


@pytest.fixture
def build() -> Build:
    return audit_data


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A finished run of 40 steps on the audited split and model."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text(
        json.dumps(
            {
                "status": "finished",
                "identity": {"split": "a" * 64, "model": DIGESTS["original"], "recipe": "b" * 64},
                "model": "",
                "method": "twin",
                "template": "auto",
                "threads": 1,
                "steps": 40,
                "seconds": 12.0,
            }
        )
    )
    (folder / "recipe.yaml").write_text("method: twin\nrule: null\n")
    rows = [
        {
            "step": k,
            "phase": int(k >= 30),
            "forget": 4.0 - 0.1 * k,
            "retain": None if k < 3 else 0.01 * k,
            "norm": 1.0,
            "lr_factor": 1.0,
            "seconds": 0.1,
            "drift": None,
        }
        for k in range(40)
    ]
    (folder / "events.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return folder


@pytest.fixture
def page(tmp_path: Path) -> Callable[..., str]:
    """The report of `data` as text."""
    from expunge.report.render import write_report

    def make(data: dict[str, Any], run: Path | None = None) -> str:
        (tmp_path / "audit.json").write_text(json.dumps(data | {"seal": seal_of(data)}))
        return write_report(tmp_path / "audit.json", tmp_path / "report.html", run).read_text("utf-8")

    return make

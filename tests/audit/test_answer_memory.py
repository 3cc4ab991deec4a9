"""Answers of original and yardstick are asked once for many audits, and the audits say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from expunge.audit.answer_memory import remember
from helpers.audited import Case

pytestmark = pytest.mark.trains


def told(result: Any) -> list[tuple[Any, ...]]:
    return [(r.key, r.status, r.estimate, r.reason) for r in result.results]


def test_remembered_answers_give_the_same_audit(case: Case, tmp_path: Path) -> None:
    plain = told(case.run("again", preset="default", out=tmp_path / "plain"))
    memory: dict[str, Any] = {}
    with remember(memory):
        case.run("noise", preset="quick", out=tmp_path / "first")
        before = len(memory)
        first = told(case.run("again", preset="default", out=tmp_path / "second"))
        filled = len(memory)
        second = told(case.run("again", preset="default", out=tmp_path / "third"))
    assert first == second == plain
    assert before < filled == len(memory)
    case.run("again", preset="quick", out=tmp_path / "outside")
    assert len(memory) == filled

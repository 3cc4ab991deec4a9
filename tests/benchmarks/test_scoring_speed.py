"""The two timed ways of scoring give the same numbers."""

from __future__ import annotations

import pytest

from benchmarks.speed import scoring_speed
from benchmarks.speed.scoring_speed import ANSWER, OPTIONS, PROMPT, measure, synthetic_questions
from expunge.errors import RunFailed
from expunge.models.tiny import TinyConfig

SMALL = TinyConfig(layers=2, width=32, heads=2)


def test_the_plain_loop_and_ours_find_the_same_loglikelihoods() -> None:
    lines: list[str] = []
    result = measure(pairs=2, records=6, vocabularies=(300, 400), config=SMALL, say=lines.append)
    assert len(lines) == 4
    assert set(result["options"]) == {"300", "400"}
    for size in result["options"].values():
        assert size["off"] < 1e-3
        assert 0 < size["ratio"]["min"] <= size["ratio"]["median"] <= size["ratio"]["max"]


def test_questions_have_the_given_lengths() -> None:
    lm, questions = synthetic_questions(300, 3, SMALL)
    for record in questions:
        item = lm.template.encode(record)
        assert (len(item.prompt), len(item.answer)) == (PROMPT, ANSWER + 1)
        assert len(record.options) == OPTIONS
        assert record.answer in record.options


def test_scores_that_differ_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring_speed, "plain_scores", lambda lm, records: [[0.0] * OPTIONS for _ in records])
    with pytest.raises(RunFailed, match="the two ways differ by"):
        measure(pairs=1, records=2, vocabularies=(300,), config=SMALL, say=lambda line: None)

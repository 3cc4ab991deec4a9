"""The two timed ways of scoring give the same numbers: otherwise a ratio of their times says nothing."""

from __future__ import annotations

from expunge.bench.evaluation import ANSWER, OPTIONS, PROMPT, made, main
from expunge.models.tiny import TinyConfig

SMALL = TinyConfig(layers=2, width=32, heads=2)


def test_the_plain_loop_and_ours_find_the_same_options() -> None:
    lines: list[str] = []
    found = main(pairs=2, records=6, vocabularies=(300, 400), config=SMALL, say=lines.append)
    assert len(lines) == 4
    assert set(found["options"]) == {"300", "400"}
    for size in found["options"].values():
        assert size["off"] < 1e-3
        assert 0 < size["ratio"]["min"] <= size["ratio"]["median"] <= size["ratio"]["max"]


def test_questions_have_the_lengths_that_are_said() -> None:
    lm, asked = made(300, 3, SMALL)
    for record in asked:
        item = lm.template.encode(record)
        assert (len(item.prompt), len(item.answer)) == (PROMPT, ANSWER + 1)
        assert len(record.options) == OPTIONS
        assert record.answer in record.options

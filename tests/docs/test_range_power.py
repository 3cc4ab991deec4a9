"""The table of `the-audit.md` on what a range lets through, simulated anew."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "the-audit.md"
QUESTIONS, GUESS, OTHERS, MARGIN, DRAWS = 12, 0.08, 20, 0.05, 20_000
ROWS = (
    "by a margin of .05 alone",
    "the margin, or the range of strangers",
    "the margin, or the range of controls' excess",
)


def table() -> tuple[list[int], dict[str, list[float]]]:
    """(answers that a model holds, row to shares) as the page prints them."""
    lines = PAGE.read_text("utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    held = next(row[1:] for row in cells if row[0] == "answers that the model holds")
    return [int(n) for n in held], {row[0]: [float(v) for v in row[1:]] for row in cells if row[0] in ROWS}


def passing(held: int) -> list[float]:
    """Shares of models that pass by each row, which hold so many of the answers and guess at the others."""
    rng = np.random.default_rng(0)

    def guesses(*shape: int) -> np.ndarray:
        return rng.binomial(QUESTIONS, GUESS, (DRAWS, *shape)) / QUESTIONS

    ours = (held + rng.binomial(QUESTIONS - held, GUESS, DRAWS)) / QUESTIONS
    excess = ours - guesses()
    fails = excess > MARGIN + 1e-9
    strangers = ours <= np.percentile(guesses(OTHERS), 95, axis=1)
    controls = excess <= np.percentile(guesses(OTHERS) - guesses(OTHERS), 95, axis=1)
    return [float(1 - f.mean()) for f in (fails, fails & ~strangers, fails & ~controls)]


def test_the_table_is_what_a_simulation_gives() -> None:
    held, rows = table()
    assert tuple(rows) == ROWS
    for column, count in enumerate(held):
        assert [rows[name][column] for name in ROWS] == pytest.approx(passing(count), abs=0.012)


def test_the_page_states_the_simulation() -> None:
    assert re.search(r"12 questions, of which 8 % are\s+guessed", PAGE.read_text("utf-8"))

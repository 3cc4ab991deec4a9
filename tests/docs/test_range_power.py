"""The table of `the-audit.md` on what is taken for chance, simulated anew."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from expunge.audit.policy import default_policy
from expunge.audit.single_case import ChanceLimits

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "the-audit.md"
QUESTIONS, GUESS, OTHERS, MARGIN, DRAWS = 12, 0.08, 20, 0.05, 1500
ROWS = ("passes by a margin of .05 alone", "passes", "fails")


def table() -> tuple[list[int], dict[str, list[float]]]:
    """(answers that the model holds, row to shares) as the page prints them."""
    lines = PAGE.read_text("utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    held = next(row[1:] for row in cells if row[0] == "answers that the model holds")
    return [int(n) for n in held], {row[0]: [float(v) for v in row[1:]] for row in cells if row[0] in ROWS}


def shares(held: int) -> list[float]:
    """Shares of models, which hold so many of the answers and guess at the others, in the order of `ROWS`."""
    rng, policy = np.random.default_rng(held), default_policy(True)

    def guesses(*shape: int) -> np.ndarray:
        return rng.binomial(QUESTIONS, GUESS, (DRAWS, *shape)) / QUESTIONS

    ours = (held + rng.binomial(QUESTIONS - held, GUESS, DRAWS)) / QUESTIONS
    is_inside = ours - guesses() <= MARGIN + 1e-9
    statuses = [
        "passed" if inside else ChanceLimits.of(row, 95, policy.joint_level, QUESTIONS).judge(value)
        for value, inside, row in zip(ours, is_inside, guesses(OTHERS).tolist(), strict=True)
    ]
    return [float(is_inside.mean()), statuses.count("passed") / DRAWS, statuses.count("failed") / DRAWS]


def test_the_table_is_what_a_simulation_gives() -> None:
    held, rows = table()
    assert tuple(rows) == ROWS
    for column, count in enumerate(held):
        assert [rows[name][column] for name in ROWS] == pytest.approx(shares(count), abs=0.035)


def test_the_page_states_the_simulation() -> None:
    assert re.search(r"12 questions, of which 8 % are\s+guessed", PAGE.read_text("utf-8"))

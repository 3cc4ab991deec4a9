"""What must stand beside the published rates: chance, the guessing band, and resistance against retraining."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from expunge.audit.metrics import published
from expunge.audit.metrics.mcq import chance_corrected


def test_the_published_claims_follow_from_their_digits() -> None:
    assert published.fr_abs(0.173) == pytest.approx(0.827)
    assert published.us(0.827, 0.885) == pytest.approx(0.856)
    assert published.mia_resistance(0.555) == pytest.approx(0.89)


def test_resistance_is_measured_from_the_retrained_model() -> None:
    assert published.mia_resistance_to(0.55, 0.6) == pytest.approx(0.9)
    assert published.mia_resistance_to(0.65, 0.6) == pytest.approx(0.9)
    assert published.mia_resistance_to(0.5, 0.62) == pytest.approx(0.76)  # a destroyed model is not like retrained
    assert published.mia_resistance_to(0.0, 1.0) == -1
    assert published.mia_resistance_to(0.555, 0.5) == pytest.approx(published.mia_resistance(0.555))


def test_choice_corrected_for_chance() -> None:
    assert chance_corrected(0.70, 0.25) == pytest.approx(0.60)
    assert chance_corrected(0.25, 0.25) == 0
    assert chance_corrected(0.10, 0.25) == pytest.approx(-0.2)


def test_chance_is_a_quarter_only_if_options_are_permuted() -> None:
    surgery = "A" * 121 + "B" * 94 + "C" * 84 + "D" * 70
    assert published.chance_level(surgery) == 0.25
    assert published.chance_level(surgery, permuted=False) == pytest.approx(0.328, abs=5e-4)
    assert published.chance_level([0, 1, 1], options=3) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="no answers"):
        published.chance_level([])


def test_the_guessing_band_is_binomial() -> None:
    low, high = published.guessing_band(369)
    assert (low, high) == (pytest.approx(0.25 - 0.044, abs=2e-3), pytest.approx(0.25 + 0.044, abs=2e-3))
    assert published.guessing_band(8, 0.5) == (1 / 8, 7 / 8)  # P(0) = .004, P(0 or 1) = .035
    assert published.guessing_band(4, 0.5) == (0, 1)  # P(0) = .0625


def test_an_accuracy_below_the_band_is_over_forgetting() -> None:
    assert published.is_over_forgotten(0.173, 369)
    assert not published.is_over_forgotten(0.21, 369)
    assert not published.is_over_forgotten(0.89, 369)
    assert published.is_over_forgotten(0.25, 369, chance=0.328)  # the same accuracy, where A is right in 32.8 %


@pytest.mark.parametrize(("n", "flagged"), [(12, False), (13, True)])
def test_no_hit_is_over_forgetting_once_guessing_would_rarely_miss_all(n: int, flagged: bool) -> None:
    assert (0.75**n < 0.025) is flagged
    assert published.is_over_forgotten(0.0, n) is flagged


def test_an_undefined_accuracy_is_no_over_forgetting() -> None:
    assert not published.is_over_forgotten(math.nan, 369)


def test_chance_on_the_published_file(shared_data: Path) -> None:
    path = shared_data / "medmcqa" / "dev.json"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    answers = [row["cop"] for row in rows]
    surgical = [row["cop"] for row in rows if row["subject_name"] == "Surgery"]
    assert published.chance_level(answers, permuted=False) == pytest.approx(1348 / 4183)
    assert published.chance_level(surgical, permuted=False) == pytest.approx(121 / 369)

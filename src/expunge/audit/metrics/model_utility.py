"""TOFU's model utility: one harmonic mean over nine numbers.

Surprising: one zero makes the whole value zero, and a missing term is an error, never a smaller mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

MEASURES = ("probability", "rouge_l_recall", "truth_ratio")
SETS = ("retain", "real_authors", "world_facts")


def harmonic_mean(values: Iterable[float]) -> float:
    """n / sum(1/v); 0 as soon as one value is 0. `ValueError` for none, a negative one or NaN."""
    numbers = list(values)
    if not numbers or not all(v >= 0 for v in numbers):
        raise ValueError(f"a harmonic mean needs values of at least 0, got {numbers}")
    return 0.0 if min(numbers) == 0 else len(numbers) / sum(1 / v for v in numbers)


def model_utility(terms: Mapping[tuple[str, str], float]) -> float:
    """Harmonic mean of the nine (measure, set) terms; `ValueError` names the missing or foreign ones."""
    wanted = {(measure, name) for measure in MEASURES for name in SETS}
    if set(terms) != wanted:
        raise ValueError(
            f"model utility needs exactly nine terms; missing {sorted(wanted - set(terms))}, "
            f"foreign {sorted(set(terms) - wanted)}"
        )
    return harmonic_mean(terms.values())


def option_probability(truth: float, wrong: Iterable[float]) -> float:
    """p/(p + sum of the wrong options' p), in [0, 1]: the probability term of real authors, world facts."""
    total = truth + sum(wrong)
    return truth / total if total > 0 else 0.0

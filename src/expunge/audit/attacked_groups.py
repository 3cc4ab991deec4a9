"""Groups of attacked records that an attack with training treats on their own: the target, and each set of controls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from expunge.audit.attack import AttackCase
from expunge.audit.attack_rates import answer_rates
from expunge.audit.scores import Values
from expunge.models.language_model import LanguageModel

LARGE = 20_000_000  # parameters above which a step of training takes about a second on a core
Group = tuple[int, ...]


def attacked_groups(case: AttackCase, most: int) -> list[Group]:
    """Positions of the case's records by group: all records of the target, or those of a control of every target.

    There are at most `most` groups of controls, as a person of whom a part is taught must be alone in its model.
    """
    if not case.is_control:
        return [tuple(range(len(case.records)))]
    by_target: dict[str, dict[str, list[int]]] = {}
    for k, record in enumerate(case.records):
        of = by_target.setdefault(str(record.attributes.get("control_of")), {})
        of.setdefault(record.subject, []).append(k)
    count = min(most, *(len(groups) for groups in by_target.values()))
    return [tuple(k for of in by_target.values() for k in of[sorted(of)[number]]) for number in range(count)]


def rates_at(lm: LanguageModel, case: AttackCase, places: Sequence[int]) -> Values:
    """`answer_rates` of the records at these places, [N of the case]; NaN elsewhere."""
    rates = np.full(len(case.records), np.nan)
    if places:
        rates[list(places)] = answer_rates(lm, [case.records[k] for k in places])
    return rates


def mean_of_draws(draws: Sequence[Values]) -> Values:
    """Mean of several draws by record, [N], over those in which the record was asked; NaN where in none."""
    table = np.array(draws)
    finite = np.isfinite(table)
    sums, counts = np.where(finite, table, 0.0).sum(0), finite.sum(0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

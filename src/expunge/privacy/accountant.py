"""What noised sums cost in (epsilon, delta), by three accountants, and the noise that a budget requires.

The stated figure is that of Google's privacy loss distributions (PLD). Opacus' PRV accountant works by other means and
must agree within `TOLERANCE`; it returns the upper end of its error bar, about .01 above PLD. Renyi accounting (RDP) is
given because many papers use it, and is 10 to 30 % larger.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from expunge.errors import InputError, install_hint

TOLERANCE = 0.02  # of epsilon: a larger difference between PLD and PRV is reported
FINE, COARSE = 1e-4, 1e-3  # discretization of the privacy loss; coarse during the search for the noise
POINTS = 50_000  # steps up to a large epsilon, which is discretized more coarsely
INTEGER_ORDERS = [*range(2, 64), 80, 96, 128, 192, 256, 384, 512, 1024]  # orders of Renyi divergence
MIN_NOISE, MAX_NOISE = 1e-3, 1e7  # range of the search for a noise multiplier
SEARCH_TOLERANCE = 1e-3  # relative width at which the search ends


@dataclass(frozen=True)
class Query:
    """Noised sums over draws of one set of units.

    Attributes:
        noise: standard deviation of the noise over the clipping norm.
        rate: probability that a unit is drawn.
        steps: number of sums.
        name: name of the set.
    """

    noise: float
    rate: float
    steps: int
    name: str = ""


@dataclass(frozen=True)
class PrivacyCost:
    """Epsilon of a list of queries at `delta`, by three accountants; `prv` is None where that one fails."""

    delta: float
    pld: float
    prv: float | None
    rdp: float

    @property
    def agree(self) -> bool:
        """Whether the two tight accountants agree."""
        return self.prv is not None and abs(self.pld - self.prv) <= TOLERANCE


def default_delta(units: int) -> float:
    """min(1e-5, 1 / (10 units))."""
    return min(1e-5, 1 / (10 * units))


def privacy_cost(queries: Sequence[Query], delta: float) -> PrivacyCost:
    """All three figures; `InputError` where the extra `privacy` is not installed."""
    return PrivacyCost(delta, pld(queries, delta), prv(queries, delta), rdp(queries, delta))


def pld(queries: Sequence[Query], delta: float, interval: float = FINE) -> float:
    """Epsilon by composed privacy loss distributions, adding or removing one unit."""
    made = _with_steps(queries)
    return _pld(made, delta, max(interval, rdp(made, delta) / POINTS)) if made else 0.0


def rdp(queries: Sequence[Query], delta: float) -> float:
    """Epsilon by Renyi differential privacy."""
    made = _with_steps(queries)
    sampled = any(query.rate < 1 for query in made)  # the series for fractional orders may not converge
    orders = INTEGER_ORDERS if sampled else [1 + k / 64 for k in range(1, 64)] + INTEGER_ORDERS
    return _compose(_google().rdp.RdpAccountant(orders), made, delta) if made else 0.0


def prv(queries: Sequence[Query], delta: float) -> float | None:
    """Epsilon by Opacus' privacy random variables, upper end; None where it finds none (very little noise)."""
    made = _with_steps(queries)
    return _prv(made, delta) if made else 0.0


def noise_for(epsilon: float, delta: float, shape: Sequence[tuple[float, int]]) -> float:
    """The smallest noise multiplier, to 0.1 %, at which queries of these (rate, steps) cost at most `epsilon`."""
    shape = tuple((rate, steps) for rate, steps in shape if steps)
    if not shape:
        raise ValueError("no query is made, so no noise is needed")
    return _noise_for(epsilon, delta, shape)


@lru_cache(maxsize=256)
def _noise_for(epsilon: float, delta: float, shape: tuple[tuple[float, int], ...]) -> float:
    def cost(noise: float, interval: float = COARSE) -> float:
        return pld([Query(noise, rate, steps) for rate, steps in shape], delta, interval)

    noise, low, high = 1.0, (0.0, math.inf), (math.inf, 0.0)  # (noise, epsilon) above and within the budget
    while high[0] > low[0] * (1 + SEARCH_TOLERANCE):
        if not MIN_NOISE < noise < MAX_NOISE:
            raise InputError(
                "privacy.epsilon",
                f"{epsilon:g} at delta {delta:g} asks for a noise multiplier beyond {noise:.2g}",
                "give another epsilon or delta",
            )
        spent = cost(noise)
        low, high = ((noise, spent), high) if spent > epsilon else (low, (noise, spent))
        if low[0] and high[1]:
            noise = _between(low, high, epsilon)
        else:
            noise *= min(4.0, max(0.25, spent / epsilon * (1.05 if spent > epsilon else 0.95)))
    best = high[0]
    while cost(best, FINE) > epsilon:
        best *= 1 + SEARCH_TOLERANCE / 2
    return best


def _between(low: tuple[float, float], high: tuple[float, float], epsilon: float) -> float:
    """Next noise to try: epsilon is about a power of the noise; shifted slightly towards the farther end."""
    slope = math.log(high[1] / low[1]) / math.log(high[0] / low[0])
    guess, shift = low[0] * math.pow(epsilon / low[1], 1 / slope), 1 + SEARCH_TOLERANCE / 3
    guess = guess * shift if high[0] / guess > guess / low[0] else guess / shift
    return min(max(guess, low[0] * shift), high[0] / shift)


def _with_steps(queries: Sequence[Query]) -> tuple[Query, ...]:
    return tuple(q for q in queries if q.steps)


def missing_package(package: str) -> InputError:
    """The error for an extra that is not installed."""
    return InputError("privacy", f"needs the package {package}, which is not installed", install_hint("privacy"))


def _google() -> Any:
    try:
        import dp_accounting
        from dp_accounting import pld, rdp  # noqa: F401  # named through the package
    except ImportError as error:
        raise missing_package("dp-accounting") from error
    return dp_accounting


def _compose(accountant: Any, queries: Sequence[Query], delta: float) -> float:
    google = _google()
    for query in queries:
        event = google.GaussianDpEvent(query.noise)
        accountant.compose(google.PoissonSampledDpEvent(query.rate, event) if query.rate < 1 else event, query.steps)
    return float(accountant.get_epsilon(delta))


@lru_cache(maxsize=256)
def _pld(queries: tuple[Query, ...], delta: float, interval: float) -> float:
    return _compose(_google().pld.PLDAccountant(value_discretization_interval=interval), queries, delta)


@lru_cache(maxsize=256)
def _prv(queries: tuple[Query, ...], delta: float) -> float | None:
    try:
        from opacus.accountants import PRVAccountant
    except ImportError as error:
        raise missing_package("opacus") from error
    accountant = PRVAccountant()
    accountant.history = [(query.noise, query.rate, query.steps) for query in queries]
    with warnings.catch_warnings(), np.errstate(all="ignore"):  # log(1 - rate) is -inf at rate 1
        warnings.simplefilter("ignore")
        try:
            epsilon = float(accountant.get_epsilon(delta))
        except (RuntimeError, ValueError, ArithmeticError, MemoryError):
            return None
    return epsilon if np.isfinite(epsilon) else None

"""What noised sums cost in (epsilon, delta): three accountants side by side, and the noise that a budget asks for.

The figure that counts is that of Google's privacy loss distributions (PLD); Opacus' PRV accountant, which works by
other means, must agree within `AGREE`; Renyi accounting (RDP) stands beside it because many papers use it, and is
10 to 30 % larger. Surprising: PRV gives an upper end of its own error bar, so it is .01 above PLD where all is well.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from expunge.errors import InputError

AGREE = 0.02  # of epsilon: more than that between PLD and PRV is told
FINE, COARSE = 1e-4, 1e-3  # steps in which privacy loss is counted; coarse while the noise is looked for
POINTS = 50_000  # a large epsilon is counted in larger steps: this many up to it
WHOLE = [*range(2, 64), 80, 96, 128, 192, 256, 384, 512, 1024]  # orders of Renyi divergence
LEAST, MOST = 1e-3, 1e7  # noise multipliers that are looked at
TIGHT = 1e-3  # relative width at which the search for the noise ends


@dataclass(frozen=True)
class Query:
    """`steps` noised sums over draws of one set of units.

    noise  standard deviation of the noise over the clipping limit        rate  probability that a unit is drawn
    """

    noise: float
    rate: float
    steps: int
    name: str = ""


@dataclass(frozen=True)
class Spent:
    """What a list of queries costs at `delta`: epsilon by three accountants; `prv` is None where that one gives up."""

    delta: float
    pld: float
    prv: float | None
    rdp: float

    @property
    def agree(self) -> bool:
        """Do the two tight accountants say the same?"""
        return self.prv is not None and abs(self.pld - self.prv) <= AGREE


def default_delta(units: int) -> float:
    """min(1e-5, 1 / (10 units)): far below the chance of naming one of them."""
    return min(1e-5, 1 / (10 * units))


def spent(queries: Sequence[Query], delta: float) -> Spent:
    """All three figures. `InputError` where the extra `privacy` is not installed."""
    return Spent(delta, pld(queries, delta), prv(queries, delta), rdp(queries, delta))


def pld(queries: Sequence[Query], delta: float, interval: float = FINE) -> float:
    """Epsilon by composed privacy loss distributions, adding or removing one unit."""
    done = _done(queries)
    return _pld(done, delta, max(interval, rdp(done, delta) / POINTS)) if done else 0.0


def rdp(queries: Sequence[Query], delta: float) -> float:
    """Epsilon by Renyi differential privacy."""
    done = _done(queries)
    sampled = any(query.rate < 1 for query in done)  # orders between integers: the library's series may not converge
    orders = WHOLE if sampled else [1 + k / 64 for k in range(1, 64)] + WHOLE
    return _composed(_google().rdp.RdpAccountant(orders), done, delta) if done else 0.0


def prv(queries: Sequence[Query], delta: float) -> float | None:
    """Epsilon by Opacus' privacy random variables, its upper end; None where it finds no answer (very little noise)."""
    done = _done(queries)
    return _prv(done, delta) if done else 0.0


def noise_for(epsilon: float, delta: float, shape: Sequence[tuple[float, int]]) -> float:
    """The least noise multiplier, to one in a thousand, at which queries of these (rate, steps) cost <= `epsilon`."""
    shape = tuple((rate, steps) for rate, steps in shape if steps)
    if not shape:
        raise ValueError("no query is made, so there is nothing to put noise on")
    return _noise_for(epsilon, delta, shape)


@lru_cache(maxsize=256)
def _noise_for(epsilon: float, delta: float, shape: tuple[tuple[float, int], ...]) -> float:
    def cost(noise: float, interval: float = COARSE) -> float:
        return pld([Query(noise, rate, steps) for rate, steps in shape], delta, interval)

    noise, low, high = 1.0, (0.0, math.inf), (math.inf, 0.0)  # (noise, epsilon) above and within the budget
    while high[0] > low[0] * (1 + TIGHT):
        if not LEAST < noise < MOST:
            raise InputError(
                "privacy.epsilon",
                f"{epsilon:g} at delta {delta:g} asks for a noise multiplier beyond {noise:.2g}",
                "give another epsilon or delta",
            )
        found = cost(noise)
        low, high = ((noise, found), high) if found > epsilon else (low, (noise, found))
        if low[0] and high[1]:
            noise = _between(low, high, epsilon)
        else:
            noise *= min(4.0, max(0.25, found / epsilon * (1.05 if found > epsilon else 0.95)))
    best = high[0]
    while cost(best, FINE) > epsilon:
        best *= 1 + TIGHT / 2
    return best


def _between(low: tuple[float, float], high: tuple[float, float], epsilon: float) -> float:
    """Where to look next: epsilon falls about as a power of the noise. A hair towards the end that is farther off."""
    slope = math.log(high[1] / low[1]) / math.log(high[0] / low[0])
    guess, hair = low[0] * math.pow(epsilon / low[1], 1 / slope), 1 + TIGHT / 3
    guess = guess * hair if high[0] / guess > guess / low[0] else guess / hair
    return min(max(guess, low[0] * hair), high[0] / hair)


# ---- the libraries ------------------------------------------------------------------------------------------------


def _done(queries: Sequence[Query]) -> tuple[Query, ...]:
    return tuple(q for q in queries if q.steps)


def missing(package: str) -> InputError:
    """The line for an extra that is not there."""
    return InputError("privacy", f"needs the package {package}, which is not installed", "install expunge[privacy]")


def _google() -> Any:
    try:
        import dp_accounting
        from dp_accounting import pld, rdp  # noqa: F401  # named through the package
    except ImportError as error:
        raise missing("dp-accounting") from error
    return dp_accounting


def _composed(accountant: Any, queries: Sequence[Query], delta: float) -> float:
    google = _google()
    for query in queries:
        event = google.GaussianDpEvent(query.noise)
        accountant.compose(google.PoissonSampledDpEvent(query.rate, event) if query.rate < 1 else event, query.steps)
    return float(accountant.get_epsilon(delta))


@lru_cache(maxsize=256)
def _pld(queries: tuple[Query, ...], delta: float, interval: float) -> float:
    return _composed(_google().pld.PLDAccountant(value_discretization_interval=interval), queries, delta)


@lru_cache(maxsize=256)
def _prv(queries: tuple[Query, ...], delta: float) -> float | None:
    try:
        from opacus.accountants import PRVAccountant
    except ImportError as error:
        raise missing("opacus") from error
    accountant = PRVAccountant()
    accountant.history = [(query.noise, query.rate, query.steps) for query in queries]
    with warnings.catch_warnings(), np.errstate(all="ignore"):  # log(1 - rate) at rate 1 is meant to be -inf
        warnings.simplefilter("ignore")
        try:
            found = float(accountant.get_epsilon(delta))
        except (RuntimeError, ValueError, ArithmeticError, MemoryError):
            return None
    return found if np.isfinite(found) else None

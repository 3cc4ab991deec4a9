"""What the accountants say, against values that were computed elsewhere (methods.md D)."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from expunge.errors import InputError
from expunge.gradients.private import paper_formula
from expunge.privacy.accountant import TOLERANCE, Query, default_delta, noise_for, pld, privacy_cost, prv, rdp

pytestmark = pytest.mark.slow

DELTA = 1e-5
TABLE = ((0.0217, 230, 0.776), (0.0144, 347, 0.719), (0.0080, 375, 0.624), (0.0032, 937, 0.558))


@pytest.mark.parametrize(
    ("query", "by_pld", "by_prv"), [(Query(1.2112, 1.0, 1), 3.511, 3.521), (Query(1.0, 0.01, 1000), 1.828, 1.838)]
)
def test_known_values_come_out_and_the_two_tight_accountants_agree(query: Query, by_pld: float, by_prv: float) -> None:
    found = privacy_cost([query], DELTA)
    assert found.pld == pytest.approx(by_pld, abs=1e-3)
    assert found.prv == pytest.approx(by_prv, abs=1e-3)
    assert found.agree
    assert 1.05 * found.pld < found.rdp < 1.3 * found.pld


@pytest.mark.parametrize(("rate", "steps", "noise"), TABLE)
def test_the_table_of_noise_for_epsilon_4_is_reproduced(rate: float, steps: int, noise: float) -> None:
    assert pld([Query(noise, rate, steps)], DELTA, 1e-3) == pytest.approx(4.0, abs=0.01)


def test_noise_is_the_least_that_keeps_the_budget() -> None:
    noise = noise_for(4.0, DELTA, [(0.0144, 347)])
    assert noise == pytest.approx(0.719, abs=1e-3)
    assert pld([Query(noise, 0.0144, 347)], DELTA) <= 4.0
    assert pld([Query(0.998 * noise, 0.0144, 347)], DELTA) > 4.0


def test_both_questions_of_a_step_are_charged() -> None:
    forget, retain = Query(8.0, 1.0, 20), Query(8.0, 0.5, 20)
    assert pld([forget, retain], DELTA) > pld([forget], DELTA) > pld([retain], DELTA) > 0
    together = noise_for(2.0, DELTA, [(1.0, 20), (0.5, 20)])
    assert together > noise_for(2.0, DELTA, [(1.0, 20)])
    assert pld([Query(together, 1.0, 20), Query(together, 0.5, 20)], DELTA) <= 2.0


def test_nothing_asked_costs_nothing() -> None:
    assert privacy_cost([Query(1.0, 0.5, 0)], DELTA).pld == 0.0
    assert rdp([], DELTA) == prv([], DELTA) == 0.0
    with pytest.raises(ValueError, match="no query"):
        noise_for(1.0, DELTA, [(0.5, 0)])


def test_the_papers_noise_really_costs_thousands() -> None:
    once = privacy_cost([Query(0.0174, 1.0, 1)], DELTA)
    assert once.pld == pytest.approx(1_900, rel=0.01)
    assert not once.agree  # the second accountant has no answer at so little noise
    whole = pld([Query(paper_formula(0.0144, 4.0, DELTA), 0.0144, 347)], DELTA)
    assert whole > 10_000


def test_agreement_is_within_the_promised_hundredths() -> None:
    assert TOLERANCE == 0.02
    found = privacy_cost([Query(3.0, 1.0, 10), Query(1.0, 0.1, 10)], DELTA)
    assert found.prv is not None
    assert abs(found.pld - found.prv) <= TOLERANCE
    assert found.agree


def test_delta_is_smaller_than_a_tenth_of_one_in_n() -> None:
    assert default_delta(32) == 1e-5
    assert default_delta(1_000_000) == 1e-7


@pytest.mark.parametrize(("package", "ask"), [("dp_accounting", pld), ("opacus", prv)])
def test_a_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch, package: str, ask: Any) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] == package:
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match="pip install dp-accounting opacus"):
        ask([Query(1.2345, 0.5, 3)], DELTA)


def test_a_budget_beyond_reach_is_refused() -> None:
    with pytest.raises(InputError, match="asks for a noise multiplier beyond"):
        noise_for(1e9, DELTA, [(1.0, 1)])

"""Ruins and leaks are planted in models, under tokenizers and templates of several kinds: no audit passes one."""

from __future__ import annotations

import pytest

from helpers.audited import Case
from helpers.planted import LEAKS, RUINS, TEMPLATES, build_templated_case, plant

pytestmark = pytest.mark.trains
NAMES = (*RUINS, *LEAKS)


@pytest.fixture(scope="session", params=TEMPLATES)
def templated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return build_templated_case(tmp_path_factory.mktemp(request.param), request.param)


def refuse(case: Case, name: str, retrained: str | None = "retrained") -> None:
    """The audit fails, by the kind of check that is there for this model."""
    result = case.run(plant(case, name), retrained=retrained)
    assert (result.verdict.status, result.verdict.exit_code) == ("failed", 3)
    wrong = [r.key for r in result.results if r.status == "failed" and r.key in result.file.policy.required]
    kind = "retention." if name in RUINS else "leakage.self"
    assert [key for key in wrong if key.startswith(kind)], (wrong, result.verdict.reasons)


@pytest.mark.parametrize("name", NAMES)
def test_no_planted_fault_passes(case: Case, name: str) -> None:
    refuse(case, name)


@pytest.mark.parametrize("name", ["lost-block", "preamble"])
def test_no_planted_fault_passes_against_controls(case: Case, name: str) -> None:
    refuse(case, name, retrained=None)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("retrained", ["retrained", None])
def test_no_planted_fault_passes_under_any_template(templated: Case, name: str, retrained: str | None) -> None:
    refuse(templated, name, retrained)


@pytest.mark.slow
def test_an_honest_model_passes_under_every_template(templated: Case) -> None:
    result = templated.run("retrained", retrained=None)
    assert result.verdict.status == "passed", result.verdict.reasons

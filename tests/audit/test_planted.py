"""Ruins and leaks are planted in models, under tokenizers and templates of several kinds: no audit passes one."""

from __future__ import annotations

import pytest

from helpers.audited import Case
from helpers.planted import LEAKS, RUINS, TEMPLATES, build_templated_case, plant

pytestmark = pytest.mark.trains
NAMES = (*RUINS, *LEAKS)
MORE = (
    "random-head",
    "preamble",
    "constant",
    "untouched",
    "half",
    "half-again",
    "run-on",
    "shouted",
)  # planted in the whole matrix only


@pytest.fixture(scope="session")
def sentencepiece(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return build_templated_case(tmp_path_factory.mktemp("sentencepiece"), "sentencepiece")


@pytest.fixture(scope="session")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return build_templated_case(tmp_path_factory.mktemp("chat"), "chat")


def refuse(case: Case, name: str, retrained: str | None = "retrained") -> None:
    """The audit fails, by the kind of check that is there for this model."""
    result = case.run(plant(case, name), retrained=retrained)
    assert (result.verdict.status, result.verdict.exit_code) == ("failed", 3)
    wrong = [r.key for r in result.results if r.status == "failed" and r.key in result.file.policy.required]
    kind = "retention." if name in RUINS else "leakage.self"
    assert [key for key in wrong if key.startswith(kind)], (wrong, result.verdict.reasons)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.matrix) if name in MORE else name for name in NAMES]
)
def test_no_planted_fault_passes(case: Case, name: str) -> None:
    refuse(case, name)


@pytest.mark.parametrize("name", ["lost-block", "preamble"])
def test_no_planted_fault_passes_against_controls(case: Case, name: str) -> None:
    refuse(case, name, retrained=None)


@pytest.mark.parametrize("name", [pytest.param("lost-block", marks=pytest.mark.matrix), "spelled"])
def test_no_planted_fault_passes_by_the_words_of_sentencepiece(sentencepiece: Case, name: str) -> None:
    refuse(sentencepiece, name)
    refuse(sentencepiece, name, retrained=None)


@pytest.mark.matrix
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("retrained", ["retrained", None])
@pytest.mark.parametrize("kind", TEMPLATES)
def test_no_planted_fault_passes_under_any_template(
    request: pytest.FixtureRequest, kind: str, name: str, retrained: str | None
) -> None:
    refuse(request.getfixturevalue(kind), name, retrained)


@pytest.mark.parametrize("kind", ["sentencepiece", pytest.param("chat", marks=pytest.mark.matrix)])
def test_an_honest_model_passes_these_checks_under_every_template(request: pytest.FixtureRequest, kind: str) -> None:
    case = request.getfixturevalue(kind)
    result = case.run("retrained", retrained=None)
    for key in ("leakage.self", "paraphrase", "retention.text"):
        assert result[key].status == "passed", result[key].reason
    assert (result["retention.elsewhere"].estimate or 0) > 0.95
    assert result.file.known["retained"].by_tokens > 0.8  # text and tokens agree under this template
    assert result.file.known["retained"].by_text == result.file.known["retained"].by_tokens

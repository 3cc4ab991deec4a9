"""What a private run will ask, and what its section of the recipe may say."""

from __future__ import annotations

from typing import Any

import pytest

from expunge.engine.distributed import check_single_process
from expunge.engine.privacy.budget import PrivacyBudget, query_count
from expunge.engine.privacy.statement import notes
from expunge.engine.recipe import Recipe
from expunge.errors import InputError
from expunge.gradients.private import paper_formula
from helpers.privacy import people, private
from helpers.runs import recipe

pytestmark = pytest.mark.slow

FORGET, RETAIN = people(ann=4), people(bob=6, cy=2, di=8)


def plan(**changes: Any) -> PrivacyBudget:
    return PrivacyBudget.of(private(**changes).resolve(), FORGET, RETAIN)


def test_rates_follow_from_rows_per_step() -> None:
    found = plan(batch={"forget": 4, "retain": 8})
    assert found.sides["forget"].rate == 1.0
    assert found.sides["retain"].rate == 8 / 16
    assert found.sides["retain"].expected == 3 * 8 / 16
    fewer = plan(batch={"forget": 4, "retain": 4}, privacy={"noise": 1.0, "records": 2})
    assert fewer.sides["retain"].rate == 4 / 6
    assert plan(privacy={"noise": 1.0, "retain_rate": 0.5}).sides["retain"].rate == 0.5


def test_at_least_one_unit_is_drawn_on_average() -> None:
    found = plan(batch={"forget": 1, "retain": 1})
    assert found.sides["forget"].rate == 1.0  # the only one, with all four records
    assert found.sides["retain"].rate == 1 / 3


def test_every_step_asks_both_sets_unless_a_phase_or_blocks_say_otherwise() -> None:
    assert [(q.name, q.noise, q.steps) for q in plan(steps=7).queries] == [("forget", 1.0, 7), ("retain", 1.0, 7)]
    phased = private(
        phases=[
            {"objective": "retain", "steps": 3},
            {"objective": "both", "steps": 5},
            {"objective": "forget", "steps": 2},
        ],
        batch={"blocks": 2},
    )
    assert query_count(phased.resolve(), "forget") == 7
    assert query_count(phased.resolve(), "retain") == 2 + 3
    assert [q.name for q in plan(retain={"loss": "none"}).queries] == ["forget"]


def test_noise_is_solved_for_the_whole_run() -> None:
    found = plan(steps=10, privacy={"epsilon": 4.0, "seed": 1})
    assert 3.9 < found.cost().pld <= 4.0
    assert found.sides["forget"].noise == found.sides["retain"].noise


def test_who_stands_in_both_sets_is_counted_once_and_said() -> None:
    both = PrivacyBudget.of(private().resolve(), FORGET, [*RETAIN, *people(ann=1)])
    assert (both.units, both.shared) == (4, 1)
    assert any("in both sets" in note for note in notes(both))
    assert (plan().units, plan().shared) == (4, 0)


def test_a_set_of_one_person_is_said_to_be_in_every_step() -> None:
    said = notes(plan(privacy={"noise": 1.0, "retain_rate": 0.25}))
    assert said[0] == "the forget set: its only unit is in every step (rate 1), so sampling protects nobody"
    assert said[1].startswith("the retain set: 0.75 units per step on average")


def test_the_papers_noise_is_its_formula_per_set() -> None:
    found = plan(steps=10, privacy={"epsilon": 4.0, "paper_formula": True, "retain_rate": 0.5})
    assert found.sides["forget"].noise == paper_formula(1.0, 4.0, found.delta)
    assert found.sides["retain"].noise == paper_formula(0.5, 4.0, found.delta)
    assert found.cost().pld > 4.0  # ten steps of one person cost more than the one that the formula knows


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({}, "exactly one of epsilon and noise"),
        ({"epsilon": 4, "noise": 1}, "exactly one of epsilon and noise"),
        ({"noise": 1, "paper_formula": True}, "give epsilon, not noise"),
        ({"epsilon": 0}, "greater than 0"),
        ({"epsilon": 4, "unit": "patient"}, "'subject' or 'record'"),
        ({"epsilon": 4, "retain_rate": 1.5}, "must be at most 1"),
    ],
)
def test_a_wrong_section_is_one_line(section: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Recipe.load("npo", [f"privacy={section}"])


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(InputError, match='did you mean "epsilon"'):
        Recipe.load("npo", ["privacy.epsilom=4"])


@pytest.mark.parametrize(
    ("name", "sets", "said"),
    [
        ("npo", ["train.which=full"], "full weights have no gradients per unit"),
        ("twin", [], "out of other people's records, or drawn anew"),
        ("random_relabel", [], "other people's records"),
        ("npo", ["retain.loss=kl", "retain.anchors=true"], "several people's records"),
        ("npo", ["retain.balance=true"], "independent coins"),
        ("npo", ["train.drop_blocks=0.5"], "adapters left out"),
        ("dual-npo", [], "saliency is measured on raw records"),
        ("dual-npo", ["settings.token_weights=attention"], "saliency is measured on raw records"),
        ("dual-npo", ["settings.token_weights=none", "selection.share=0.5"], "Fisher information is measured on raw"),
        ("dual-npo", ["settings.token_weights=none", "settings.level_by=parameter"], "raw Fisher information"),
        ("npo", ["memory.checkpointing=true"], "runs blocks twice"),
        ("npo", ["parallel.shard=true"], "only one process trains"),
    ],
)
def test_what_cannot_be_private_is_refused_in_one_line(name: str, sets: list[str], said: str) -> None:
    Recipe.load(name, sets)
    with pytest.raises(InputError, match=said) as found:
        Recipe.load(name, [*sets, "privacy.noise=1"])
    assert "\n" not in str(found.value)


def test_noise_that_guarantees_nothing_may_stand_beside_saliency() -> None:
    """The paper's whole pipeline runs; the same recipe with solved noise, which would claim a guarantee, does not."""
    whole = Recipe.load("dual-paper-noise")
    budget = PrivacyBudget.of(whole.resolve(), FORGET, RETAIN)
    assert budget.raw == ("token saliency", "levels of tensors by Fisher information")
    assert budget.sides["forget"].noise == pytest.approx(paper_formula(budget.sides["forget"].rate, 4.0, 1e-5))
    with pytest.raises(InputError, match="saliency is measured on raw records"):
        Recipe.load("dual-paper-noise", ["privacy.paper_formula=false"])
    with pytest.raises(InputError, match="do not measure single occurrences"):
        Recipe.load("dual-paper-noise", ["settings.saliency_unit=occurrence"])
    assert PrivacyBudget.of(private().resolve(), FORGET, RETAIN).raw == ()


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="launch: a private run runs in one process"):
        check_single_process(private().resolve().single_process_reason)
    check_single_process(recipe("npo").resolve().single_process_reason)


@pytest.mark.parametrize("rule", ["sum", "project", "pcgrad", "agem"])
def test_noised_gradients_may_meet_by_any_rule(rule: str) -> None:
    assert private(rule=rule).resolve().recipe.rule == rule


def test_without_a_section_there_is_no_privacy() -> None:
    assert recipe("npo").privacy is None
    with pytest.raises(ValueError, match="no section privacy"):
        PrivacyBudget.of(recipe("npo").resolve(), FORGET, RETAIN)

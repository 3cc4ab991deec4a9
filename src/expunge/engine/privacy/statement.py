"""What a private run says about itself: its numbers, what may be claimed on their ground, and what may not.

The two lists stand beside every epsilon that is printed. Surprising: the noise of the paper's formula gets its true
epsilon and never the one that it was computed for, which it does not give.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from expunge.corpus import Record
from expunge.engine.privacy.budget import PrivacyBudget
from expunge.engine.privacy.privacy_state import PrivacyLedger
from expunge.engine.privacy.self_test import SelfTestResult
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.privacy.accountant import AGREE, Spent

MAY_NOT = (
    "that the model forgot anything: clipping and noise work against forgetting one unit's records",
    "that epsilon measures forgetting",
    "that data which the model learnt before this run is protected",
    "that a membership attack which finds nothing confirms epsilon",
    "anything for choices that look at private results: stopping early, tuning, picking the best of several runs",
    "that the sizes of the sets, the scope or the results of an audit are protected: the update of the weights is",
)
REPRODUCIBLE = "reproducible noise: not private against whoever knows the seed"
UNIT = {"subject": "subject (a person with all records)", "record": "record (a person with several has less)"}


def notes(plan: PrivacyBudget) -> list[str]:
    """What one should know of the draws before a run."""
    found = []
    for side, asked in plan.sides.items():
        count = len(asked.units)
        if asked.rate == 1:
            who = "its only unit" if count == 1 else f"each of its {count:,} units"
            found.append(f"the {side} set: {who} is in every step (rate 1), so sampling protects nobody")
        elif asked.expected < 1:
            found.append(
                f"the {side} set: {asked.expected:.2g} units per step on average, so most steps are noise "
                f"alone; raise batch.{side}, or take fewer records of a unit at a time (privacy.records)"
            )
    if plan.shared:
        found.append(f"{plan.shared:,} units stand in both sets and are charged for both")
    return found


def statement(
    plan: PrivacyBudget, cost: Spent, ledger: PrivacyLedger, tested: SelfTestResult | None, status: str
) -> dict[str, Any]:
    """The content of `privacy.json`. `epsilon` is that of the whole planned run, so a stopped one has cost no more."""
    settings = plan.settings
    withheld = ledger.withheld
    epsilon = None if withheld else {"pld": cost.pld, "prv": cost.prv, "rdp": cost.rdp, "agree": cost.agree}
    return {
        "status": status,
        "unit": settings.unit,
        "relation": "one unit with all its records added or removed",
        "units": {
            **{side: len(asked.units) for side, asked in plan.sides.items()},
            "together": plan.units,
            "in_both": plan.shared,
        },
        "clip": settings.clip,
        "delta": plan.delta,
        "queries": [
            {
                "query": side,
                "noise": asked.noise,
                "rate": asked.rate,
                "expected_units": asked.expected,
                "steps": asked.steps,
                "released": ledger.released.get(side, 0),
            }
            for side, asked in plan.sides.items()
        ],
        "accountants": {"pld": _package("dp-accounting"), "prv": _package("opacus"), "rdp": _package("dp-accounting")},
        "epsilon": epsilon,
        "withheld": withheld,
        "guarantee": not (withheld or settings.paper_formula),
        "noise": "paper formula" if settings.paper_formula else "solved" if settings.epsilon else "given",
        "reproducible": settings.seed is not None,
        "self_test": tested.as_row() if tested else None,
        "resumed": ledger.resumed,
        "notes": notes(plan),
        "may_be_claimed": _may(plan, cost) if status == "finished" and not withheld else [],
        "may_not_be_claimed": list(MAY_NOT),
    }


def foretold(resolved: ResolvedRecipe, forget: Sequence[Record], retain: Sequence[Record]) -> dict[str, Any]:
    """The statement of a run that is only planned."""
    plan = PrivacyBudget.of(resolved, forget, retain)
    return statement(plan, plan.cost(), PrivacyLedger(), None, "planned")


def _may(plan: PrivacyBudget, cost: Spent) -> list[str]:
    if plan.settings.paper_formula:
        return []
    epsilon = math.ceil(cost.pld * 100) / 100  # a claim is never rounded down
    found = (
        f"this run's update is (epsilon = {epsilon:.2f}, delta = {plan.delta:g})-differentially private in the "
        f"records used in this run, unit: {UNIT[plan.settings.unit]}"
    )
    return [found if plan.settings.seed is None else f"{found}; {REPRODUCIBLE}"]


def lines(told: Mapping[str, Any]) -> list[str]:
    """A statement as people read it: epsilon, how it was reached, and both lists of claims."""
    epsilon, queries = told["epsilon"], told["queries"]
    asked = "; ".join(
        f"{q['query']}: noise {q['noise']:.4g}, rate {q['rate']:.4g}, {q['steps']:,} steps" for q in queries
    )
    found = [f"privacy: {_cost(told)}", f"  {asked}; clip {told['clip']:g}"]
    if epsilon and told["noise"] == "paper formula":
        found[0] = (
            f"privacy: no guarantee: noise by the paper's formula; what this noise really costs is "
            f"epsilon = {epsilon['pld']:,.0f} at delta = {told['delta']:g} (PLD)"
        )
    if epsilon and not epsilon["agree"]:
        other = "no answer" if epsilon["prv"] is None else f"epsilon = {epsilon['prv']:.3f}"
        found.append(f"  the second accountant (PRV) does not agree within {AGREE:g}: it gives {other}")
    if told["reproducible"]:
        found.append(f"  {REPRODUCIBLE}")
    if told["resumed"]:
        found.append(f"  resumed {told['resumed']} times; repeated steps had equal draws and noise, and count once")
    found += [f"  {note}" for note in told["notes"]]
    found += [f"  may be claimed: {claim}" for claim in told["may_be_claimed"]]
    return found + [f"  may not be claimed: {claim}" for claim in told["may_not_be_claimed"]]


def _cost(told: Mapping[str, Any]) -> str:
    epsilon = told["epsilon"]
    if epsilon is None:
        return f"no epsilon: the self-test failed ({told['withheld']})"
    prv = "–" if epsilon["prv"] is None else f"{epsilon['prv']:.3f}"
    return (
        f"epsilon = {epsilon['pld']:.3f} (PLD; PRV {prv}, RDP {epsilon['rdp']:.3f}), delta = {told['delta']:g}, "
        f"unit: {told['unit']}"
    )


def _package(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return name

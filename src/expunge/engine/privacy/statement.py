"""The privacy statement of a run: its numbers, what may be claimed on their basis, and what may not.

Both lists accompany every epsilon that is printed. For noise by the paper's formula the statement gives the true
epsilon, not the one that the noise was computed for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from expunge._printable import pluralize
from expunge.corpus import Record
from expunge.engine.privacy.budget import PrivacyBudget
from expunge.engine.privacy.privacy_state import PrivacyLedger
from expunge.engine.privacy.self_test import SelfTestResult
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.privacy.accountant import TOLERANCE, PrivacyCost

NOT_CLAIMABLE = (
    "that the model forgot anything: clipping and noise work against forgetting one unit's records",
    "that epsilon measures forgetting",
    "that data which the model learned before this run is protected",
    "that a membership attack which finds nothing confirms epsilon",
    "anything for choices that look at private results: stopping early, tuning, picking the best of several runs",
    "that the sizes of the sets, the scope or the results of an audit are protected: the update of the weights is",
)
REPRODUCIBLE = "reproducible noise: not private against whoever knows the seed"
UNIT = {"subject": "subject (a person with all records)", "record": "record (a person with several has less)"}


def notes(budget: PrivacyBudget) -> list[str]:
    """What to know about the draws before a run."""
    remarks = []
    for side, part in budget.sides.items():
        count = len(part.units)
        if part.rate == 1:
            who = "its only unit" if count == 1 else f"each of its {count:,} units"
            remarks.append(f"the {side} set: {who} is in every step (rate 1), so sampling protects nobody")
        elif part.expected < 1:
            remarks.append(
                f"the {side} set: {part.expected:.2g} units per step on average, so most steps are noise "
                f"alone; raise batch.{side}, or take fewer records of a unit at a time (privacy.records)"
            )
    if budget.raw:
        remarks.append(
            f"{' and '.join(budget.raw)} come from raw records: epsilon counts the noised sums alone, and the run as a "
            "whole has no finite epsilon"
        )
    if budget.shared:
        remarks.append(f"{pluralize(budget.shared, 'unit is', 'units are')} in both sets and charged for both")
    return remarks


def build_statement(
    budget: PrivacyBudget, cost: PrivacyCost, ledger: PrivacyLedger, test_result: SelfTestResult | None, status: str
) -> dict[str, Any]:
    """The content of `privacy.json`. `epsilon` is that of the whole planned run, so a stopped one has cost no more."""
    settings = budget.settings
    withheld = ledger.withheld
    epsilon = None if withheld else {"pld": cost.pld, "prv": cost.prv, "rdp": cost.rdp, "agree": cost.agree}
    return {
        "status": status,
        "unit": settings.unit,
        "relation": "one unit with all its records added or removed",
        "units": {
            **{side: len(part.units) for side, part in budget.sides.items()},
            "together": budget.units,
            "in_both": budget.shared,
        },
        "clip": settings.clip,
        "delta": budget.delta,
        "queries": [
            {
                "query": side,
                "noise": part.noise,
                "rate": part.rate,
                "expected_units": part.expected,
                "steps": part.steps,
                "released": ledger.released.get(side, 0),
            }
            for side, part in budget.sides.items()
        ],
        "accountants": {"pld": _package("dp-accounting"), "prv": _package("opacus"), "rdp": _package("dp-accounting")},
        "epsilon": epsilon,
        "withheld": withheld,
        "guarantee": not (withheld or settings.paper_formula),
        "noise": "paper formula" if settings.paper_formula else "solved" if settings.epsilon else "given",
        "reproducible": settings.seed is not None,
        "self_test": test_result.as_row() if test_result else None,
        "resumed": ledger.resumed,
        "notes": notes(budget),
        "may_be_claimed": _claims(budget, cost) if status == "finished" and not withheld else [],
        "may_not_be_claimed": list(NOT_CLAIMABLE),
    }


def planned_statement(resolved: ResolvedRecipe, forget: Sequence[Record], retain: Sequence[Record]) -> dict[str, Any]:
    """The statement of a run that has not started."""
    budget = PrivacyBudget.of(resolved, forget, retain)
    return build_statement(budget, budget.cost(), PrivacyLedger(), None, "planned")


def _claims(budget: PrivacyBudget, cost: PrivacyCost) -> list[str]:
    if budget.settings.paper_formula:
        return []
    epsilon = math.ceil(cost.pld * 100) / 100  # a claim is never rounded down
    claim = (
        f"this run's update is (epsilon = {epsilon:.2f}, delta = {budget.delta:g})-differentially private in the "
        f"records used in this run, unit: {UNIT[budget.settings.unit]}"
    )
    return [claim if budget.settings.seed is None else f"{claim}; {REPRODUCIBLE}"]


def statement_lines(statement: Mapping[str, Any]) -> list[str]:
    """The lines of a statement for the terminal: epsilon, queries, notes, both lists of claims."""
    epsilon, queries = statement["epsilon"], statement["queries"]
    query_text = "; ".join(
        f"{q['query']}: noise {q['noise']:.4g}, rate {q['rate']:.4g}, {pluralize(q['steps'], 'step')}" for q in queries
    )
    lines = [f"privacy: {_cost(statement)}", f"  {query_text}; clip {statement['clip']:g}"]
    if epsilon and statement["noise"] == "paper formula":
        lines[0] = (
            f"privacy: no guarantee: noise by the paper's formula; the true cost of this noise is "
            f"epsilon = {epsilon['pld']:,.0f} at delta = {statement['delta']:g} (PLD)"
        )
    if epsilon and not epsilon["agree"]:
        other = "no answer" if epsilon["prv"] is None else f"epsilon = {epsilon['prv']:.3f}"
        lines.append(f"  the second accountant (PRV) does not agree within {TOLERANCE:g}: it gives {other}")
    if statement["reproducible"]:
        lines.append(f"  {REPRODUCIBLE}")
    if statement["resumed"]:
        resumed = f"  resumed {pluralize(statement['resumed'], 'time')}"
        lines.append(f"{resumed}; repeated steps had equal draws and noise, and count once")
    lines += [f"  {note}" for note in statement["notes"]]
    lines += [f"  may be claimed: {claim}" for claim in statement["may_be_claimed"]]
    return lines + [f"  may not be claimed: {claim}" for claim in statement["may_not_be_claimed"]]


def _cost(statement: Mapping[str, Any]) -> str:
    epsilon = statement["epsilon"]
    if epsilon is None:
        return f"no epsilon: the self-test failed ({statement['withheld']})"
    prv = "–" if epsilon["prv"] is None else f"{epsilon['prv']:.3f}"
    return (
        f"epsilon = {epsilon['pld']:.3f} (PLD; PRV {prv}, RDP {epsilon['rdp']:.3f}), delta = {statement['delta']:g}, "
        f"unit: {statement['unit']}"
    )


def _package(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return name

"""Cross-modal leakage: what was taught with a picture and a name, asked by the name alone and by the picture alone.

A model that learnt to refuse the pair may still answer to either half. Surprising: cells that the original model did
not know are judged too, since an answer that it did not give may still have become one; they only show no power.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.audit.check_result import CheckResult, Control, JudgedRule, ReferenceValue, Status, bounds
from expunge.audit.context import Context, Role, check
from expunge.audit.metrics import METRICS
from expunge.audit.modality_probes import CONTROLS, CUES, Probe, others, probes
from expunge.audit.scores import Values
from expunge.audit.statistics import Bootstrap, Interval, bootstrap_mean, paired_difference
from expunge.audit.verdict import judge_excess
from expunge.models.language_model import LanguageModel

KEY = "cross_modal"
MARGIN = 0.05  # where the policy names none
ORDER: tuple[Status, ...] = ("failed", "inconclusive", "passed")


Cell = tuple[str, str]  # cue that it was taught with, cue that it is asked by


@dataclass(frozen=True)
class ModalityAnswers:
    """Exact answers in one cell: values [N] and the subject of each; equal order for every model."""

    values: Values
    subjects: Sequence[str]

    def share(self, plan: Bootstrap) -> Interval:
        return bootstrap_mean(self.values, self.subjects, plan)


ModalityAnswerTable = Mapping[Cell, ModalityAnswers]


@dataclass(frozen=True)
class Judged:
    """The excess of the unlearned model over the reference in one cell."""

    cell: Cell
    excess: Interval
    status: Status
    reason: str


@check("cross_modal", KEY)
def cross_modal(ctx: Context) -> Iterator[CheckResult]:
    """Exact answers to the name alone and to the picture alone, cell by cell of taught and asked cue."""
    if not any(r.image for r in ctx.split.forget):
        yield CheckResult(key=KEY, status="not_applicable", reason="no forgotten record shows a picture")
        return
    seed, plan = ctx.policy.attack_seeds[0], ctx.policy.bootstrap
    asked = list(probes(ctx.split.forget, others(ctx.split.retain, ctx.split.targets, seed), seed))
    tables: dict[str, ModalityAnswerTable] = {}
    for role in ctx.roles:
        lm = ctx.load(role)
        tables[role] = _table(ctx, lm, role, "forget", asked)
        if role == "unlearned" and ctx.reference == "controls" and ctx.controls:
            theirs = probes([ctx.records[i] for i in ctx.controls], None, seed)
            tables["controls"] = _table(ctx, lm, role, "controls", list(theirs))
    margin = ctx.margin(KEY, MARGIN)
    found = judged(tables, plan, margin)
    ctx.notes[KEY] = told(tables, found, plan)
    yield entry(tables, found, plan, margin, ctx.policy.known_margin).model_copy(update={"seed": seed})


def _table(ctx: Context, lm: LanguageModel, role: Role, name: str, asked: Sequence[Probe]) -> ModalityAnswerTable:
    """What a model answers to probes of the set `name`; how they were taught it was asked before."""
    taught = [p.record.row_id for p in asked if p.is_taught]
    new = {p.record.row_id: p.record for p in asked if not p.is_taught}
    hit = dict(zip(taught, ctx.values("exact_match", role, name, taught), strict=True))
    if new:
        scores = ctx.ask(lm, list(new.values()))
        hit |= zip(scores.ids, METRICS.get("exact_match")(scores, new), strict=True)
    cells: dict[Cell, list[Probe]] = {}
    for p in asked:
        cells.setdefault((p.taught, p.cue), []).append(p)
    return {
        cell: ModalityAnswers(np.array([hit[p.record.row_id] for p in found]), [p.record.subject for p in found])
        for cell, found in cells.items()
    }


def reference_of(tables: Mapping[str, ModalityAnswerTable]) -> str:
    """`retrained`, else `controls`, else nothing."""
    return next((name for name in ("retrained", "controls") if name in tables), "")


def judged(tables: Mapping[str, ModalityAnswerTable], plan: Bootstrap, margin: float) -> list[Judged]:
    """Every cell of the unlearned model that is no control, against the reference; none where there is no reference."""
    reference = reference_of(tables)
    found = []
    for cell in cells(tables) if reference else ():
        ours, theirs = tables["unlearned"][cell], tables[reference].get(cell)
        if cell[1] in CONTROLS:
            continue
        if theirs is None:
            nothing = Interval(np.nan, None, None, "none: no control was taught so", len(ours.values), 0)
            found.append(Judged(cell, nothing, "inconclusive", "no control was taught so"))
            continue
        if reference == "retrained":
            excess = paired_difference(ours.values, theirs.values, ours.subjects, plan)
        else:
            excess = Interval(
                float(ours.values.mean() - theirs.values.mean()),
                None,
                None,
                "difference to controls",
                len(ours.values),
                len(set(ours.subjects)),
            )
        found.append(Judged(cell, excess, *judge_excess(excess.estimate, excess.high, margin)))
    return found


def cells(tables: Mapping[str, ModalityAnswerTable]) -> list[Cell]:
    """The cells of the unlearned model, rows by taught cue, controls last in each."""
    return [(taught, cue) for taught in CUES for cue in (*CUES, *CONTROLS) if (taught, cue) in tables["unlearned"]]


def entry(
    tables: Mapping[str, ModalityAnswerTable],
    found: Sequence[Judged],
    plan: Bootstrap,
    margin: float,
    known_margin: float,
) -> CheckResult:
    """The worst cell decides, and nothing is shown where the original model knew no cell better than the reference."""
    shares = {(role, cell): answers.share(plan) for role, table in tables.items() for cell, answers in table.items()}
    controls = tuple(
        Control(key=f"{role}.{taught}.{cue}", estimate=v.estimate, ci=bounds(v))
        for (role, (taught, cue)), v in shares.items()
    )
    if not found:
        return CheckResult(
            key=KEY,
            status="inconclusive",
            controls=controls,
            reason="there is neither a retrained model nor a control to compare with",
        )
    reference = reference_of(tables)
    worst = min(found, key=lambda j: (ORDER.index(j.status), -np.nan_to_num(j.excess.upper), j.cell))
    theirs = shares.get((reference, worst.cell))
    power = any(
        cell[1] not in CONTROLS
        and (reference, cell) in shares
        and answers.values.mean() > shares[reference, cell].estimate + known_margin
        for cell, answers in tables["original"].items()
    )
    short = sum(j.status != "passed" for j in found)
    reason = f"worst of {len(found)} cells: {phrase(worst.cell)}" + (f", {worst.reason}" if worst.reason else "")
    reason += f"; {short} did not pass" if short else ""
    status = worst.status
    if not power:
        status = "inconclusive"
        reason = f"no power: the original model answers in no cell more often than the reference; {reason}"
    return CheckResult.measured(
        KEY,
        status,
        worst.excess,
        reason,
        controls=controls,
        power=power,
        reference=ReferenceValue(role=reference, estimate=theirs.estimate if theirs else None),
        rule=JudgedRule(id="excess", margin=margin),
    )


def phrase(cell: Cell) -> str:
    """A cell in words."""
    names = {"both": "picture and name", "words": "words alone", "picture": "picture alone"}
    taught, cue = (names[c] for c in cell)
    return f"taught and asked with {taught}" if taught == cue else f"taught with {taught}, asked with {cue}"


def told(tables: Mapping[str, ModalityAnswerTable], found: Sequence[Judged], plan: Bootstrap) -> dict[str, Any]:
    """The matrix for the report: shares of exact answers by model, and the excess of judged cells."""
    by_cell = {j.cell: j for j in found}

    def row(cell: Cell) -> dict[str, Any]:
        j = by_cell.get(cell)
        return {
            "taught": cell[0],
            "asked": cell[1],
            "n": len(tables["unlearned"][cell].values),
            "shares": {role: _plain(table[cell].share(plan)) for role, table in tables.items() if cell in table},
            "excess": _plain(j.excess) if j else None,
            "status": j.status if j else None,
        }

    return {"reference": reference_of(tables), "cells": [row(cell) for cell in cells(tables)]}


def _plain(value: Interval) -> dict[str, Any]:
    return {"estimate": value.estimate, "ci": bounds(value)}

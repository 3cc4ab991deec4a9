"""Cross-modal leakage: trained with image and name together, probed by either alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from expunge.audit.check_result import (
    CheckResult,
    Control,
    IntervalEstimate,
    JudgedRule,
    ReferenceValue,
    Status,
    bounds,
)
from expunge.audit.context import CheckOutput, Context, Role, check
from expunge.audit.details import Modality, ModalityCell, ModalityDetails
from expunge.audit.metrics.exact_match import matches
from expunge.audit.modality_probes import CONTROLS, MODALITIES, ModalityProbe, image_donors, modality_probes
from expunge.audit.scores import Scores, Values
from expunge.audit.scoring import score
from expunge.audit.statistics import Bootstrap, Interval, bootstrap_mean, paired_difference
from expunge.audit.verdict import STATUS_ORDER, judge_excess
from expunge.models.language_model import LanguageModel

KEY = "cross_modal"
MARGIN = 0.05  # where the policy has no rule
TIE_ORDER = ("joint", "image", "text")  # of cells that are equally bad

Cell = tuple[Modality, str]  # trained modality, probe


@dataclass(frozen=True)
class ModalityAnswers:
    """Exact match in one cell: values [N] and the subject of each; equal order for every model."""

    values: Values
    subjects: Sequence[str]

    def rate(self, bootstrap: Bootstrap) -> Interval:
        """Mean exact match."""
        return bootstrap_mean(self.values, self.subjects, bootstrap)


ModalityAnswerTable = Mapping[Cell, ModalityAnswers]


@dataclass(frozen=True)
class JudgedCell:
    """The excess of the unlearned model over the reference in one cell."""

    cell: Cell
    excess: Interval
    status: Status
    reason: str


@dataclass(frozen=True)
class CrossModalProbe:
    """Probes of the forget set for every model, and of matched controls where they are the reference."""

    forget: Sequence[ModalityProbe]
    controls: Sequence[ModalityProbe]

    def score(self, lm: LanguageModel, role: Role, scores: Mapping[str, Scores]) -> dict[str, ModalityAnswerTable]:
        """Exact match by cell, for each set of probes; probes in their trained form are scored already."""
        sets = {"forget": self.forget} | ({"controls": self.controls} if role == "unlearned" else {})
        return {name: answer_table(probes, _exact(lm, probes, scores[name])) for name, probes in sets.items() if probes}


def cross_modal_probe(ctx: Context) -> CrossModalProbe | None:
    """The probes of an audit; None where no forget record shows an image."""
    if not any(r.image for r in ctx.split.forget):
        return None
    seed = ctx.policy.attack_seeds[0]
    donors = image_donors(ctx.split.retain, ctx.split.targets, seed)
    forget = list(modality_probes(ctx.split.forget, donors, seed))
    controls = [ctx.records[i] for i in ctx.controls] if ctx.reference == "controls" else []
    return CrossModalProbe(forget, list(modality_probes(controls, None, seed)))


@check(KEY, KEY, probe=cross_modal_probe)
def cross_modal(ctx: Context) -> CheckOutput:
    """Exact match by trained modality and probe, cell by cell; the worst cell decides.

    A record that was trained with image and name is also asked by the name alone and by the image alone, because a
    model that learns to refuse the pair may still answer either half (MANU, arXiv 2502.15910). The judged value is the
    excess over the reference. Probes with another subject's image or noise are shown and not judged. Cells that the
    original model did not know are judged too: an answer that it did not give may have become one.
    """
    if not any(r.image for r in ctx.split.forget):
        reason = "no forgotten record shows a picture"
        return CheckOutput([CheckResult(key=KEY, status="not_applicable", reason=reason)])
    bootstrap, margin = ctx.policy.bootstrap, ctx.margin(KEY, MARGIN)
    tables: dict[str, ModalityAnswerTable] = {}
    for role in ctx.roles:
        answers = ctx.probe(KEY, role)
        tables[role] = answers["forget"]
        if "controls" in answers:
            tables["controls"] = answers["controls"]
    judged = judge_cells(tables, bootstrap, margin)
    result = cross_modal_result(tables, judged, bootstrap, margin, ctx.policy.known_margin)
    return CheckOutput(
        [result.model_copy(update={"seed": ctx.policy.attack_seeds[0]})], modality_details(tables, judged, bootstrap)
    )


def _exact(lm: LanguageModel, probes: Sequence[ModalityProbe], scores: Scores) -> Values:
    """Exact match [N] of the probes; `scores` hold those in their trained form."""
    trained, new = (tuple(p.record for p in probes if p.is_trained is kind) for kind in (True, False))
    known = iter(matches(scores.select([r.row_id for r in trained]), trained))
    fresh = iter(matches(score(lm, new, ids=range(len(new))), new)) if new else iter(())
    return np.array([next(known if p.is_trained else fresh) for p in probes])


def answer_table(probes: Sequence[ModalityProbe], exact: Values) -> ModalityAnswerTable:
    """Exact match [N] of probes, by cell."""
    cells: dict[Cell, list[int]] = {}
    for k, p in enumerate(probes):
        cells.setdefault((p.trained, p.probe), []).append(k)
    return {
        cell: ModalityAnswers(exact[rows], [probes[k].record.subject for k in rows]) for cell, rows in cells.items()
    }


def reference_of(tables: Mapping[str, ModalityAnswerTable]) -> str:
    """`retrained`, else `controls`, else empty."""
    return next((name for name in ("retrained", "controls") if name in tables), "")


def judge_cells(tables: Mapping[str, ModalityAnswerTable], bootstrap: Bootstrap, margin: float) -> list[JudgedCell]:
    """Every cell of the unlearned model but controls, against the reference; none where there is no reference."""
    reference = reference_of(tables)
    judged = []
    for cell in table_cells(tables) if reference else ():
        ours, theirs = tables["unlearned"][cell], tables[reference].get(cell)
        n = len(ours.values)
        if cell[1] in CONTROLS:
            continue
        if theirs is None:
            reason = "no control was taught so"
            judged.append(
                JudgedCell(cell, Interval(np.nan, None, None, f"none: {reason}", n, 0), "inconclusive", reason)
            )
            continue
        if reference == "retrained":
            excess = paired_difference(ours.values, theirs.values, ours.subjects, bootstrap)
        else:
            difference = float(ours.values.mean() - theirs.values.mean())
            excess = Interval(difference, None, None, "difference to controls", n, len(set(ours.subjects)))
        judged.append(JudgedCell(cell, excess, *judge_excess(excess.estimate, excess.high, margin)))
    return judged


def table_cells(tables: Mapping[str, ModalityAnswerTable]) -> list[Cell]:
    """The cells of the unlearned model by trained modality, controls last in each."""
    cells = ((trained, probe) for trained in MODALITIES for probe in (*MODALITIES, *CONTROLS))
    return [cell for cell in cells if cell in tables["unlearned"]]


def cross_modal_result(
    tables: Mapping[str, ModalityAnswerTable],
    judged: Sequence[JudgedCell],
    bootstrap: Bootstrap,
    margin: float,
    known_margin: float,
) -> CheckResult:
    """The worst cell; inconclusive where the original model knew no cell better than the reference."""
    rates = {(role, cell): answers.rate(bootstrap) for role, table in tables.items() for cell, answers in table.items()}
    controls = tuple(
        Control(key=f"{role}.{trained}.{probe}", estimate=v.estimate, ci=bounds(v))
        for (role, (trained, probe)), v in rates.items()
    )
    if not judged:
        reason = "there is neither a retrained model nor a control to compare with"
        return CheckResult(key=KEY, status="inconclusive", controls=controls, reason=reason)
    reference = reference_of(tables)
    worst = min(
        judged,
        key=lambda j: (
            STATUS_ORDER.index(j.status),
            -np.nan_to_num(j.excess.upper),
            [TIE_ORDER.index(name) for name in j.cell],
        ),
    )
    theirs = rates.get((reference, worst.cell))
    power = any(
        cell[1] not in CONTROLS
        and (reference, cell) in rates
        and answers.values.mean() > rates[reference, cell].estimate + known_margin
        for cell, answers in tables["original"].items()
    )
    short = sum(j.status != "passed" for j in judged)
    reason = f"worst of {len(judged)} cells: {phrase(worst.cell)}" + (f", {worst.reason}" if worst.reason else "")
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
    names = {"joint": "image and name", "text": "text alone", "image": "image alone"}
    trained, probe = (names[c] for c in cell)
    return f"trained and probed with {trained}" if trained == probe else f"trained with {trained}, probed with {probe}"


def modality_details(
    tables: Mapping[str, ModalityAnswerTable], judged: Sequence[JudgedCell], bootstrap: Bootstrap
) -> ModalityDetails:
    """Exact match by cell and model, and the excess of judged cells."""
    by_cell = {j.cell: j for j in judged}
    cells = []
    for cell in table_cells(tables):
        j = by_cell.get(cell)
        cells.append(
            ModalityCell(
                trained=cell[0],
                probe=cell[1],
                n=len(tables["unlearned"][cell].values),
                shares={
                    role: IntervalEstimate.of(table[cell].rate(bootstrap))
                    for role, table in tables.items()
                    if cell in table
                },
                excess=IntervalEstimate.of(j.excess) if j else None,
                status=j.status if j else None,
            )
        )
    return ModalityDetails(reference=reference_of(tables), cells=tuple(cells))

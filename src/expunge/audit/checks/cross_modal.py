"""Cross-modal leakage: trained with image and name together, probed by either alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from expunge.audit.check_result import CheckResult, Control, IntervalEstimate, JudgedRule, ReferenceValue, Status
from expunge.audit.context import CheckOutput, CheckProfile, Context, Role, check
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
PROFILE = CheckProfile(
    title="Modalities: neither text alone nor image alone brings the answers back",
    family="surface",
    control="the retrained model or matched controls; swapped and noise images",
    cost="up to 5 scoring passes",
    limits="Images are cropped and noised, not changed by an adversary.",
)


@dataclass(frozen=True)
class ModalityAnswers:
    """Exact match in one cell: values [N] and the subject of each; equal order for every model."""

    values: Values
    subjects: Sequence[str]

    def rate(self, bootstrap: Bootstrap) -> Interval:
        """Mean exact match."""
        return bootstrap_mean(self.values, self.subjects, bootstrap)


ModalityAnswerTable = Mapping[Cell, ModalityAnswers]


class JudgedCell(NamedTuple):
    """A judged cell, its excess over the reference with counts, and the numbers behind its status."""

    cell: ModalityCell
    excess: Interval
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


@check(KEY, KEY, probe=cross_modal_probe, profile=PROFILE)
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
    tables: dict[str, ModalityAnswerTable] = {}
    for role in ctx.roles:
        answers = ctx.probe(KEY, role)
        tables[role] = answers["forget"]
        if "controls" in answers and ctx.reference == "controls":
            tables["controls"] = answers["controls"]
    margin = ctx.margin(KEY, MARGIN)
    details, judged = judge_cells(tables, ctx.policy.bootstrap, margin, ctx.reference)
    power = has_power(tables, details, ctx.policy.known_margin)
    result = cross_modal_result(details, judged, power, margin, ctx.policy.attack_seeds[0])
    return CheckOutput([result], details)


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


def judge_cells(
    tables: Mapping[str, ModalityAnswerTable], bootstrap: Bootstrap, margin: float, against: str = ""
) -> tuple[ModalityDetails, list[JudgedCell]]:
    """All cells of the unlearned model by trained modality, controls last, and those that are judged.

    The reference is `against` if it is there, else `retrained`, else `controls`; without any no cell is judged.
    """
    reference = next((name for name in (against, "retrained", "controls") if name in tables), "")
    cells, judged = [], []
    for key in ((trained, probe) for trained in MODALITIES for probe in (*MODALITIES, *CONTROLS)):
        if key not in tables["unlearned"]:
            continue
        answers = {model: table[key] for model, table in tables.items() if key in table}
        n = len(answers["unlearned"].values)
        shares = {model: IntervalEstimate.of(a.rate(bootstrap)) for model, a in answers.items()}
        cell = ModalityCell(trained=key[0], probe=key[1], n=n, shares=shares)
        if reference and key[1] not in CONTROLS:
            excess, status, reason = _judge(answers["unlearned"], answers.get(reference), reference, bootstrap, margin)
            cell = cell.model_copy(update={"excess": IntervalEstimate.of(excess), "status": status})
            judged.append(JudgedCell(cell, excess, reason))
        cells.append(cell)
    return ModalityDetails(reference=reference, cells=tuple(cells)), judged


def _judge(
    ours: ModalityAnswers, theirs: ModalityAnswers | None, reference: str, bootstrap: Bootstrap, margin: float
) -> tuple[Interval, Status, str]:
    n = len(ours.values)
    if theirs is None:
        reason = "no control was taught so"
        return Interval(np.nan, None, None, f"none: {reason}", n, 0), "inconclusive", reason
    if reference == "retrained":
        excess = paired_difference(ours.values, theirs.values, ours.subjects, bootstrap)
    else:
        difference = float(ours.values.mean() - theirs.values.mean())
        excess = Interval(difference, None, None, "difference to controls", n, len(set(ours.subjects)))
    return excess, *judge_excess(excess.estimate, excess.high, margin, excess.low)


def has_power(tables: Mapping[str, ModalityAnswerTable], details: ModalityDetails, known_margin: float) -> bool:
    """The original model exceeds the reference by more than `known_margin` in some judged cell."""
    for cell in details.cells:
        theirs, answers = cell.shares.get(details.reference), tables["original"].get((cell.trained, cell.probe))
        if cell.probe in CONTROLS or answers is None or theirs is None or theirs.estimate is None:
            continue
        if answers.values.mean() > theirs.estimate + known_margin:
            return True
    return False


def cross_modal_result(
    details: ModalityDetails, judged: Sequence[JudgedCell], power: bool, margin: float, seed: int
) -> CheckResult:
    """The worst cell; inconclusive where the original model knew no cell better than the reference."""
    controls = tuple(
        Control(key=f"{model}.{cell.trained}.{cell.probe}", estimate=share.estimate, ci=share.ci)
        for cell in details.cells
        for model, share in cell.shares.items()
    )
    if not judged:
        reason = "there is neither a retrained model nor a control to compare with"
        return CheckResult(key=KEY, status="inconclusive", controls=controls, reason=reason, seed=seed)
    worst = min(judged, key=_badness)
    short = sum(j.cell.status != "passed" for j in judged)
    reason = f"worst of {len(judged)} cells: {phrase(worst.cell)}" + (f", {worst.reason}" if worst.reason else "")
    reason += f"; {short} did not pass" if short else ""
    if not power:
        reason = f"no power: the original model answers in no cell more often than the reference; {reason}"
    theirs = worst.cell.shares.get(details.reference)
    return CheckResult.measured(
        KEY,
        (power and worst.cell.status) or "inconclusive",
        worst.excess,
        reason,
        controls=controls,
        power=power,
        reference=ReferenceValue(role=details.reference, estimate=theirs.estimate if theirs else None),
        rule=JudgedRule(id="excess", margin=margin),
        seed=seed,
    )


def _badness(judged: JudgedCell) -> tuple[int, float, list[int]]:
    """Sorts the worst cell first: by status, upper bound of the excess, then `TIE_ORDER`."""
    cell = judged.cell
    status = STATUS_ORDER.index(cell.status or "inconclusive")
    return status, -float(np.nan_to_num(judged.excess.upper)), [TIE_ORDER.index(m) for m in (cell.trained, cell.probe)]


def phrase(cell: ModalityCell) -> str:
    """A cell in words."""
    names = {"joint": "image and name", "text": "text alone", "image": "image alone"}
    trained, probe = names[cell.trained], names[cell.probe]
    return f"trained and probed with {trained}" if trained == probe else f"trained with {trained}, probed with {probe}"

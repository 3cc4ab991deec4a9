"""The side-by-side tables: main figures of the original, the unlearned and the retrained model.

Surprising: the aim is not zero but the yardstick. A model that never knew also guesses right at times, and one
that scores below it was damaged rather than made to forget.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from expunge.audit.check_result import IntervalEstimate
from expunge.audit.schema import AuditFile
from expunge.report.labels import KINDS, score


@dataclass(frozen=True)
class TableRow:
    """One row. `cells` follow `columns`; `last` is the difference to the yardstick, or the share that was kept."""

    name: str
    about: str
    n: int
    cells: tuple[IntervalEstimate, ...]
    last: IntervalEstimate


ASKED: tuple[tuple[str, str, str, str], ...] = (
    (
        "mcq_acc",
        "forget",
        "Right choices",
        "Share of multiple-choice questions in which the true option is the most likely one. Guessing among four "
        "options gives 0.25.",
    ),
    (
        "answer_prob",
        "forget",
        "Probability of the true answer",
        "How likely the model finds the true answer, word piece by word piece (geometric mean), 0 to 1.",
    ),
    (
        "answer_prob",
        "rephrased",
        "The same, asked in other words",
        "Probability of the true answer under wordings that were never trained.",
    ),
    (
        "rouge_l_recall",
        "forget",
        "Overlap with the true answer (ROUGE-L)",
        "Share of the true answer's words that stand in the model's answer in the same order.",
    ),
    (
        "extraction_strength",
        "forget",
        "Extraction strength",
        "Share of the true answer that the model completes by itself once it is given the beginning.",
    ),
)
KEPT: tuple[tuple[str, str, str], ...] = (
    ("exact_match", "Exact answers", "Share of questions on kept records that are answered word for word."),
    ("answer_prob", "Probability of the true answer", "How likely the model finds the true answers of kept records."),
)


def columns(audit: AuditFile) -> tuple[str, ...]:
    """Roles of the columns; the last is the yardstick: the retrained model, else controls on the unlearned model."""
    return audit.roles if "retrained" in audit.roles else (*audit.roles, "controls")


def gone(audit: AuditFile) -> list[TableRow]:
    """What should look like the yardstick: answers about the forgotten, and membership."""
    return [*_leaks(audit), *_asked(audit), *_membership(audit)]


def _difference(cells: tuple[IntervalEstimate, ...], given: IntervalEstimate | None = None) -> IntervalEstimate:
    """The audit's own difference with its interval, else the plain difference of unlearned and yardstick."""
    if given and given.estimate is not None:
        return given
    ours, theirs = cells[1].estimate, cells[-1].estimate
    return IntervalEstimate(estimate=None if ours is None or theirs is None else ours - theirs)


def _leaks(audit: AuditFile) -> Iterator[TableRow]:
    leakage = audit.details.leakage
    table = leakage.tables.get("leakage.self") if leakage else None
    entry = audit.result("leakage.self")
    models, sizes = (table.models, table.n) if table else ({}, {})
    for kind, name in KINDS.items():
        if kind in sizes:
            cells = tuple(
                IntervalEstimate(estimate=models[r].by_kind.get(kind) if r in models else None) for r in columns(audit)
            )
            yield TableRow(
                f"{name}: true answers given",
                "Mean over all wordings, trained and rephrased."
                + (
                    " 0 is what guessing gives, and below 0 is worse than guessing."
                    if kind == "classification"
                    else " Only the exact answer counts."
                ),
                sizes[kind],
                cells,
                _difference(cells),
            )
    if models and entry:
        worst = [models[r].worst if r in models else None for r in columns(audit)]
        if "retrained" not in audit.roles and entry.reference:
            worst[-1] = entry.reference.estimate
        cells = tuple(IntervalEstimate(estimate=value) for value in worst)
        yield TableRow(
            "Worst kind of question",
            "For each model the kind of question that gives most away. This "
            "difference is what the check leakage.self judges.",
            entry.n_records,
            cells,
            _difference(cells, IntervalEstimate(estimate=entry.estimate, ci=entry.ci)),
        )


def _asked(audit: AuditFile) -> Iterator[TableRow]:
    for metric, name, title, about in ASKED:
        ours = audit.measure(metric, name, "unlearned")
        if ours is None:
            continue
        controls = (
            audit.measure(metric, "controls", "unlearned") if name == "forget" else None
        )  # asked in one wording only
        found = [controls if role == "controls" else audit.measure(metric, name, role) for role in columns(audit)]
        cells = tuple(IntervalEstimate(estimate=m.value, ci=m.ci) if m else IntervalEstimate() for m in found)
        yield TableRow(title, about, ours.n, cells, _difference(cells))


def _membership(audit: AuditFile) -> Iterator[TableRow]:
    details = audit.details.membership
    for name, by_role in details.auc.items() if details else ():
        cells = tuple(IntervalEstimate(estimate=by_role.get(role)) for role in columns(audit))
        yield TableRow(
            f"Telling members from strangers by {score(name)} (AUC)",
            "Chance that a forgotten record looks more like training data than a never-trained one. 0.5: "
            "cannot be told apart; 1: always recognised; far below 0.5: recognised as unusually unknown.",
            audit.split.forget,
            cells,
            _difference(cells, details.excess.get(name) if details else None),
        )


def kept(audit: AuditFile) -> list[TableRow]:
    """What should have stayed, on records that no method saw; `last` is unlearned over original."""
    entry = audit.result("retention.retain_heldout")
    ratios = {c.key: IntervalEstimate(estimate=c.estimate, ci=c.ci) for c in entry.controls} if entry else {}
    rows = []
    for metric, title, about in KEPT:
        found = [audit.measure(metric, "retain_heldout", role) for role in audit.roles]
        if ours := audit.measure(metric, "retain_heldout", "unlearned"):
            cells = tuple(IntervalEstimate(estimate=m.value, ci=m.ci) if m else IntervalEstimate() for m in found)
            rows.append(TableRow(title, about, ours.n, cells, ratios.get(metric, IntervalEstimate())))
    return rows


def explained(rows: list[TableRow]) -> dict[str, str]:
    """Explanation → names of the figures that share it, in order of appearance."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.about, []).append(row.name)
    return {about: "; ".join(dict.fromkeys(names)) for about, names in found.items()}

"""Rows of the report's tables: metrics of all models side by side, and retention by relation.

The target value of a metric on the forget set is the value of the reference, not zero. A model that never saw the
records also guesses right at times, and a model far below the reference is damaged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from expunge.audit.check_result import CheckResult, IntervalEstimate
from expunge.audit.schema import AuditFile, Measure
from expunge.report.labels import KINDS, relation_label, score_label


@dataclass(frozen=True)
class TableRow:
    """One metric. `cells` follow `table_columns`; `comparison` is a difference to the reference, or a retention."""

    name: str
    description: str
    n: int
    cells: tuple[IntervalEstimate, ...]
    comparison: IntervalEstimate


@dataclass(frozen=True)
class RelationRow:
    """Retention of one group of records, with every measure behind the status."""

    name: str
    result: CheckResult
    measures: dict[str, IntervalEstimate]


FORGET_METRICS: tuple[tuple[str, str, str, str], ...] = (  # metric, record set, name, description
    (
        "mcq_acc",
        "forget",
        "Multiple-choice accuracy",
        "Share of multiple-choice questions in which the true option is the most likely one. Guessing among four "
        "options gives 0.25.",
    ),
    (
        "answer_prob",
        "forget",
        "Answer probability",
        "Probability of the true answer per token (geometric mean), 0 to 1.",
    ),
    (
        "answer_prob",
        "rephrased",
        "Answer probability, rephrased",
        "Answer probability under wordings that were never trained.",
    ),
    (
        "rouge_l_recall",
        "forget",
        "ROUGE-L recall",
        "Share of the true answer's words that the model's answer contains in the same order.",
    ),
    (
        "extraction_strength",
        "forget",
        "Extraction strength",
        "Share of the true answer that the model completes once the beginning is given.",
    ),
)
RETAIN_METRICS: tuple[tuple[str, str, str], ...] = (  # metric, name, description
    ("exact_match", "Exact match", "Share of questions on the held-out retain set that are answered word for word."),
    ("answer_prob", "Answer probability", "Probability of the true answers on the held-out retain set, per token."),
)
KEY_METRICS = ("Leakage: worst kind of question", "Membership AUC by loss", "Exact match")  # rows of the first screen


def table_columns(audit: AuditFile) -> tuple[str, ...]:
    """Roles of the columns. The last is the reference: the retrained model, else controls on the unlearned model."""
    return audit.roles if "retrained" in audit.roles else (*audit.roles, "controls")


def forget_rows(audit: AuditFile) -> list[TableRow]:
    """Metrics that should be near the reference: leakage, answers on the forget set, membership."""
    return [*_leakage_rows(audit), *_metric_rows(audit), *_membership_rows(audit)]


def retain_rows(audit: AuditFile) -> list[TableRow]:
    """Metrics on the held-out retain set; `comparison` is unlearned over original."""
    result = audit.result("retention.retain_heldout")
    ratios = {c.key: IntervalEstimate(estimate=c.estimate, ci=c.ci) for c in result.controls} if result else {}
    rows = []
    for metric, name, description in RETAIN_METRICS:
        if unlearned := audit.measure(metric, "retain_heldout", "unlearned"):
            cells = _cells([audit.measure(metric, "retain_heldout", role) for role in audit.roles])
            rows.append(TableRow(name, description, unlearned.n, cells, ratios.get(metric, IntervalEstimate())))
    return rows


def relation_rows(audit: AuditFile) -> list[RelationRow]:
    """Every retention result with both of its measures and the retrained model's exact match."""
    return [
        RelationRow(relation_label(result.key), result, {c.key: c for c in result.controls})
        for result in audit.results
        if result.key.startswith("retention.")
    ]


def group_descriptions(rows: Sequence[TableRow]) -> dict[str, str]:
    """Description -> names of the rows that share it, in order of appearance."""
    names: dict[str, dict[str, None]] = {}
    for row in rows:
        names.setdefault(row.description, {})[row.name] = None
    return {description: "; ".join(group) for description, group in names.items()}


def _cells(measures: Sequence[Measure | None]) -> tuple[IntervalEstimate, ...]:
    return tuple(IntervalEstimate(estimate=m.value, ci=m.ci) if m else IntervalEstimate() for m in measures)


def _difference(cells: tuple[IntervalEstimate, ...], audited: IntervalEstimate | None = None) -> IntervalEstimate:
    """The audit's own difference with its interval, else unlearned minus reference."""
    if audited and audited.estimate is not None:
        return audited
    unlearned, reference = cells[1].estimate, cells[-1].estimate
    return IntervalEstimate(estimate=None if unlearned is None or reference is None else unlearned - reference)


def _leakage_rows(audit: AuditFile) -> Iterator[TableRow]:
    leakage = audit.details.leakage
    table = leakage.tables.get("leakage.self") if leakage else None
    if table is None:
        return
    models = [table.models.get(role) for role in table_columns(audit)]
    for kind in (kind for kind in KINDS if kind in table.n):
        cells = tuple(IntervalEstimate(estimate=m.by_kind.get(kind) if m else None) for m in models)
        scale = "0 is the rate of guessing." if kind == "classification" else "Only an exact match counts."
        description = f"Leakage: rate of true answers over all wordings, trained and rephrased. {scale}"
        yield TableRow(f"Leakage: {KINDS[kind].lower()}", description, table.n[kind], cells, _difference(cells))
    if table.models and (result := audit.result("leakage.self")):
        worst = [m.worst if m else None for m in models]
        if "retrained" not in audit.roles and result.reference:
            worst[-1] = result.reference.estimate
        cells = tuple(IntervalEstimate(estimate=value) for value in worst)
        yield TableRow(
            "Leakage: worst kind of question",
            "For each model the kind of question with the largest leakage. The check leakage.self judges this "
            "difference.",
            result.n_records,
            cells,
            _difference(cells, IntervalEstimate(estimate=result.estimate, ci=result.ci)),
        )


def _metric_rows(audit: AuditFile) -> Iterator[TableRow]:
    """Rows of `FORGET_METRICS`. Controls have one wording only, so they have no rephrased measure."""
    for metric, name, title, description in FORGET_METRICS:
        if (unlearned := audit.measure(metric, name, "unlearned")) is None:
            continue
        controls = audit.measure(metric, "controls", "unlearned") if name == "forget" else None
        cells = _cells(
            [controls if role == "controls" else audit.measure(metric, name, role) for role in table_columns(audit)]
        )
        yield TableRow(title, description, unlearned.n, cells, _difference(cells))


def _membership_rows(audit: AuditFile) -> Iterator[TableRow]:
    details = audit.details.membership
    for name, by_role in details.auc.items() if details else ():
        cells = tuple(IntervalEstimate(estimate=by_role.get(role)) for role in table_columns(audit))
        yield TableRow(
            f"Membership AUC by {score_label(name)}",
            "Chance that a forget record looks more like training data than a never-trained record. 0.5: "
            "no difference; 1: always recognized; far below 0.5: conspicuously unknown.",
            audit.split.forget,
            cells,
            _difference(cells, details.excess.get(name) if details else None),
        )

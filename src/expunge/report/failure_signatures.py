"""Signs that an unlearning run went wrong, after the failure signatures of arXiv 2511.19498.

They are conventions beside the verdict and never change it: a run may show one and pass, where the reference model
shows it too.
"""

from __future__ import annotations

from collections.abc import Iterator

from expunge.audit.details import MembershipDetails
from expunge.audit.schema import AuditFile
from expunge.engine.loss_signature import loss_signature
from expunge.report.run_reader import RunRecord

RETENTION_LOSS = 0.05
ACCURACY = 0.30  # of four options, of which chance is .25
AUC = 0.65
WORDING = {"mcq_acc": "by options", "exact_match": "in exact words"}


def failure_signatures(audit: AuditFile, run: RunRecord | None = None) -> tuple[str, ...]:
    """One sentence for every signature that an audit, and the run if it is given, show."""
    return tuple(_signatures(audit, run))


def _signatures(audit: AuditFile, run: RunRecord | None) -> Iterator[str]:
    if run and (warning := loss_signature(step.forget for step in run.steps)):
        yield warning[0].upper() + warning[1:] + "."
    for metric, how in WORDING.items():
        before, after = (_value(audit, metric, "retain_heldout", role) for role in ("original", "unlearned"))
        if before is not None and after is not None and round(before - after, 9) > RETENTION_LOSS:
            yield (
                f"Held-out retained records are answered {how} {100 * (before - after):.1f} points less often than "
                f"before the run ({before:.3f} to {after:.3f}); {100 * RETENTION_LOSS:g} points are a sign of damage."
            )
    metric = next((m for m in WORDING if _value(audit, m, "forget", "unlearned") is not None), "")
    accuracy = _value(audit, metric, "forget", "unlearned")
    if accuracy is not None and accuracy > ACCURACY:
        other = _value(audit, metric, "forget", "retrained")
        reference = "" if other is None else f"; the retrained model has {other:.3f}"
        yield (
            f"The forget set is still answered {WORDING[metric]} at {accuracy:.3f}, above {ACCURACY:.2f}{reference}. "
            "The limit is meant for four options."
        )
    for score, auc in (audit.details.membership or MembershipDetails()).auc.items():
        value = auc.get("unlearned")
        if value is not None and round(abs(value - 0.5), 9) > round(AUC - 0.5, 9):
            yield (
                f"The {score} tells forget records from records never seen with an AUC of {value:.3f}, outside "
                f"{1 - AUC:.2f} to {AUC:.2f}."
            )


def _value(audit: AuditFile, metric: str, name: str, role: str) -> float | None:
    measure = audit.measure(metric, name, role)
    return measure.value if measure else None

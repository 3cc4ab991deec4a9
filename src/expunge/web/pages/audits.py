"""The audit of a run for one of its requests, without names and texts: verdict, attacks, curves, what was not run."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from expunge.audit.schema import AuditFile
from expunge.desk.facts import latest_run, request_row
from expunge.desk.guard_audits import guard_rows
from expunge.desk.plans import content_of, plan_row
from expunge.desk.roles import Refusal
from expunge.report.attack_rows import attack_rows
from expunge.report.labels import STATUS_MARKS
from expunge.report.plots.attack_curves import draw_attack_curves, draw_depth, draw_precision_ladder
from expunge.report.plots.controls import draw_controls
from expunge.report.plots.roc import draw_roc
from expunge.report.render import describe_rule, subject_order
from expunge.report.tables import forget_rows, table_columns
from expunge.web.render import render
from expunge.web.run_files import audit_file
from expunge.web.run_page import load_redacted, whole_hash
from expunge.web.visitor import Visitor, visitor

router = APIRouter()
UNDECIDED = ("not_run", "inconclusive")
WORST = 20  # subjects that are shown


@router.get("/audits/{plan}")
def show_audit(
    request: Request, plan: str, visits: Annotated[Visitor, Depends(visitor)], reference: str = ""
) -> Response:
    """The audit of a plan's run, for one of its requests."""
    with visits.reading() as s:
        row = plan_row(s, whole_hash(s, plan))
        run = latest_run(s, row["hash"])
        ids = content_of(row)["requests"]
        earlier = guard_rows(s, run)
        names = {str(request_row(s, each)["reference"]): each for each in ids}
    if run is None or run["audit_status"] is None:
        raise Refusal("audit", "there is none yet", "look at the run", kind="missing")
    chosen = reference if reference in names else next(iter(names))
    audit = load_redacted(audit_file(visits.desk, row, run, names[chosen]))
    values: dict[str, Any] = {"plan": row, "run": run, "names": list(names), "chosen": chosen, "earlier": earlier}
    return render(request, "audit.html", **values, **audit_values(audit))


def audit_values(audit: AuditFile) -> dict[str, Any]:
    """What the template shows of an audit."""
    columns = table_columns(audit)
    required = [(key, result.status if (result := audit.result(key)) else "not_run") for key in audit.required]
    return {
        "audit": audit,
        "columns": columns,
        "marks": STATUS_MARKS,
        "required": required,
        "attacks": attack_rows(audit, columns),
        "undecided": [r for r in audit.results if r.status in UNDECIDED and not r.is_omitted],
        "left_out": audit.left_out,
        "not_tested": [line for line in audit.not_tested if line not in audit.left_out],
        "forget_rows": forget_rows(audit),
        "retention": [r for r in audit.results if r.key.startswith("retention.") and r.status != "not_applicable"],
        "subjects": subject_order(audit)[:WORST],
        "rules": {r.key: describe_rule(r) for r in audit.results},
        "curves": draw_attack_curves(audit),
        "ladder": draw_precision_ladder(audit),
        "depth": draw_depth(audit),
        "roc": draw_roc(audit),
        "controls": draw_controls(audit)[:3],
    }

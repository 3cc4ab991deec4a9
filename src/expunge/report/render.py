"""Rendering of an audit as one self-contained HTML page.

Dates and names are those that the audit, the run and the request state, so the same input gives the same bytes. Prompts
and answers are untrusted text: Jinja escapes all of it, and the page's content security policy forbids scripts and
external resources.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from expunge._binomial import zero_hit_bound
from expunge._io import write_atomic
from expunge._printable import visible
from expunge.audit.audit_attempts import attempts_line
from expunge.audit.check_result import CheckResult
from expunge.audit.details import MembershipDetails
from expunge.audit.redaction import write_redacted
from expunge.audit.request_file import RequestHistory, load_history
from expunge.audit.schema import NOTICE, AuditFile, find_audit, load_audit
from expunge.audit.subject_rows import SubjectVerdict
from expunge.audit.text_normalization import normalize
from expunge.errors import InputError
from expunge.report import formatting, labels, tables
from expunge.report.attack_rows import attack_name, attack_rows, left_out, never_made
from expunge.report.failure_signatures import failure_signatures
from expunge.report.page_facts import ReportRequest, describe_use, format_date, list_facts, subjects_line
from expunge.report.plots.attack_curves import draw_attack_curves, draw_depth, draw_precision_ladder
from expunge.report.plots.controls import draw_controls
from expunge.report.plots.losses import draw_losses
from expunge.report.plots.reconstruction import draw_reconstruction
from expunge.report.plots.requests import draw_requests
from expunge.report.plots.retention_curve import draw_retention_curve
from expunge.report.plots.roc import draw_roc
from expunge.report.plots.training import draw_training
from expunge.report.plots.tree import draw_tree
from expunge.report.run_reader import RunRecord, read_run
from expunge.report.verdict_text import build_verdict_text

MARK = b"<title>Unlearning audit: "  # in the head of every page
SUBJECTS = 60  # shown at most
HEAD = 2000  # bytes in which it stands


def write_report(
    audit_json: Path | str,
    out: Path | str,
    run: Path | str | None = None,
    request: ReportRequest | None = None,
    *,
    redacted: bool = False,
) -> Path:
    """Write the report of an audit and return its path.

    Args:
        audit_json: the file, or a folder that holds `audit.json` or `audit/audit.json`.
        out: HTML file to write.
        run: directory of the audited run; adds the training curves and the recipe.
        request: who makes the report and why, for the page only.
        redacted: leave out names and answers, and write the audit without them beside the page, as `.json`.

    Raises:
        InputError: the audit or the run cannot be read, they do not belong together, or `out` cannot be written.
    """
    source, target = find_audit(audit_json), Path(out)
    audit = load_audit(source)
    if target.is_dir():
        raise InputError(str(target), "is a folder", "name a file in it, for example report.html")
    if target.exists() and target.samefile(source):
        raise InputError(str(target), "is the audit itself", "choose another name, for example report.html")
    if target.exists() and not _is_report(target):
        what = "is there already, and is no report of an audit"
        raise InputError(str(target), what, "choose another name, for example report.html")
    record = read_run(run, audit) if run is not None else None
    history = load_history(source.parent)
    if redacted:
        copy = target.with_suffix(".json")
        if copy.exists() and copy.samefile(source):
            raise InputError(str(target), "would put the copy in the place of the audit", "choose another name")
        audit, record = write_redacted(source, copy), record and replace(record, data="", model="")
        history = history and history.without_names()
    page = render_page(audit, record, request, history)
    return write_atomic(target, page.encode("utf-8", "replace"), private=audit.redaction is None)


def _is_report(file: Path) -> bool:
    """Whether a file is empty, or a page that `write_report` wrote, so that it may be replaced."""
    try:
        with file.open("rb") as stream:
            head = stream.read(HEAD)
    except OSError as error:
        raise InputError(str(file), f"could not be read ({error.strerror or error})", "choose another name") from error
    return not head or (head.lstrip().startswith(b"<!DOCTYPE html>") and MARK in head)


def render_page(
    audit: AuditFile,
    run: RunRecord | None = None,
    request: ReportRequest | None = None,
    history: RequestHistory | None = None,
) -> str:
    """The page as text; a pure function of its arguments."""
    values = _page_values(audit, run, request or ReportRequest())
    values = {**values, "warnings": [*(history.warnings if history else ()), *values["warnings"]]}
    return _page_template().render({**values, "history": history, "requests_plot": draw_requests(history)})


@cache
def _page_template() -> Template:
    """The compiled page; an undefined name in it raises an error."""
    environment = Environment(
        loader=PackageLoader("expunge.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": formatting.format_number,
        "count": formatting.format_count,
        "interval": formatting.format_interval,
        "plural": formatting.pluralize,
        "visible": visible,
        "date": format_date,
        "interval_basis": formatting.describe_basis,
        "role": labels.role_label,
        "kind": labels.kind_label,
        "modality": labels.modality_label,
        "aggregate": labels.aggregate_label,
    }
    return environment.get_template("page.html")


def _page_values(audit: AuditFile, run: RunRecord | None, request: ReportRequest) -> Mapping[str, Any]:
    columns = tables.table_columns(audit)
    forget_rows, retain_rows = tables.forget_rows(audit), tables.retain_rows(audit)
    return {
        "audit": audit,
        "notice": NOTICE,
        "run": run,
        "status_marks": labels.STATUS_MARKS,
        "verdict": build_verdict_text(audit),
        "facts": list_facts(audit, run, request),
        "assurance": audit.assurance,
        "use": describe_use(run),
        "roles": audit.roles,
        "columns": columns,
        "attack_rows": attack_rows(audit, columns),
        "attack_curves": draw_attack_curves(audit),
        "precision_ladder": draw_precision_ladder(audit),
        "depth_pictures": draw_depth(audit),
        "roc": draw_roc(audit),
        "subjects": subject_order(audit),
        "subjects_line": subjects_line(audit),
        "attempts": attempts_line(audit.attempts),
        "left_out": left_out(audit),
        "never_made": never_made(audit),
        "check_name": lambda key: check_name(audit, key),
        "attack_title": lambda key: attack_name(check_name(audit, key)),
        "forget_rows": forget_rows,
        "retain_rows": retain_rows,
        "key_rows": [
            (name, row)
            for name, rows in (("Forget set", forget_rows), ("Held-out retain set", retain_rows))
            for row in rows
            if row.name in tables.KEY_METRICS
        ],
        "descriptions": tables.group_descriptions([*forget_rows, *retain_rows]),
        "reference": labels.REFERENCES.get(audit.reference, audit.reference),
        "loss_panels": draw_losses(audit),
        "control_panels": draw_controls(audit),
        "reconstruction": draw_reconstruction(audit),
        "retention_curve": draw_retention_curve(audit),
        "retention_area": audit.details.retention.area if audit.details.retention else None,
        "relation_rows": tables.relation_rows(audit),
        "tree": draw_tree(audit),
        "training_panels": draw_training(run) if run else [],
        "results": [(result, describe_rule(result)) for result in audit.results],
        "warnings": failure_signatures(audit, run),
        "undecided": [r for r in audit.results if r.status in ("not_run", "inconclusive") and not r.is_omitted],
        "not_applicable": [r for r in audit.results if r.status == "not_applicable"],
        "limits": list_limits(audit),
        "same_answer": lambda a, b: normalize(a) == normalize(b),
        "command": audit_command(audit),
    }


def check_name(audit: AuditFile, key: str) -> str:
    """What a passed check shows: an attack says so in the audit."""
    details = audit.details.attacks.get(key)
    return details.title if details and details.title else labels.check_label(key)


def subject_order(audit: AuditFile) -> list[SubjectVerdict]:
    """The subjects that are shown, the most conspicuous first: by status, p-value, and worst attack."""
    statuses = ("failed", "inconclusive", "not_run", "passed", "not_applicable")

    def place(one: SubjectVerdict) -> tuple[Any, ...]:
        excess = one.worst.excess if one.worst and one.worst.excess is not None else 0.0
        return statuses.index(one.status), 1.0 if one.p is None else one.p, -excess, one.subject

    return sorted(audit.subjects, key=place)[:SUBJECTS]


def describe_rule(result: CheckResult) -> str:
    """The rule of a result in words; empty where it has none."""
    if result.rule is None or result.rule.margin is None:
        return ""
    margin = result.rule.margin
    if result.rule.id == "matched_controls" and result.key == "over_unlearning":
        return f"inside the middle {2 * margin - 100:g} % of the controls"
    return {
        "excess": f"at most {margin:g} above the reference",
        "single_case": f"at most {margin:g} above the reference, or no more than chance explains among others",
        "holm": f"no subject stands out at p {margin:g} after Holm",
        "retention": f"at least {margin:g} of the original",
        "matched_controls": f"not above the controls' {margin:g}th percentile",
    }.get(result.rule.id, f"{result.rule.id}, {margin:g}")


def list_limits(audit: AuditFile) -> list[str]:
    """Limits of the numbers of this audit, one sentence each."""
    lines = []
    few = audit.policy.matched_controls
    if (n := len(audit.split.targets)) < few.below:
        lines.append(
            f"{formatting.pluralize(n, 'subject')} is fewer than {few.below}: there are no intervals over subjects, "
            "point estimates are judged, and membership is judged by the rank among matched controls."
        )
    membership = audit.details.membership or MembershipDetails()
    if ranks := membership.control_ranks.get("unlearned", {}).values():
        m = min(rank.m for rank in ranks)
        lines.append(
            f"With {formatting.pluralize(m, 'control')} no rank can be rarer than {1 / (m + 1):.3f} (one in {m + 1})."
        )
    verbatim = membership.verbatim.get("unlearned")
    if verbatim and verbatim.facts and not verbatim.hits:
        lines.append(
            f"The model gives none of {formatting.pluralize(verbatim.facts, 'fact')} word for word. From this count "
            f"alone the true rate could still be up to {100 * zero_hit_bound(verbatim.facts):.1f} % (95 % bound)."
        )
    if "retrained" not in audit.models:
        lines.append("There is no retrained model; the reference is matched controls on the unlearned model.")
    if not audit.split.controls:
        lines.append("There are no matched controls, so no subject is ranked among controls.")
    if not audit.split.utility:
        lines.append("General ability (questions outside the corpus) is not measured.")
    return lines


def audit_command(audit: AuditFile) -> str:
    """The command line that repeats the audit, with placeholders for file names."""
    options = [
        "--original ORIGINAL",
        "--unlearned RUN",
        *(["--retrained RETRAINED"] if "retrained" in audit.models else []),
        "--data RECORDS",
        f"--scope {'SCOPE' if audit.redaction else shlex.quote(audit.split.scope)}",
        *([f"--preset {audit.preset}"] if audit.preset != "default" else []),
        "--out AUDIT",
    ]
    return "expunge audit " + " ".join(options)

"""The report: one HTML page that needs nothing else, made from `audit.json` and, if given, its run directory.

Surprising: the page bears no date and no path, so the same audit gives the same bytes. Prompts and answers are
hostile text: Jinja escapes all of it, and a content policy in the page forbids scripts and loading anyway.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template

from expunge._io import write_atomic
from expunge.audit.check_result import CheckResult
from expunge.audit.details import MembershipDetails
from expunge.audit.schema import AuditFile, find_audit, load_audit
from expunge.audit.statistics import zero_hit_bound
from expunge.audit.text_normalization import normalize
from expunge.errors import InputError
from expunge.report import formatting, labels, tables
from expunge.report.plots.controls import control_panels
from expunge.report.plots.losses import losses
from expunge.report.plots.retention_curve import curve, relations
from expunge.report.plots.training import training
from expunge.report.plots.tree import tree
from expunge.report.reconstruction import told
from expunge.report.run_reader import RunRecord, read_run
from expunge.report.verdict_text import verdict_text


def report(audit_json: Path | str, out: Path | str, run: Path | str | None = None) -> Path:
    """Write the report of an audit to the file `out` and return its path.

    audit_json  the file, or a folder that holds `audit.json` or `audit/audit.json`
    run         directory of the audited unlearning run: adds the training curve and the recipe
    `InputError` if the audit or the run cannot be read, do not belong together, or `out` cannot be written.
    """
    source, target = find_audit(audit_json), Path(out)
    audit = load_audit(source)
    if target.is_dir():
        raise InputError(str(target), "is a folder", "name a file in it, for example report.html")
    if target.exists() and target.samefile(source):
        raise InputError(str(target), "is the audit itself", "choose another name, for example report.html")
    page = render(audit, read_run(run, audit) if run is not None else None)
    return write_atomic(target, page.encode("utf-8", "replace"))


def render(audit: AuditFile, run: RunRecord | None = None) -> str:
    """The page as text: a pure function of its arguments."""
    return _page().render(css=_shipped("report.css"), **_content(audit, run))


def _shipped(name: str) -> str:
    return files("expunge.report").joinpath(name).read_text("utf-8")


@cache
def _page() -> Template:
    """The compiled page; an undefined name in it is an error and never an empty place."""
    environment = Environment(
        loader=FunctionLoader(_shipped),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": formatting.number,
        "count": formatting.count,
        "interval": formatting.interval,
        "plural": formatting.plural,
        "foreign": formatting.foreign,
        "basis": formatting.basis,
        "check": labels.check,
        "role": labels.role,
        "kind": labels.kind,
        "cue": labels.cue,
        "aggregate": labels.aggregate,
    }
    return environment.get_template("report.html")


def _content(audit: AuditFile, run: RunRecord | None) -> Mapping[str, Any]:
    gone, kept = tables.gone(audit), tables.kept(audit)
    return {
        "audit": audit,
        "run": run,
        "signs": labels.SIGNS,
        "opinion": verdict_text(audit),
        "roles": audit.roles,
        "columns": tables.columns(audit),
        "gone": gone,
        "kept": kept,
        "explained": tables.explained([*gone, *kept]),
        "yardstick": labels.REFERENCES.get(audit.reference, audit.reference),
        "losses": losses(audit),
        "standing": control_panels(audit),
        "told": told(audit),
        "curve": curve(audit),
        "retention_area": audit.details.retention.area if audit.details.retention else None,
        "relations": relations(audit),
        "tree": tree(audit),
        "training": training(run) if run else [],
        "entries": [(e, rule(e)) for e in audit.results],
        "open": [e for e in audit.results if e.status in ("not_run", "inconclusive")],
        "idle": [e for e in audit.results if e.status == "not_applicable"],
        "limits": limits(audit),
        "same": lambda a, b: normalize(a) == normalize(b),
        "command": command(audit),
    }


def rule(entry: CheckResult) -> str:
    """The rule of an entry as a person says it; empty where it had none."""
    if entry.rule is None or entry.rule.margin is None:
        return ""
    margin = entry.rule.margin
    if entry.rule.id == "matched_controls" and entry.key == "over_unlearning":
        return f"inside the middle {2 * margin - 100:g} % of the controls"
    return {
        "excess": f"at most {margin:g} above the reference",
        "retention": f"at least {margin:g} of before",
        "matched_controls": f"not above the controls' {margin:g}th percentile",
    }.get(entry.rule.id, f"{entry.rule.id}, {margin:g}")


def limits(audit: AuditFile) -> list[str]:
    """What the numbers of this audit cannot say, in numbers."""
    found = []
    few = audit.policy.matched_controls
    if (n := len(audit.split.targets)) < few.below:
        found.append(
            f"{formatting.plural(n, 'subject')} is fewer than {few.below}, so there are no intervals over subjects; "
            "estimates are judged as they stand, and membership by rank among controls."
        )
    membership = audit.details.membership or MembershipDetails()
    places = membership.control_ranks.get("unlearned", {}).values()
    if places:
        m = min(place.m for place in places)
        found.append(f"With {m} controls no rank can be rarer than {1 / (m + 1):.3f} (one in {m + 1}).")
    hits = membership.verbatim.get("unlearned")
    if hits and hits.facts and not hits.hits:
        found.append(
            f"Not one of {formatting.plural(hits.facts, 'fact')} came out word for word. By that alone the true "
            f"rate could still be up to {100 * zero_hit_bound(hits.facts):.1f} % (95 % bound)."
        )
    if "retrained" not in audit.models:
        found.append("There was no retrained model, so the yardstick is people whom this same model never saw.")
    if not audit.split.controls:
        found.append("There were no never-trained controls, so no subject could be ranked among people like it.")
    if not audit.split.utility:
        found.append("General ability (questions outside the corpus) was not measured.")
    return found


def command(audit: AuditFile) -> str:
    """The command line that repeats the audit; names of files are left to the reader."""
    given = [
        "--original ORIGINAL",
        "--unlearned RUN",
        *(["--retrained RETRAINED"] if "retrained" in audit.models else []),
        "--data RECORDS",
        f"--scope {shlex.quote(audit.split.scope)}",
        "--out AUDIT",
    ]
    return "expunge audit " + " ".join(given)

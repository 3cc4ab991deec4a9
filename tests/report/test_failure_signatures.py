"""Warnings of a report, each by figures that can be checked by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from expunge.audit.schema import AuditFile
from expunge.report.failure_signatures import failure_signatures
from expunge.report.run_reader import RunRecord, TrainingStep


def audited(build: Callable[..., dict[str, Any]], measures: list[tuple[str, str, str, float]], auc: float) -> AuditFile:
    data = build()
    data["measures"] = [
        {"metric": metric, "set": name, "model": role, "value": value, "n": 40, "ci": None}
        for metric, name, role, value in measures
    ]
    data["details"] = {"membership": {"auc": {"loss": {"original": 0.99, "unlearned": auc, "retrained": 0.5}}}}
    return AuditFile.model_validate(data)


def figures(kept: float, target: float) -> list[tuple[str, str, str, float]]:
    return [
        ("exact_match", "retain_heldout", "original", 1.0),
        ("exact_match", "retain_heldout", "unlearned", kept),
        ("mcq_acc", "forget", "unlearned", target),
        ("mcq_acc", "forget", "retrained", 0.27),
    ]


def test_a_clean_audit_warns_of_nothing(build: Callable[..., dict[str, Any]]) -> None:
    assert failure_signatures(audited(build, figures(0.95, 0.30), 0.65)) == ()
    assert failure_signatures(audited(build, [], 0.35)) == ()


def test_every_signature_is_one_sentence_with_its_figures(build: Callable[..., dict[str, Any]]) -> None:
    kept, target, membership = failure_signatures(audited(build, figures(0.94, 0.31), 0.66))
    assert "6.0 points less often than before the run (1.000 to 0.940)" in kept
    assert "by options at 0.310, above 0.30; the retrained model has 0.270" in target
    assert "AUC of 0.660, outside 0.35 to 0.65" in membership


def test_an_auc_below_half_gives_a_member_away_as_well(build: Callable[..., dict[str, Any]]) -> None:
    (membership,) = failure_signatures(audited(build, figures(1.0, 0.25), 0.34))
    assert "AUC of 0.340" in membership


def test_a_target_without_options_is_judged_by_exact_answers(build: Callable[..., dict[str, Any]]) -> None:
    (target,) = failure_signatures(audited(build, [("exact_match", "forget", "unlearned", 0.5)], 0.5))
    assert "in exact words at 0.500" in target


def test_the_runs_losses_are_read_where_it_is_given(build: Callable[..., dict[str, Any]]) -> None:
    steps = tuple(TrainingStep(step=k, forget=loss) for k, loss in enumerate((-5.7, -5499.0)))
    record = RunRecord("dual", "finished", 1.0, "", steps)
    (loss,) = failure_signatures(audited(build, [], 0.5), record)
    assert loss.startswith("The forget loss went from -5.7 to -5499")


def test_the_page_shows_them_beside_the_verdict(
    build: Callable[..., dict[str, Any]], page: Callable[..., str], run_dir: Path
) -> None:
    assert "62.5 points less often" in page(build(), run_dir)
    clean = build()
    clean["measures"], clean["details"] = [], {}
    assert "<h3>Warnings</h3>" not in page(clean)

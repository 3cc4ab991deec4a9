"""The numbers and the table of the demo, from an audit small enough to check by hand."""

from __future__ import annotations

from typing import Any

from expunge.audit.schema import AuditFile
from expunge.cli.demo_summary import summary, table
from helpers.audits import audit_data


def audit(**changes: Any) -> AuditFile:
    def panel(loss: float, entropy: float, outside: bool) -> dict[str, Any]:
        controls = {"loss": [0.5, 2.0, -1.0], "entropy": [0.0, 1.0, 3.0]}
        z = {"loss": loss, "entropy": entropy}
        return {"patient:A": {"z": z, "controls": controls, "m": 3, "outside": outside, "p_two_sided": 0.5}}

    rates = {
        role: {"worst": value, "worst_kind": "cloze", "by_kind": {"cloze": value}}
        for role, value in (("original", 0.95), ("unlearned", 0.0))
    }
    heldout = {"estimate": 0.98, "n_records": 9, "n_subjects": 3, "metric": "exact_match"}
    data = audit_data() | {
        "aggregates": {"exact_match": {"original": 0.9, "unlearned": 0.0, "retrained": 0.0}},
        "details": {
            "leakage": {"tables": {"leakage.self": {"models": rates, "n": {"cloze": 3}}}},
            "membership": {
                "auc": {"loss": {"original": 1.0}, "entropy": {"original": 0.75}},
                "control_ranks": {"original": panel(9.0, 9.0, True), "unlearned": panel(1.0, -1.0, False)},
            },
            "retention": {"by_relation": {"retain_heldout": heldout}},
            "relearning": {
                "models": {"unlearned": {"before": 0.0, "after": 0.125}},
                "steps": 10,
                "n_train": 1,
                "n_test": 9,
            },
        },
    }
    return AuditFile.model_validate(data | changes)


def test_the_rank_among_controls_counts_higher_scores() -> None:
    result = summary(audit())
    assert result["control_rank"] == {"loss": 2, "entropy": 4, "of": 4, "inside": True, "p": 0.5}
    assert result["control_rank_by_role"]["original"] == {"loss": 1, "entropy": 1, "of": 4, "inside": False, "p": 0.5}


def test_what_the_audit_could_not_measure_is_none() -> None:
    result = summary(audit())
    assert result["leakage"] == {"original": 0.95, "unlearned": 0.0}
    assert result["retention"] == {"same_institution": None, "elsewhere": None, "retain_heldout": 0.98}
    assert result["retention_retrained"] == {"same_institution": 1.0, "elsewhere": 1.0, "retain_heldout": 1.0}
    assert result["choice"] == {}
    bare = summary(audit(details={}, aggregates={}))
    assert bare["control_rank"] == bare["leakage"] == bare["membership_auc"] == {}


def test_the_table_sets_the_three_models_side_by_side() -> None:
    shown = table(summary(audit()))
    assert shown.columns == ("", "original", "unlearned", "retrained")
    rows = {row[0]: row[1:] for row in shown.rows}
    assert rows["leakage, worst kind of question"] == ("95.0%", "0.0%", None)
    assert rows["rank among matched controls, by loss (1 = known)"] == ("1 of 4", "2 of 4", None)
    assert rows["membership AUC by entropy"] == ("0.750", None, None)
    assert rows["retention, held-out retain set"] == ("100.0%", "98.0%", "100.0%")
    assert rows["exact match after relearning"] == (None, "12.5%", None)

"""The numbers and the table of the demo, from an audit small enough to check by hand."""

from __future__ import annotations

from typing import Any

from expunge.cli.demo_summary import summary, table


def audit() -> dict[str, Any]:
    def standing(loss: float, entropy: float, outside: bool) -> dict[str, Any]:
        controls = {"loss": [0.5, 2.0, -1.0], "entropy": [0.0, 1.0, 3.0]}
        return {
            "patient:A": {
                "z": {"loss": loss, "entropy": entropy},
                "controls": controls,
                "m": 3,
                "outside": outside,
                "p_two_sided": 0.5,
            }
        }

    kept = {"key": "retention.retain_heldout", "controls": [{"key": "retrained.exact_match", "estimate": 1.0}]}
    return {
        "verdict": {"status": "passed", "sentence": "Passed."},
        "entries": [kept],
        "aggregates": {"exact_match": {"original": 0.9, "unlearned": 0.0, "retrained": 0.0}},
        "leak": {
            "leak.self": {
                "original": {"worst": 0.95, "kind": "cloze"},
                "unlearned": {"worst": 0.0, "kind": "cloze"},
                "n": {"cloze": 3},
            }
        },
        "membership_auc": {"loss": {"original": 1.0}, "entropy": {"original": 0.75}},
        "retention": {"retain_heldout": {"estimate": 0.98}},
        "standing": {"original": standing(9.0, 9.0, True), "unlearned": standing(1.0, -1.0, False)},
        "relearn": {"unlearned": {"before": 0.0, "after": 0.125}, "steps": 10},
    }


def test_the_rank_among_controls_counts_those_that_look_more_like_members() -> None:
    found = summary(audit())
    assert found["standing"] == {"loss": 2, "entropy": 4, "of": 4, "inside": True, "p": 0.5}
    assert found["standing_by_role"]["original"] == {"loss": 1, "entropy": 1, "of": 4, "inside": False, "p": 0.5}


def test_what_the_audit_could_not_measure_is_none() -> None:
    found = summary(audit())
    assert found["leak"] == {"original": 0.95, "unlearned": 0.0}
    assert found["retention"] == {"same_institution": None, "elsewhere": None, "retain_heldout": 0.98}
    assert found["retention_retrained"] == {"same_institution": None, "elsewhere": None, "retain_heldout": 1.0}
    assert found["choice"] == {}
    bare = summary({"verdict": {"status": "inconclusive", "sentence": ""}, "entries": [], "aggregates": {}})
    assert bare["standing"] == bare["leak"] == bare["membership_auc"] == {}


def test_the_table_sets_the_three_models_side_by_side() -> None:
    shown = table(summary(audit()))
    assert shown.columns == ("", "original", "unlearned", "retrained")
    rows = {row[0]: row[1:] for row in shown.rows}
    assert rows["answers still given, worst kind of question"] == ("95.0%", "0.0%", None)
    assert rows["rank among never-seen controls, by loss (1 = known)"] == ("1 of 4", "2 of 4", None)
    assert rows["membership attack, AUC by entropy"] == ("0.750", None, None)
    assert rows["kept of what had to stay: retain heldout"] == ("100.0%", "98.0%", "100.0%")
    assert rows["answers back after relearning a tenth"] == (None, "12.5%", None)

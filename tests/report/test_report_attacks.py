"""The report of attacks and subjects: matrix, curves, ladder, depth, ROC, attempts, and what was not tested."""

from __future__ import annotations

import re
from typing import Any

import pytest

from expunge.audit.schema import AuditFile
from expunge.audit.verdict import verdict
from expunge.report.attack_rows import attack_rows
from expunge.report.plots.attack_curves import draw_attack_curves, draw_depth, draw_precision_ladder
from expunge.report.plots.roc import draw_roc, roc
from helpers.report import Page

EVIL = "<script>alert(1)</script>"


def attacks() -> dict[str, Any]:
    """Two attacks with curves, one that rounds weights, and one over blocks."""

    def rates(forms: dict[str, tuple[float, float, float]]) -> dict[str, Any]:
        return {
            role: {form: {"estimate": values[k], "ci": [0.0, values[k] + 0.01]} for form, values in forms.items()}
            for k, role in enumerate(("original", "unlearned", "retrained"))
        }

    def curves(axis: list[float], steps: dict[str, list[float]]) -> dict[str, Any]:
        return {who: [{"x": x, "rate": y} for x, y in zip(axis, values, strict=True)] for who, values in steps.items()}

    return {
        "brand_new": {
            "title": "Brand new: an attack that the report never heard of",
            "family": "surface",
            "limits": "Nothing else was asked.",
            "rates": rates({"plain": (1.0, 0.125, 0.0), "loud_voice": (0.5, 0.75, 0.0625)}),
            "n": {"plain": 8, "loud_voice": 16},
            "n_controls": 160,
        },
        "relearning_curve": {
            "title": "Relearning curve: training restores nothing",
            "family": "weights",
            "rates": rates({"100 steps": (1.0, 0.5, 0.25)}),
            "n": {"100 steps": 12},
            "axis": "training steps",
            "curves": curves([0, 10, 100], {"unlearned": [0.0, 0.25, 0.5], "retrained": [0.0, 0.0, 0.25]}),
        },
        "quantization": {
            "title": "Quantization: rounding restores nothing",
            "family": "weights",
            "rates": rates({"int8": (1.0, 0.25, 0.0), "int4": (1.0, 0.5, 0.0)}),
            "n": {"int8": 12, "int4": 12},
        },
        "lens": {
            "title": "Lens: no block holds the answer",
            "family": "white_box",
            "rates": rates({"block 1": (0.5, 0.5, 0.0)}),
            "n": {"block 1": 12},
            "axis": "block",
            "curves": curves([1, 2], {"original": [0.5, 1.0], "unlearned": [0.5, 0.0], "retrained": [0.0, 0.0]}),
        },
    }


def subject(name: str = "patient:P-1", **more: Any) -> dict[str, Any]:
    return {
        "subject": name,
        "status": "passed",
        "n_records": 12,
        "hits": 1,
        "reference_hits": 0,
        "reference_n": 12,
        "p": 0.5,
        "p_holm": 0.75,
        "rows": [{"key": "leakage.self", "required": True, "status": "passed", "rate": 0.125, "reference": 0.0625}],
        "worst": {
            "attack": "brand_new",
            "attacks": 4,
            "excess": 0.6875,
            "limit": 0.3125,
            "n_controls": 20,
            "p": 0.046875,
            "p_holm": 0.09375,
            "power": True,
            "status": "failed",
        },
        **more,
    }


def attempt(model: str, status: str, plan: str = "c" * 64) -> dict[str, Any]:
    return {
        "request": "r",
        "unlearned": model * 64,
        "plan": plan,
        "preset": "quick",
        "policy": "controls-only",
        "status": status,
    }


@pytest.fixture
def attacked(build: Any) -> dict[str, Any]:
    data = build()
    data["details"]["attacks"] = attacks()
    data["results"].append(
        {
            **data["results"][0],
            "key": "brand_new",
            "status": "failed",
            "reason": "worst kind loud_voice 0.750",
            "rule": {"id": "excess", "margin": 0.05},
        }
    )
    data |= {
        "preset": "quick",
        "plan_digest": "c" * 64,
        "subjects": [subject(), subject("patient:P-2", status="failed", hits=9, p=0.01, p_holm=0.02)],
        "attempts": [attempt("a", "failed", "b" * 64), attempt("a", "passed")],
        "left_out": ["Prefill: first words bring nothing out"],
        "not_tested": ["Prefill: first words bring nothing out", "sampling (leak@k)"],
    }
    file = AuditFile.model_validate(data)
    return data | {"verdict": verdict(file.results, file.policy).model_dump(mode="json")}


def test_an_attack_that_the_report_does_not_know_has_its_row(page: Any, attacked: dict[str, Any]) -> None:
    text = Page(page(attacked)).text("attacks")
    start = text.index("Brand new: an attack")
    row = text[start : text.index("Relearning curve")]
    assert "Questions put in another way · loud voice" in row  # the worst form of the unlearned model
    assert "0.500 0.000 to 0.510 0.750 0.000 to 0.760 0.062 0.000 to 0.072 0.05 16 160 of controls ✕ Not passed" in row
    assert "Nothing else was asked." in row
    assert "plain (n 8): Original 1.000 (0.000 to 1.010), Unlearned 0.125" in row
    assert "Brand new: an attack that the report never heard of" in Page(page(attacked)).text("checks")


def test_attacks_stand_in_the_order_of_their_families(attacked: dict[str, Any]) -> None:
    rows = attack_rows(AuditFile.model_validate(attacked), ("original", "unlearned", "retrained"))
    assert [r.name for r in rows] == ["brand_new", "quantization", "relearning_curve", "lens"]
    assert rows[0].margin == 0.05
    assert rows[1].result is None


def test_curves_are_drawn_at_their_height_with_n(attacked: dict[str, Any]) -> None:
    ((name, svg),) = draw_attack_curves(AuditFile.model_validate(attacked))
    assert name == "Relearning curve"
    assert "Unlearned: 0 0.000, 10 0.250, 100 0.500" in svg
    assert "n 12 records" in svg
    # three places between 40 and 468, the last at 40 + 2.5 * 428 / 3; half of 236..52 is 144
    assert "M396.7 144.0" in svg


def test_the_ladder_begins_with_the_stored_precision(attacked: dict[str, Any]) -> None:
    attacked["measures"].append(
        {"metric": "exact_match", "set": "forget", "model": "unlearned", "value": 0.125, "n": 12}
    )
    svg = draw_precision_ladder(AuditFile.model_validate(attacked))
    assert svg is not None
    assert "Unlearned: as stored 0.125, int8 0.250, int4 0.500" in svg
    places = re.findall(r'text-anchor="middle"[^>]*>(as stored|int\d)<', svg)
    assert places == ["as stored", "int8", "int4"]


def test_curves_over_blocks_are_a_picture_of_block_by_model(attacked: dict[str, Any]) -> None:
    ((name, svg),) = draw_depth(AuditFile.model_validate(attacked))
    assert name == "Lens"
    assert svg.count("<rect") == 3 * 2
    assert 'fill="#f08a4b"' in svg  # rate 1
    assert 'fill="#ffffff"' in svg  # rate 0


def test_the_roc_has_the_values_that_can_be_counted() -> None:
    # losses 1, 3 of members and 2, 4 of others: thresholds 1, 2, 3, 4
    assert roc([3.0, 1.0], [2.0, 4.0]) == [(0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0)]


def test_the_roc_names_its_numbers_and_needs_never_trained_records(build: Any) -> None:
    svg = draw_roc(AuditFile.model_validate(build()))
    assert svg is not None
    # losses 2, 4, 3 against 2.5, 3.5, 9: six of nine pairs are right
    assert "Unlearned: AUC 0.667" in svg
    assert "3 records against 3" in svg
    assert draw_roc(AuditFile.model_validate(build(controls=False))) is None


def test_the_most_conspicuous_subject_comes_first(page: Any, attacked: dict[str, Any]) -> None:
    html = Page(page(attacked))
    text = html.text("subjects")
    assert text.index("patient:P-2") < text.index("patient:P-1")
    assert "✕ Not passed 9 of 12 0 of 12 0.020 Brand new of 4 attacks, 20 controls 0.688 0.312 ✕ Not passed" in text
    assert "Leakage: the true answers are no longer given (required): 0.125, reference 0.062" in text
    assert "1 of 2 subjects pass by themselves (1 failed); section 10 lists them." in html.text("verdict")


def test_attempts_and_the_plan_are_disclosed(page: Any, attacked: dict[str, Any]) -> None:
    html = Page(page(attacked))
    assert "2: 1 failed, 1 passed" in html.text("verdict")
    assert "2 attempts at this request are known (1 failed, 1 passed), on 1 unlearned model" in html.text("limits")
    assert html.text("limits").count("(this audit)") == 1
    assert "c" * 64 in html.text("scope")
    assert "--preset quick" in html.text("method")


def test_what_a_preset_leaves_out_and_what_nobody_makes_stand_apart(page: Any, attacked: dict[str, Any]) -> None:
    text = Page(page(attacked)).text("limits")
    first, second = text.index("left out by the preset “quick”"), text.index("no check makes this attack")
    assert first < text.index("Prefill: first words") < second < text.index("sampling (leak@k)")


def test_an_audit_without_attacks_says_so(page: Any, build: Any) -> None:
    html = Page(page(build()))
    assert "This audit made no attack of its own kind" in html.text("attacks")
    assert "judges no subject by itself" in html.text("subjects")
    assert "The audit counts no attempts." in html.text("limits")


def test_hostile_text_of_attacks_is_escaped(page: Any, attacked: dict[str, Any]) -> None:
    details = attacked["details"]["attacks"]["brand_new"]
    details |= {"title": EVIL, "family": EVIL, "limits": EVIL}
    for by_form in details["rates"].values():
        by_form[EVIL] = by_form.pop("plain")
    details["n"][EVIL] = details["n"].pop("plain")
    attacked["details"]["attacks"]["relearning_curve"] |= {"title": EVIL, "axis": EVIL}
    attacked["left_out"] = [EVIL]
    attacked["subjects"][0]["subject"] = EVIL
    source = page(attacked)
    assert EVIL not in source
    assert source.count("&lt;script&gt;") > 8

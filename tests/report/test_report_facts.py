"""Dates and names beside the verdict, who asked and why, the assurance level, and how the result is used."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from expunge.audit.schema import AuditFile
from expunge.report.page_facts import ReportRequest, describe_use, format_date, list_facts
from expunge.report.render import render_page, write_report
from expunge.report.run_reader import RunRecord, read_run
from helpers.audits import audit_data
from helpers.report import Page

RUN = RunRecord(
    "twin",
    "finished",
    12.0,
    "method: twin\n",
    (),
    created="2026-11-29T14:00:00+00:00",
    data="letters.csv",
    model="models/clinic",
    say="stranger",
    is_adapter=True,
)


def audit(**more: Any) -> AuditFile:
    return AuditFile.model_validate(audit_data()).model_copy(update=more)


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        ("2026-11-29T14:05:59+00:00", "2026-11-29 14:05 UTC"),
        ("2026-11-29T15:05:59+01:00", "2026-11-29 14:05 UTC"),
        ("2026-11-29T14:05:59Z", "2026-11-29 14:05 UTC"),
        ("2026-11-29T14:05:59", "2026-11-29 14:05"),
        ("last week", "last week"),
        ("", ""),
    ],
)
def test_a_date_is_shown_in_utc(moment: str, shown: str) -> None:
    assert format_date(moment) == shown


def test_facts_leave_out_what_is_not_known() -> None:
    terms = [fact.term for fact in list_facts(audit(), None, ReportRequest())]
    assert terms == ["Forget set", "Method", "Reference", "Policy", "Preset"]


def test_dates_files_and_the_request_stand_beside_the_verdict() -> None:
    request = ReportRequest("A. Weber", "Erasure <request>", "DS-7")
    made = Page(render_page(audit(created="2026-11-30T08:00:00+00:00", data="records.jsonl"), RUN, request))
    text = made.text("verdict")
    for shown in (
        "Audited 2026-11-30 08:00 UTC",
        "Unlearned 2026-11-29 14:00 UTC",
        "Records records.jsonl",
        "Report by A. Weber",
        "Reason Erasure <request>",
        "Reference number DS-7",
    ):
        assert shown in text


def test_the_name_of_the_records_may_come_from_the_run() -> None:
    assert "Records letters.csv" in Page(render_page(audit(), RUN)).text("verdict")


def test_the_request_stands_on_the_page_and_nowhere_else(tmp_path: Path) -> None:
    source = tmp_path / "audit.json"
    source.write_text(json.dumps(audit_data()))
    before = source.read_bytes()
    page = write_report(source, tmp_path / "report.html", request=ReportRequest(by="A. Weber"))
    assert "A. Weber" in page.read_text("utf-8")
    assert source.read_bytes() == before


def test_the_assurance_level_says_what_it_can_and_cannot_say() -> None:
    level = SimpleNamespace(level="L1", title="against controls", can_say="It can say A.", cannot_say="Not B.")
    text = Page(render_page(audit(assurance=level))).text("verdict")
    assert "Assurance level L1: against controls A passed audit of this level says: It can say A. Not B." in text
    assert "Assurance level" not in Page(render_page(audit(assurance=None))).text()


def test_what_the_original_knew_stands_beside_the_models() -> None:
    data = audit_data() | {"known": {"forget": {"n": 12, "by_text": 0.5, "by_tokens": 0.75}}, "yardstick": "knows 99 %"}
    text = Page(render_page(AuditFile.model_validate(data))).text("scope")
    assert "50 % of 12 records of the forget set, as text; 75 % by tokens" in text
    assert "The retrained model knows 99 %" in text


def test_the_old_weights_are_named_with_the_run_and_without() -> None:
    assert describe_use(RUN).old_weights == (
        "the original model: models/clinic",
        "the run with its adapter, which loads the original model below it",
    )
    assert describe_use(None).old_weights == ("the original model",)
    text = Page(render_page(audit(), RUN)).text("use")
    assert "The adapter on the old model is not erasure" in text
    assert "expunge export RUN --out FOLDER" in text
    assert "models/clinic" in text


@pytest.mark.parametrize("status", ["passed", "failed"])
def test_a_run_that_did_not_pass_is_not_offered_for_use(status: str) -> None:
    data = audit_data({"mia": status})
    text = Page(render_page(AuditFile.model_validate(data), RUN)).text("use")
    assert ("no file of this run may be called forgotten" in text) == (status == "failed")


@pytest.mark.parametrize(
    ("say", "words"),
    [("stranger", "invented things about a real person"), ("refuse", "says that it does not know"), ("", "Look at")],
)
def test_the_page_says_what_the_model_says_instead(say: str, words: str) -> None:
    assert words in describe_use(RunRecord("m", "finished", None, "", (), say=say)).says


@pytest.mark.parametrize(
    ("method", "recipe", "stated", "say"),
    [
        ("twin", "method: twin\n", None, "stranger"),
        ("twin", "method: twin\n", "refuse", "refuse"),
        ("idk", "method: idk\n", None, "refuse"),
        ("npo", "method: npo\n", None, ""),
        ("dual", "method: dual\nsettings: {loss: twin}\n", None, "stranger"),
        ("dual", "method: dual\nsettings: {loss: npo}\n", None, ""),
        ("dual", "", None, ""),
    ],
)
def test_what_a_run_makes_the_model_say(run_dir: Path, method: str, recipe: str, stated: str | None, say: str) -> None:
    about = json.loads((run_dir / "run.json").read_text())
    about |= {"method": method, "say": stated, "created": "2026-11-29T14:00:00+00:00", "model": "m"}
    (run_dir / "run.json").write_text(json.dumps(about))
    (run_dir / "recipe.yaml").write_text(recipe)
    (run_dir / "adapter").mkdir()
    run = read_run(run_dir, audit())
    assert (run.say, run.created, run.model, run.is_adapter) == (say, "2026-11-29T14:00:00+00:00", "m", True)


def test_on_a_narrow_screen_every_number_has_its_label() -> None:
    cells = [a for a in Page(render_page(audit(), RUN)).all("td") if "num" in a.get("class", "").split()]
    labels = [a.get("data-label") for a in cells if "decides" in a["class"].split()]
    assert {"Unlearned − reference", "Unlearned ÷ original"} == set(labels)

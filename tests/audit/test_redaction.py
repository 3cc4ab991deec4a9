"""A copy of an audit without names and answers, from which the verdict can be computed again."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from expunge._io import read_json, write_json
from expunge.audit.redaction import check_redaction, file_digest, redact, write_redacted
from expunge.audit.schema import NOTICE, AuditFile, load_audit, sealed
from expunge.audit.verdict import verdict
from expunge.cli import main
from expunge.errors import InputError
from expunge.report.render import write_report
from helpers.audited import TARGET, Case
from helpers.audits import audit_data

Make = Callable[..., Path]


@pytest.fixture
def full(tmp_path: Path) -> Path:
    return write_json(tmp_path / "audit.json", audit_data())


def test_the_copy_has_all_numbers_and_the_same_verdict(full: Path, tmp_path: Path) -> None:
    audit, copy = load_audit(full), write_redacted(full, tmp_path / "copy.json")
    assert load_audit(tmp_path / "copy.json") == copy
    assert copy.verdict == verdict(copy.results, copy.policy)
    assert copy.verdict.status == audit.verdict.status
    assert [(r.key, r.status, r.estimate, r.ci) for r in copy.results] == [
        (r.key, r.status, r.estimate, r.ci) for r in audit.results
    ]
    assert copy.measures == audit.measures
    assert copy.redaction
    assert copy.redaction.full_digest == file_digest(full)
    assert copy.examples == copy.image_examples == ()
    text = (tmp_path / "copy.json").read_text()
    hidden = {audit.split.scope, *audit.split.targets, *(name.rpartition(":")[2] for name in audit.split.targets)}
    hidden |= {part for e in audit.examples for part in (e.prompt, e.answer, *e.answers.values()) if len(part) > 3}
    assert hidden
    assert not [part for part in hidden if f'"{part}"' in text or f" {part} " in text]


def resealed(values: dict[str, Any]) -> dict[str, Any]:
    """As somebody would write it who knows how the seal is made."""
    return sealed(AuditFile.model_validate(values)).model_dump(mode="json")


def test_a_copy_verifies_against_its_audit_only(full: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.json"
    write_redacted(full, copy)
    check_redaction(copy, full)
    with pytest.raises(InputError, match="is redacted already"):
        write_redacted(copy, tmp_path / "more.json")
    with pytest.raises(InputError, match="is not redacted"):
        check_redaction(full, full)
    other = write_json(tmp_path / "other.json", resealed(audit_data() | {"seconds": 99.0}))
    with pytest.raises(InputError, match="is not a copy of"):
        check_redaction(copy, other)
    values = read_json(copy)
    values["measures"][0]["value"] = 0.123
    write_json(copy, values)
    with pytest.raises(InputError, match="its content is not what its seal names"):
        check_redaction(copy, full)
    write_json(copy, resealed(values))
    with pytest.raises(InputError, match="says something else than the full audit"):
        check_redaction(copy, full)


def test_a_changed_verdict_of_a_copy_is_refused(full: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.json"
    write_redacted(full, copy)
    values = read_json(copy)
    values["verdict"]["status"] = "failed" if values["verdict"]["status"] == "passed" else "passed"
    write_json(copy, resealed(values))
    with pytest.raises(InputError, match="its required results make it"):
        load_audit(copy)


def test_an_error_of_a_check_is_cut_before_it_may_quote_a_prompt() -> None:
    data: dict[str, Any] = audit_data()
    data["results"][0] |= {
        "status": "not_run",
        "estimate": None,
        "reason": "the check failed: KeyError: 'Phone of Anna Keller?'",
    }

    audit = AuditFile.model_validate(data)
    assert "Anna" not in redact(audit, "0" * 64).model_dump_json()


def test_the_command_writes_page_and_copy_without_names(full: Path, tmp_path: Path) -> None:
    page = tmp_path / "public.html"
    assert main(["report", str(full), "--out", str(page), "--redact"]) == 0
    text = page.read_text("utf-8")
    target = load_audit(full).split.targets[0]
    assert target not in text
    assert "Names and answers are left out" in text
    assert file_digest(full) in text
    check_redaction(page.with_suffix(".json"), full)
    with pytest.raises(InputError, match="in the place of the audit"):
        write_report(full, tmp_path / "audit.html", redacted=True)
    assert main(["report", str(page.with_suffix(".json")), "--out", str(tmp_path / "again.html")]) == 0


def test_the_full_page_and_audit_carry_a_notice_and_are_private(full: Path, tmp_path: Path) -> None:
    page = write_report(full, tmp_path / "report.html")
    assert "This file holds personal data" in page.read_text("utf-8")
    assert stat.S_IMODE(page.stat().st_mode) == 0o600


@pytest.mark.trains
def test_a_real_audit_holds_no_name_after_redaction(case: Case, tmp_path: Path) -> None:
    audit = case.run("original")
    assert audit.file.notice == NOTICE
    assert stat.S_IMODE(audit.path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(f.stat().st_mode) for f in (case.root / "audit" / "scores").iterdir()} == {0o600}
    assert str(case.root) not in audit.path.read_text()
    assert any("tokenizer" in line for line in audit.file.not_tested)
    inventory = audit["token_inventory"]
    assert inventory.status in ("passed", "failed")
    write_redacted(audit.path, tmp_path / "copy.json")
    text = (tmp_path / "copy.json").read_text()
    names = {i for r in case.split.forget for i in r.identifiers} | {TARGET, TARGET.partition(":")[2]}
    answers = {r.answer for r in case.split.forget if len(r.answer) > 4}
    assert not [part for part in names | answers if json.dumps(part)[1:-1] in text]

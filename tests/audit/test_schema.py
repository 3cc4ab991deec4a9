"""The schema of audit.json: what is read, what is refused, and what every field says about itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from expunge.audit.details import ImageExample, MembershipDetails, ReconstructionDetails
from expunge.audit.schema import SCHEMA_VERSION, AuditFile, find_audit, load_audit
from expunge.errors import InputError
from helpers.audits import audit_data, seal_of


def written(folder: Path, change: Callable[[dict[str, Any]], object] = lambda data: None, **build: Any) -> Path:
    data = audit_data(**build)
    change(data)
    data["seal"] = seal_of(data)
    path = folder / "audit.json"
    path.write_text(json.dumps(data))
    return path


def test_a_file_is_read_and_written_without_a_change(tmp_path: Path) -> None:
    file = load_audit(written(tmp_path))
    assert file.schema_version == SCHEMA_VERSION
    again = tmp_path / "again.json"
    again.write_text(file.model_dump_json())
    assert load_audit(again) == file
    assert file.roles == ("original", "unlearned", "retrained")
    assert file.result("mia") is not None
    assert file.result("gone") is None
    measure = file.measure("mcq_acc", "forget", "unlearned")
    assert measure is not None
    assert measure.value == 0.375
    assert file.measure("mcq_acc", "forget", "nobody") is None
    assert "cross_modal" not in file.required  # it does not apply to this scope


def test_the_verdict_is_told_in_our_own_words(tmp_path: Path) -> None:
    """The seal is no signature: whoever changes the sentence can seal it anew."""

    def calm(data: dict[str, Any]) -> None:
        data["verdict"]["sentence"] = data["verdict"]["sentence"].partition(":")[0] + ": every trace is gone."

    plain = load_audit(written(tmp_path))
    assert load_audit(written(tmp_path, calm)).verdict == plain.verdict
    failing = {"mia": "failed", "over_unlearning": "failed"}
    for part in ("reasons", "notes"):
        with pytest.raises(InputError, match="does not follow from the results"):
            load_audit(written(tmp_path, lambda d, part=part: d["verdict"].update({part: []}), statuses=failing))


def test_a_folder_leads_to_its_audit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no audit\.json"):
        find_audit(tmp_path)
    (tmp_path / "audit").mkdir()
    path = written(tmp_path / "audit")
    assert find_audit(tmp_path) == path
    assert find_audit(path) == path
    assert find_audit(path.parent) == path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("schema_version"), "has no `schema_version`"),
        (lambda d: d.update(schema_version=1), "has schema version 1, and this version of expunge reads 3"),
        (lambda d: d.update(format="expunge-audit/1") or d.pop("schema_version"), "has schema version expunge-audit/1"),
        (lambda d: d.pop("reference"), 'the key "reference" is missing'),
        (lambda d: d.update(extra=1), 'unknown key "extra"'),
        (lambda d: d["split"].update(forget="many"), r"split\.forget: must be a whole number"),
        (lambda d: d["results"].append(d["results"][0]), "a result occurs twice"),
        (lambda d: d["models"].pop("unlearned"), "the unlearned model is missing"),
        (lambda d: d.update(policy_digest="0" * 64), "the policy is not the one that its digest names"),
        (lambda d: d["policy"].update(known_margin=0.5), "the policy is not the one that its digest names"),
        (lambda d: d["verdict"].update(status="failed"), "its required results make it passed"),
        (lambda d: d["verdict"].update(sentence="Fine."), "the verdict does not follow from the results"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_audit(written(tmp_path, change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["seal", "verdict"])
def test_an_audit_without_its_seal_is_refused(tmp_path: Path, key: str) -> None:
    """Results and verdict that were edited together contradict nothing but the seal."""
    data = audit_data({"mia": "failed"})
    assert data["verdict"]["status"] == "failed"
    data |= {name: audit_data()[name] for name in ("results", "verdict")}
    data["seal"] = "" if key == "seal" else data["seal"]
    (tmp_path / "audit.json").write_text(json.dumps(data))
    what = "it has no seal" if key == "seal" else "its content is not what its seal names"
    with pytest.raises(InputError, match=f"audit.json: {what}; the file was changed after the audit; audit again"):
        load_audit(tmp_path / "audit.json")


def test_what_is_no_audit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "audit.json").write_text("[1]")
    with pytest.raises(InputError, match="is no audit"):
        load_audit(tmp_path / "audit.json")


def test_details_check_their_own_parts() -> None:
    panel = {"z": {"loss": 1.0}, "controls": {"loss": [0.0, 1.0]}, "m": 3}
    with pytest.raises(ValueError, match="every score needs the values of all 3 controls"):
        MembershipDetails.model_validate({"control_ranks": {"original": {"s": panel}}})
    score = {"level": 1, "vector": "true", "model": "original", "scores": {}}
    with pytest.raises(ValueError, match="every row needs one of the levels"):
        ReconstructionDetails.model_validate(
            {"levels": ["nothing"], "chance": 0.1, "status": "passed", "rows": [score]}
        )
    example = {"group": "forget", "prompt": "p", "answer": "a", "answers": {}}
    for data, message in (("no base64!", "must be base64"), ("aGVsbG8=", "must be image/png")):
        with pytest.raises(ValueError, match=message):
            ImageExample.model_validate(example | {"image": {"type": "image/png", "data": data}})


def models(kind: Any, seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """Every model that a field type mentions."""
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in seen:
        seen.add(kind)
        yield kind
        for field in kind.model_fields.values():
            yield from models(field.annotation, seen)
    for part in getattr(kind, "__args__", ()):
        yield from models(part, seen)


def test_every_field_is_described_for_the_reference_page() -> None:
    found = list(models(AuditFile, set()))
    assert len(found) > 25
    missing = [f"{m.__name__}.{name}" for m in found for name, f in m.model_fields.items() if not f.description]
    assert missing == []


def test_the_schema_needs_no_model_library() -> None:
    code = "import sys, expunge.audit.schema; print([m for m in ('torch', 'transformers', 'peft') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

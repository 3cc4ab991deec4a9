"""Making certificates: what must belong together, what is refused, and what is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from expunge._io import write_json
from expunge.audit.redaction import write_redacted
from expunge.errors import InputError
from expunge.evidence.assurance_level import highest_level
from expunge.evidence.certificate import AuditNotPassed, CertificateFacts, make_certificate, plan_digest, plan_of_run
from expunge.evidence.certificate_schema import CertificatePredicate, PrivacyBlock
from expunge.evidence.envelope import SignedEnvelope
from expunge.evidence.limits import ADAPTER, SINGLE_PERSON
from expunge.evidence.run_evidence import read_privacy
from expunge.evidence.statement import read_statement
from expunge.evidence.verification import read_predicate_of
from helpers.evidence import CERTIFIED, REQUEST, SECRETS, EvidenceCase, write_case, write_model_folder


def predicate_of(envelope: SignedEnvelope) -> CertificatePredicate:
    return read_predicate_of(read_statement(envelope, "cert"), "cert")


def test_what_a_certificate_says(case: EvidenceCase) -> None:
    said = predicate_of(case.make(attempts=2))
    assert (said.request.id, said.level.level, said.audit.verdict.status) == (REQUEST, "L1", "passed")
    assert (said.method.name, said.method.seed, said.method.steps) == ("npo", "42", 4)
    assert said.artifacts.form == "model"
    assert said.artifacts.dtype == "float32"
    assert said.audit.attempts == 2
    assert said.audit.comparison == "retrained"
    assert {row.attack_class: row.status for row in said.coverage} == {
        "attribute and membership inference": "executed",
        "exfiltration": "out_of_scope",
        "regurgitation": "executed",
        "model inversion": "executed",
        "reconstruction": "executed",
    }
    assert {d.key for d in said.neighbors} == {"retention.same_institution"}
    assert "retention.elsewhere" in {d.key for d in said.utility}
    assert (said.validity.made, said.validity.expires) == ("2026-03-01T12:00:00Z", "2027-03-01T12:00:00Z")
    assert said.plan == plan_of_run(case.run, said.audit.policy_digest, REQUEST)
    assert len(plan_digest(said.plan)) == 64


def test_nothing_personal_is_in_it(case: EvidenceCase) -> None:
    payload = case.make().payload.decode()
    assert "ragweed" in case.audit.read_text()
    assert not [word for word in SECRETS if word in payload]


def test_an_audit_that_did_not_pass(tmp_path: Path) -> None:
    failed = write_case(tmp_path, {"mia": "failed"})
    with pytest.raises(AuditNotPassed, match="did not pass") as error:
        failed.make()
    assert error.value.exit_code == 3
    said = predicate_of(failed.make(level="L0", method={"name": "suppress"}))
    assert (said.level.level, said.method.name, said.audit.verdict.status) == ("L0", "suppress", "failed")
    with pytest.raises(InputError, match="L1 is above the evidence, which carries L0"):
        failed.make(level="L1")


def test_levels() -> None:
    noise = PrivacyBlock(
        epsilon=3.0, delta=1e-5, unit="subject", relation="add one", sampler="p", guarantee=True, history="this_run"
    )
    whole = noise.model_copy(update={"history": "all_training"})
    assert highest_level("passed", "retrained", None) == "L1"
    assert highest_level("passed", "retrained", noise) == "L1"  # noise of a run does not bound what came before it
    assert highest_level("passed", "retrained", whole) == "L2"
    assert highest_level("passed", "retrained", whole.model_copy(update={"unit": "record"})) == "L1"
    assert highest_level("passed", "retrained", whole.model_copy(update={"guarantee": False})) == "L1"
    assert highest_level("passed", "exact", None) == "L3"
    assert highest_level("passed", "exact", None, suppression=True) == "L0"
    assert highest_level("inconclusive", "exact", whole) == "L0"


def test_single_person_mode_is_said(case: EvidenceCase) -> None:
    said = predicate_of(case.make(single_person=True))
    assert said.single_person
    assert SINGLE_PERSON in said.limits


def test_a_run_that_was_changed(own_case: EvidenceCase) -> None:
    weights = own_case.model / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    with pytest.raises(InputError, match="is not what the run wrote"):
        own_case.make()


def test_what_does_not_belong_together(own_case: EvidenceCase, tmp_path: Path) -> None:
    other = write_case(tmp_path / "other", seed=7)
    with pytest.raises(InputError, match="is not the model that was audited"):
        make_certificate(own_case.run, other.audit)
    with pytest.raises(InputError, match="neither what the run wrote nor the model that was audited"):
        make_certificate(own_case.run, own_case.audit, model=other.model)
    with pytest.raises(InputError, match="holds no run"):
        make_certificate(tmp_path, own_case.audit)
    with pytest.raises(InputError, match="holds no audit"):
        make_certificate(own_case.run, tmp_path)
    copy = tmp_path / "public.json"
    write_redacted(own_case.audit, copy)
    with pytest.raises(InputError, match="is a redacted copy"):
        make_certificate(own_case.run, copy)
    raw = json.loads(own_case.audit.read_text())
    own_case.audit.write_text(json.dumps(raw | {"seconds": 9.0}))
    with pytest.raises(InputError, match="not what its seal names"):
        own_case.make()


def test_a_copy_of_what_the_run_wrote_is_the_same(case: EvidenceCase, tmp_path: Path) -> None:
    copy = write_model_folder(tmp_path / "deployed", 101)
    made = make_certificate(case.run, case.audit, CertificateFacts({"id": REQUEST}), model=copy, at=CERTIFIED)
    assert made.payload == case.make().payload


def test_an_export_that_was_audited(own_case: EvidenceCase, tmp_path: Path) -> None:
    from expunge.models.fingerprint import model_digest

    export = write_model_folder(tmp_path / "export", 500)
    raw = json.loads(own_case.audit.read_text())
    run_digest = raw["models"]["unlearned"]["digest"]
    write_json(export / "expunge.json", {"as": "merged", "dtype": "float32", "run": {"digest": "0" * 64}})
    raw["models"]["unlearned"]["digest"] = model_digest(str(export))
    _seal(own_case.audit, raw)
    with pytest.raises(InputError, match="is no export of the run"):
        make_certificate(own_case.run, own_case.audit, model=export)
    write_json(export / "expunge.json", {"as": "merged", "dtype": "float32", "run": {"digest": run_digest}})
    said = predicate_of(make_certificate(own_case.run, own_case.audit, model=export))
    assert said.artifacts.after == model_digest(str(export))


def _seal(file: Path, raw: dict[str, Any]) -> None:
    from helpers.audits import seal_of

    file.write_text(json.dumps({**raw, "seal": seal_of(raw)}))


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        ({"request": {"id": "Freya Bergström"}}, "request.id"),
        ({"request": {"id": "R-1", "received": "yesterday"}}, "received"),
        ({"prior": "abc"}, "prior"),
        ({"method": {"lock_file": "x"}}, "lock_file"),
    ],
)
def test_wrong_facts_are_one_line(case: EvidenceCase, facts: dict[str, Any], what: str) -> None:
    with pytest.raises(InputError, match=what):
        case.make(**facts)


def test_a_model_that_was_trained_again(own_case: EvidenceCase, tmp_path: Path) -> None:
    from expunge.models.fingerprint import model_digest

    folder = write_model_folder(tmp_path / "retrained", 9)
    write_json(folder / "train.json", {"about": {"settings": {"seed": 7}}, "progress": {}, "threads": 1})
    raw = json.loads(own_case.audit.read_text())
    raw["models"]["unlearned"]["digest"] = model_digest(str(folder))
    raw["assurance"]["level"] = "L3"
    _seal(own_case.audit, raw)
    said = predicate_of(make_certificate(folder, own_case.audit, CertificateFacts(stage="fine-tuning of March")))
    assert (said.level.level, said.level.stage, said.method.name) == ("L3", "fine-tuning of March", "retrain")
    assert (said.plan, said.method.seed) == (None, "7")
    (folder / "train.json").write_text("{}")
    with pytest.raises(InputError, match="training is not finished"):
        make_certificate(folder, own_case.audit)


def test_privacy_of_a_run(tmp_path: Path) -> None:
    statement = {
        "unit": "subject",
        "relation": "one unit added or removed",
        "delta": 1e-5,
        "epsilon": {"pld": 2.5, "prv": 2.5, "rdp": 2.7, "agree": True},
        "withheld": "",
        "guarantee": True,
        "accountants": {"pld": "dp-accounting 0.6.0"},
    }
    block = read_privacy(write_json(tmp_path / "privacy.json", statement))
    assert (block.epsilon, block.history, block.guarantee) == (2.5, "this_run", True)
    withheld = statement | {"epsilon": None, "withheld": "self-test failed", "guarantee": False}
    assert read_privacy(write_json(tmp_path / "privacy.json", withheld)).epsilon is None
    with pytest.raises(InputError, match="no privacy statement"):
        read_privacy(write_json(tmp_path / "privacy.json", {"epsilon": 3}))


def test_an_adapter_says_what_its_base_knows(case: EvidenceCase) -> None:
    assert ADAPTER not in predicate_of(case.make()).limits

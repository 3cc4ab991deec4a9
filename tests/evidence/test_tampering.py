"""Every tamper case of a certificate, and the check that finds it."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from expunge.errors import InputError
from expunge.evidence.canonical_json import canonical_bytes
from expunge.evidence.envelope import EnvelopeSignature, SignedEnvelope
from expunge.evidence.manifest import manifest_root
from expunge.evidence.signing_key import SigningKey
from expunge.evidence.trust import Trust
from expunge.evidence.verification import VerificationInputs, verify_bytes
from expunge.evidence.verification_report import VerificationReport
from helpers.evidence import AUDITOR, LATER, OPERATOR, STRANGER, EvidenceCase, changed, trust_of, write_model_folder

Change = Callable[[dict[str, Any]], None]


def report_of(envelope: SignedEnvelope, trust: Trust | None = None, **inputs: Any) -> VerificationReport:
    found = verify_bytes(envelope.as_bytes(), "cert", trust or trust_of(), VerificationInputs(at=LATER, **inputs))
    return found.report


def problems(report: VerificationReport, check: str = "") -> list[str]:
    """The texts of what is not valid, of one check if it is named."""
    return [line.text for line in report.lines if line.outcome == "invalid" and check in ("", line.check)]


def found(envelope: SignedEnvelope, check: str, what: str, **inputs: Any) -> None:
    """Assert that `check` says `what`, and that the certificate is then not valid."""
    report = report_of(envelope, **inputs)
    assert any(what in text for text in problems(report, check)), list(map(str, report.lines))
    assert report.exit_code == 3


def test_the_certificate_is_valid_before_it_is_changed(case: EvidenceCase) -> None:
    report = report_of(case.make(), model=case.model, audit=case.audit)
    assert problems(report) == []
    assert report.exit_code == 0
    assert case.make().as_bytes() == case.make().as_bytes()


# ---- signatures -----------------------------------------------------------------------------------------------------


def test_a_changed_payload(case: EvidenceCase) -> None:
    made = case.make()
    payload = made.payload.replace(b'"seed":"42"', b'"seed":"43"')
    assert payload != made.payload
    found(SignedEnvelope(payload, made.payload_type, made.signatures), "signatures", "not one of the key")


def test_a_payload_that_was_written_again(case: EvidenceCase) -> None:
    made = case.make()
    spaced = SignedEnvelope(json.dumps(json.loads(made.payload)).encode(), made.payload_type, made.signatures)
    found(spaced, "signatures", "not one of the key")
    found(spaced, "statement", "not in canonical form")
    signed = SignedEnvelope(spaced.payload, made.payload_type).signed_by(OPERATOR, AUDITOR)
    found(signed, "statement", "not in canonical form")


def test_another_payload_type(case: EvidenceCase) -> None:
    made = case.make()
    found(SignedEnvelope(made.payload, "text/plain", made.signatures), "statement", "is of type")
    assert problems(report_of(SignedEnvelope(made.payload, "text/plain", made.signatures)), "signatures")


def test_signatures_removed_repeated_or_under_other_ids(case: EvidenceCase) -> None:
    made = case.make()
    one, two = made.signatures

    def with_signatures(*signatures: EnvelopeSignature) -> SignedEnvelope:
        return SignedEnvelope(made.payload, made.payload_type, signatures)

    found(with_signatures(), "signatures", "0 of 2 keys signed")
    found(with_signatures(one), "signatures", "no valid signature in the role auditor")
    found(with_signatures(two), "signatures", "no valid signature in the role operator")
    found(with_signatures(one, two, two), "signatures", "repeats the key")
    swapped = EnvelopeSignature(one.keyid, two.signature), EnvelopeSignature(two.keyid, one.signature)
    found(with_signatures(*swapped), "signatures", "0 of 2 keys signed")
    twice = EnvelopeSignature(AUDITOR.public.keyid, one.signature)  # one key under two ids
    found(with_signatures(one, twice), "signatures", "1 of 2 keys signed")
    found(with_signatures(one, EnvelopeSignature("other id", one.signature)), "signatures", "not in the trust file")


def test_one_key_in_two_roles_is_refused_by_the_trust_file() -> None:
    key = OPERATOR.public
    with pytest.raises(ValueError, match="stands twice"):
        Trust.model_validate(
            {"keys": [{"role": r, "key": t} for r, t in (("operator", key.text), ("auditor", key.pem))]}
        )


def test_one_person_cannot_sign_for_both_roles(case: EvidenceCase) -> None:
    found(case.make(OPERATOR), "signatures", "1 of 2 keys signed")
    second = SigningKey.generate()
    keys = [{"role": "operator", "key": k.public.text} for k in (OPERATOR, second)]
    keys.append({"role": "auditor", "key": AUDITOR.public.text})
    trust = Trust.model_validate({"keys": keys})
    found(case.make(OPERATOR, second), "signatures", "no valid signature in the role auditor", trust=trust)


def test_unknown_expired_and_revoked_keys(case: EvidenceCase) -> None:
    found(case.make(OPERATOR, AUDITOR, STRANGER), "signatures", "not in the trust file")
    found(case.make(OPERATOR, STRANGER), "signatures", "no valid signature in the role auditor")
    for fields, what in (
        ({"valid_until": "2026-02-28"}, "was valid until 2026-02-28"),
        ({"valid_from": "2026-03-02"}, "is valid from 2026-03-02"),
        ({"revoked": "2026-03-20"}, "was revoked on 2026-03-20"),
    ):
        raw = trust_of().model_dump(mode="json")
        raw["keys"][1] |= fields
        found(case.make(), "signatures", what, trust=Trust.model_validate(raw))
    raw = trust_of().model_dump(mode="json")
    raw["keys"][1] |= {"valid_until": "2026-03-01"}  # the last second of the day counts
    assert problems(report_of(case.make(), Trust.model_validate(raw))) == []


# ---- schema ---------------------------------------------------------------------------------------------------------


def nested(*keys: str, value: Any) -> Change:
    """A change of one value."""

    def change(statement: dict[str, Any]) -> None:
        inner = statement
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "check", "what"),
    [
        (nested("_type", value="https://in-toto.io/Statement/v0.1"), "statement", "Statement/v1"),
        (nested("predicateType", value="https://example.com/other/v1"), "schema", "its predicate is"),
        (nested("extra", value=1), "statement", 'unknown key "extra"'),
        (nested("predicate", "extra", value=1), "schema", 'unknown key "extra"'),
        (nested("predicate", "audit", "extra", value=1), "schema", "unknown key"),
        (nested("predicate", "notice", value="Certified by law."), "schema", "notice"),
        (nested("predicate", "schema_version", value=2), "schema", "schema_version"),
        (nested("predicate", "data", "forget", value="12"), "schema", "another type"),
        (nested("predicate", "validity", "made", value="2026-13-01T00:00:00Z"), "schema", "made"),
        (nested("predicate", "request", "id", value="Freya B"), "schema", "request.id"),
        (lambda s: s["predicate"].pop("prior"), "schema", "leaves out keys"),
        (lambda s: s["subject"].append(s["subject"][0]), "statement", "names a subject twice"),
    ],
)
def test_what_two_signers_cannot_say(case: EvidenceCase, change: Change, check: str, what: str) -> None:
    found(changed(case.make(), change), check, what)


def test_a_key_that_stands_twice(case: EvidenceCase) -> None:
    made = case.make()
    payload = made.payload.replace(b'"prior":""', b'"prior":"","prior":""')
    twice = SignedEnvelope(payload, made.payload_type).signed_by(OPERATOR, AUDITOR)
    found(twice, "statement", 'the key "prior" stands twice')
    raw = made.as_bytes().replace(b'{"payload":', b'{"payload":"e30=","payload":')
    with pytest.raises(InputError, match='the key "payload" stands twice'):
        verify_bytes(raw, "cert", trust_of())


def test_the_file_in_another_form(case: EvidenceCase) -> None:
    made = case.make()
    spaced = json.dumps(made.as_dict(), indent=1).encode()
    report = verify_bytes(spaced, "cert", trust_of(), VerificationInputs(at=LATER)).report
    assert [line.check for line in report.lines if line.outcome == "invalid"] == ["form"]


# ---- model ----------------------------------------------------------------------------------------------------------


def _flip(folder: Path) -> None:
    file = folder / "model.safetensors"
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_flip, "model.safetensors was changed"),
        (lambda f: (f / "chat_template.jinja").write_text("x"), "chat_template.jinja was added"),
        (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json was removed"),
        (lambda f: (f / "tokenizer.json").rename(f / "old.json"), "tokenizer.json was renamed to old.json"),
        (lambda f: (f / "x").symlink_to(f), "is a link to a folder"),
    ],
)
def test_a_model_that_is_not_the_certified_one(
    case: EvidenceCase, tmp_path: Path, change: Callable[[Path], object], what: str
) -> None:
    folder = Path(shutil.copytree(case.model, tmp_path / "model"))
    change(folder)
    found(case.make(), "model", what, model=folder)


def test_quantized_weights(case: EvidenceCase, tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "q", 101, dtype="bfloat16")
    found(case.make(), "precision", "the precision is bfloat16, and float32 stands in the certificate", model=folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "awq"}}))
    found(case.make(), "precision", "the quantization of the weights is awq", model=folder)
    with pytest.raises(InputError, match="no such model folder"):
        report_of(case.make(), model=tmp_path / "missing")


# ---- what the signers say -------------------------------------------------------------------------------------------


def result_of(statement: dict[str, Any], key: str) -> dict[str, Any]:
    return next(r for r in statement["predicate"]["audit"]["results"] if r["key"] == key)


def on_result(key: str, **values: Any) -> Change:
    """A change of one result."""
    return lambda statement: result_of(statement, key).update(values)


def by_chance(value: float, limit: float | None, margin: float = 0.05) -> Change:
    """A pass of `leakage.self` above the margin, since others go as far as this limit."""
    numbers = {"by chance: value": value, "by chance: limit": limit}
    controls = [{"key": key, "estimate": number, "ci": None, "note": ""} for key, number in numbers.items()]
    return on_result(
        "leakage.self", estimate=value, ci=None, rule={"id": "single_case", "margin": margin}, controls=controls
    )


def without_result(key: str) -> Change:
    def change(statement: dict[str, Any]) -> None:
        audit = statement["predicate"]["audit"]
        audit["results"] = [r for r in audit["results"] if r["key"] != key]

    return change


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (without_result("mia"), "the verdict is passed, and its results and policy give inconclusive"),
        (on_result("mia", status="not_run", reason="stopped"), "and its results and policy give inconclusive"),
        (on_result("paraphrase", status="failed", reason="worse"), "and its results and policy give failed"),
        (on_result("mia", estimate=None, n_records=0), "mia: passed, and nothing was measured"),
        (on_result("leakage.self", estimate=0.5, ci=[0.4, 0.6]), "leakage.self: passed, and its numbers give failed"),
        (on_result("leakage.self", estimate=0.0, ci=[-0.1, 0.3]), "its numbers give inconclusive"),
        (on_result("retention.elsewhere", estimate=0.5), "retention.elsewhere: passed, and its numbers give failed"),
        (on_result("leakage.self", rule={"id": "excess", "margin": 0.5}), "judged by the margin 0.5"),
        (by_chance(0.3, 0.2), "leakage.self: passed, and its numbers give failed"),
        (by_chance(0.3, None), "leakage.self: passed, and its numbers give failed"),
        (by_chance(0.6, 0.9), "leakage.self: passed, and its numbers give failed"),
        (by_chance(0.3, 0.4, margin=0.1), "judged by the margin 0.1"),
        (on_result("leakage.self", ci=[-0.1, -0.05]), "does not contain the estimate -0.125"),
        (on_result("leakage.self", ci=[-0.1, -0.2]), "its interval ends before it begins"),
        (
            nested("predicate", "audit", "policy", "rules", "mia", "required", value=False),
            "is not the one that its digest",
        ),
        (nested("predicate", "audit", "policy_digest", value="0" * 64), "is not the one that its digest names"),
        (nested("predicate", "coverage", value=[]), "table of attack classes"),
        (nested("predicate", "utility", value=[]), "utility and neighbors"),
        (nested("predicate", "audit", "threat_models", value={}), "threat models"),
        (nested("predicate", "artifacts", "manifest_root", value="0" * 64), "the manifest root"),
        (nested("predicate", "artifacts", "before", value="0" * 64), "the model is not that of the plan"),
        (nested("predicate", "request", "id", value="R-other"), "the request is not that of the plan"),
        (nested("predicate", "method", "recipe", value="0" * 64), "the recipe is not that of the plan"),
        (nested("predicate", "data", "training", value="0" * 64), "the training is not that of the plan"),
        (nested("predicate", "validity", "expires", value="2026-02-01T00:00:00Z"), "expires before it was made"),
        (nested("predicate", "single_person", value=True), "single_person and the limits"),
        (nested("predicate", "audit", "retrained", value=""), "compares with a retrained model and names none"),
        (
            nested("predicate", "data", "commitments", value={"forget": {"root": "0" * 64, "count": 3}}),
            "the commitment to forget counts 3 records",
        ),
    ],
)
def test_parts_that_do_not_follow_from_each_other(case: EvidenceCase, change: Change, what: str) -> None:
    found(changed(case.make(), change), "content", what)


def test_a_pass_inside_of_what_chance_explains_contradicts_nothing(case: EvidenceCase) -> None:
    report = report_of(changed(case.make(), by_chance(0.3, 0.4)))
    assert "content" not in problems(report)


@pytest.mark.parametrize("level", ["L2", "L3"])
def test_a_level_above_the_evidence(case: EvidenceCase, level: str) -> None:
    found(changed(case.make(), nested("predicate", "level", "level", value=level)), "level", f"claims {level}")


def test_a_policy_that_the_verifier_does_not_accept(case: EvidenceCase) -> None:
    found(case.make(), "policy", "is not accepted", trust=trust_of(policies=["strict"]))
    assert problems(report_of(case.make(), trust_of(policies=["with-retrained"]))) == []
    digest = json.loads(case.make().payload)["predicate"]["audit"]["policy_digest"]
    assert problems(report_of(case.make(), trust_of(policies=[digest]))) == []
    with pytest.raises(ValueError, match="neither a shipped policy"):
        trust_of(policies=["stricter"])


def test_an_excuse_in_the_policy_is_not_accepted(case: EvidenceCase) -> None:
    """Signers that agree on a policy of their own, with all digests made anew."""
    from expunge.audit.policy import Policy
    from expunge.audit.schema import CheckResult
    from expunge.audit.verdict import verdict

    def change(statement: dict[str, Any]) -> None:
        predicate = statement["predicate"]
        audit = predicate["audit"]
        audit["policy"]["rules"]["leakage.self"]["margin"] = 0.9
        result_of(statement, "leakage.self")["rule"]["margin"] = 0.9
        policy = Policy.model_validate(audit["policy"])
        results = [CheckResult.model_validate(r) for r in audit["results"]]
        audit["policy_digest"] = predicate["plan"]["policy"] = policy.digest
        audit["verdict"] = verdict(results, policy).model_dump(mode="json")

    lie = changed(case.make(), change)
    assert [line.check for line in report_of(lie).lines if line.outcome == "invalid"] == ["policy"]


def test_single_person_mode_is_accepted_by_name_only(case: EvidenceCase) -> None:
    made = case.make(single_person=True)
    found(made, "people", "single-person mode")
    assert problems(report_of(made, trust_of(single_person="accept"))) == []


def test_time(case: EvidenceCase) -> None:
    for at, what in (
        (datetime(2027, 3, 2, tzinfo=UTC), "expired on"),
        (datetime(2026, 2, 1, tzinfo=UTC), "in the future"),
    ):
        found_at = verify_bytes(case.make().as_bytes(), "cert", trust_of(), VerificationInputs(at=at)).report
        assert any(what in text for text in problems(found_at, "time"))


def test_the_certificate_of_another_request(case: EvidenceCase) -> None:
    found(case.make(), "request", "is about the request R-2026-0017, not R-2026-0018", request="R-2026-0018")
    assert problems(report_of(case.make(), request="R-2026-0017")) == []


def test_another_audit(case: EvidenceCase, own_case: EvidenceCase) -> None:
    raw = json.loads(own_case.audit.read_text())
    raw["seconds"] = 8.0
    own_case.audit.write_text(json.dumps(raw))
    found(case.make(), "audit", "is not the audit of the certificate", audit=own_case.audit)

    def better(statement: dict[str, Any]) -> None:
        result_of(statement, "retention.text")["estimate"] = 1.01
        for delta in statement["predicate"]["utility"]:
            delta["retention"] = 1.01 if delta["key"] == "retention.text" else delta["retention"]

    found(changed(case.make(), better), "audit", "are not those of the audit", audit=case.audit)


def test_another_subject_with_its_own_root(case: EvidenceCase) -> None:
    """Signers that name other files are found by the model in use."""

    def change(statement: dict[str, Any]) -> None:
        statement["subject"][1]["digest"]["sha256"] = "0" * 64
        files = {s["name"]: s["digest"]["sha256"] for s in statement["subject"]}
        statement["predicate"]["artifacts"]["manifest_root"] = manifest_root(files)

    lie = changed(case.make(), change)
    assert problems(report_of(lie)) == []
    found(lie, "model", "was changed", model=case.model)


# ---- predecessor ----------------------------------------------------------------------------------------------------


def prior_reports(case: EvidenceCase, prior: SignedEnvelope, folder: Path, named: str) -> Sequence[str]:
    file = folder / "prior.json"
    file.write_bytes(prior.as_bytes())
    return problems(report_of(case.make(prior=named), prior=file), "prior")


def test_the_certificate_before(case: EvidenceCase, tmp_path: Path) -> None:
    before = json.loads(case.make().payload)["predicate"]["artifacts"]["before"]
    good = changed(case.make(), nested("predicate", "artifacts", "after", value=before))
    assert prior_reports(case, good, tmp_path, good.digest) == []
    assert any("not the certificate that it names" in t for t in prior_reports(case, good, tmp_path, "0" * 64))
    assert any("started from is not the one" in t for t in prior_reports(case, case.make(), tmp_path, ""))
    unsigned = SignedEnvelope(good.payload, good.payload_type)
    assert any("0 of 2 keys signed" in t for t in prior_reports(case, unsigned, tmp_path, good.digest))


# ---- bytes ----------------------------------------------------------------------------------------------------------


def test_base64_of_the_signature_has_one_form(case: EvidenceCase) -> None:
    value = case.make().as_dict()
    text = value["signatures"][0]["sig"]  # 64 bytes end in two padding characters and four free bits
    other = text[:-3] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[text[-3]] + "=="
    assert base64.b64decode(other) == base64.b64decode(text)
    value["signatures"][0]["sig"] = other
    with pytest.raises(InputError, match="one form"):
        verify_bytes(canonical_bytes(value), "cert", trust_of())

"""A trust file that names a policy means every version that was shipped of it."""

from __future__ import annotations

import pytest

from expunge._yaml import load_yaml
from expunge.audit.policy import Policy, shipped_policies
from expunge.evidence import policy_history, trust
from helpers.evidence import EvidenceCase, trust_of


def test_every_shipped_policy_is_a_line_of_the_history() -> None:
    """A version that changes needs a new line in evidence/templates/policies.yaml, and keeps the earlier ones."""
    listed = load_yaml(policy_history.FILE.read_text("utf-8"), "policies.yaml")
    for name in shipped_policies():
        policy = Policy.load(name)
        assert listed[name][policy.version] == policy.digest


def test_an_earlier_version_stays_accepted(case: EvidenceCase, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a bump: the present `with-retrained` has another digest than the one of the certificate."""
    from expunge.evidence.verification import VerificationInputs, verify_file
    from helpers.evidence import LATER

    old = Policy.load("with-retrained").digest
    monkeypatch.setattr(trust, "policy_history", lambda: {"with-retrained": frozenset({old, "0" * 64})})
    for policies in ((), ("with-retrained",)):
        made = trust_of(policies=policies)
        assert made.policy_digests == {old, "0" * 64}
        assert verify_file(case.certificate, made, VerificationInputs(at=LATER)).report.is_valid
    monkeypatch.setattr(trust, "policy_history", lambda: {"with-retrained": frozenset({"0" * 64})})
    assert not verify_file(case.certificate, trust_of(), VerificationInputs(at=LATER)).report.is_valid

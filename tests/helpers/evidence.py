"""A finished run, its audit, keys, a trust file and a certificate, made without training anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from expunge._io import digest, write_json
from expunge.audit.check_result import CheckResult, JudgedRule
from expunge.audit.policy import Policy
from expunge.audit.schema import AuditFile, sealed
from expunge.audit.verdict import verdict
from expunge.evidence.canonical_json import canonical_bytes
from expunge.evidence.certificate import CertificateFacts, make_certificate
from expunge.evidence.envelope import SignedEnvelope, save_envelope
from expunge.evidence.signing_key import SigningKey
from expunge.evidence.trust import Trust
from expunge.models.fingerprint import model_digest, result_facts
from expunge.models.run_seal import sealed as sealed_run
from helpers.audits import audit_data, example_results

CERTIFIED = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
LATER = datetime(2026, 4, 1, tzinfo=UTC)
REQUEST = "R-2026-0017"
PASSPHRASE = "a long passphrase of a test"
SECRETS = ("patient:P-1", "P-1", "Freya", "ragweed")  # what stands in the run and its audit and may stand nowhere else
OPERATOR, AUDITOR, LOG_KEY, STRANGER = (SigningKey.generate() for _ in range(4))


def trust_of(**more: Any) -> Trust:
    """A trust file with the three keys."""
    keys = [
        {"role": role, "name": f"the {role}", "key": key.public.text}
        for role, key in (("operator", OPERATOR), ("auditor", AUDITOR), ("log", LOG_KEY))
    ]
    return Trust.model_validate({"keys": keys, **more})


def write_trust(path: Path, **more: Any) -> Path:
    """The trust file on disk."""
    return write_json(path, trust_of(**more).model_dump(mode="json"))  # JSON is YAML


def write_model_folder(folder: Path, seed: int, dtype: str = "float32", scale: float = 1.0) -> Path:
    """A model folder of two small tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).normal(size=(4, 8)).astype(np.float32) * scale
    save_file({"model.weight": values, "lm_head.weight": values.T.copy()}, folder / "model.safetensors")
    write_json(folder / "config.json", {"model_type": "llama", "dtype": dtype})
    write_json(folder / "tokenizer.json", {"model": {"vocab": {}}})
    return folder


@dataclass(frozen=True)
class EvidenceCase:
    """The folders of a finished request."""

    root: Path

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def model(self) -> Path:
        return self.run / "model"

    @property
    def audit(self) -> Path:
        return self.root / "audit" / "audit.json"

    @property
    def certificate(self) -> Path:
        return self.root / "cert.json"

    def make(self, *keys: SigningKey, **facts: Any) -> SignedEnvelope:
        """A certificate, signed by operator and auditor unless `keys` say otherwise."""
        wanted = replace(CertificateFacts(request={"id": REQUEST}), **facts)
        return make_certificate(self.run, self.audit, wanted, at=CERTIFIED).signed_by(*(keys or (OPERATOR, AUDITOR)))

    def save(self, envelope: SignedEnvelope) -> Path:
        """Write a certificate to its place."""
        return save_envelope(envelope, self.certificate)


def write_case(root: Path, statuses: Mapping[str, str] | None = None, seed: int = 1) -> EvidenceCase:
    """A run with its audit; `statuses` sets results of the audit by key."""
    case = EvidenceCase(root)
    original = write_model_folder(root / "original", seed)
    write_model_folder(case.model, seed + 100)
    recipe = {"method": "npo", "seed": 42, "steps": 4}
    write_json(case.run / "recipe.yaml", recipe)
    write_json(case.run / "environment.json", {"python": "3.11.7", "packages": {"torch": "2.13.0"}})
    (case.run / "events.jsonl").write_text("".join(json.dumps({"step": k}) + "\n" for k in range(4)))
    write_json(case.run / "result.json", result_facts(case.model))
    about = {
        "status": "finished",
        "identity": {
            "recipe": digest(recipe),
            "model": model_digest(str(original)),
            "tokenizer": "7" * 64,
            "split": "b" * 64,
        },
        "created": "2026-02-27T10:00:00+00:00",
        "model": "../original",
        "template": "plain",
        "method": "npo",
        "scope": "patient:P-1",
        "threads": 1,
        "steps": 4,
        "seconds": 1.5,
    }
    write_json(case.run / "run.json", sealed_run(case.run, about))
    write_audit(case, original, statuses or {})
    return case


def write_audit(case: EvidenceCase, original: Path, statuses: Mapping[str, str]) -> None:
    """An audit of the run whose numbers give its statuses."""
    data, policy = audit_data(statuses), Policy.load()
    results = [_consistent(result, policy) for result in example_results(statuses)]
    data |= {
        "training_digest": "b" * 64,
        "results": [r.model_dump(mode="json") for r in results],
        "verdict": verdict(results, policy).model_dump(mode="json"),
        "assurance": {"level": "L2", "title": "against a retrained model", "can_say": "a", "cannot_say": "b"},
    }
    data["models"]["original"]["digest"] = model_digest(str(original))
    data["models"]["unlearned"]["digest"] = model_digest(str(case.run))
    data["examples"][0]["answer"] = "ragweed"
    data["examples"][0]["prompt"] = "Allergy of Freya?"
    audit = AuditFile.model_validate({k: v for k, v in data.items() if k != "seal"})
    write_json(case.audit, sealed(audit).model_dump(mode="json"), private=True)


def _consistent(result: CheckResult, policy: Policy) -> CheckResult:
    """The result with the margin of its policy, and numbers that give its status."""
    rule = policy.rules.get(result.key)
    if rule is None or result.rule is None or result.rule.id not in ("excess", "retention"):
        return result
    judged = result.model_copy(update={"rule": JudgedRule(id=result.rule.id, margin=rule.margin)})
    if result.rule.id == "excess" and result.status == "passed":
        return judged.model_copy(update={"estimate": -0.125, "ci": (-0.1875, -0.0625)})
    return judged


def changed(envelope: SignedEnvelope, change: Callable[[dict[str, Any]], None], *keys: SigningKey) -> SignedEnvelope:
    """The statement with a change in it, signed anew by `keys`: a lie that its signers agreed on."""
    value = json.loads(envelope.payload)
    change(value)
    unsigned = SignedEnvelope(canonical_bytes(value), envelope.payload_type)
    return unsigned.signed_by(*(keys or (OPERATOR, AUDITOR)))

"""A bill of materials of the certified model (CycloneDX 1.7, ML-BOM), and a section for its model card."""

from __future__ import annotations

import uuid
from typing import Any

from expunge.evidence.assurance_level import TITLES
from expunge.evidence.canonical_json import sha256
from expunge.evidence.certificate_schema import CertificatePredicate
from expunge.evidence.envelope import SignedEnvelope
from expunge.evidence.statement import Statement

SPEC_VERSION = "1.7"
SCHEMA = f"http://cyclonedx.org/schema/bom-{SPEC_VERSION}.schema.json"
NAMESPACE = uuid.UUID("6f0b6e7e-7c5e-5b0e-9d0c-1f6f3f0f6a51")


def model_bill(
    envelope: SignedEnvelope, statement: Statement, predicate: CertificatePredicate, name: str = "model", url: str = ""
) -> dict[str, Any]:
    """The ML-BOM as a JSON value; equal inputs give an equal one.

    Args:
        envelope: The certificate.
        statement: Its statement, with the files.
        predicate: Its predicate.
        name: Name of the model.
        url: Where the certificate lies, relative or whole; empty for its file name.
    """
    files = [
        {
            "type": "file",
            "bom-ref": f"file:{subject.name}",
            "name": subject.name,
            "hashes": [{"alg": "SHA-256", "content": subject.digest.sha256}],
        }
        for subject in statement.subject
    ]
    model = {
        "type": "machine-learning-model",
        "bom-ref": f"model:{predicate.artifacts.after}",
        "name": name,
        "version": predicate.artifacts.after[:16],
        "description": "a language model after unlearning",
        "externalReferences": [
            {
                "type": "attestation",
                "url": url or "certificate.json",
                "comment": f"unlearning certificate {envelope.digest}",
                "hashes": [{"alg": "SHA-256", "content": sha256(envelope.as_bytes())}],
            }
        ],
        "pedigree": {
            "ancestors": [
                {
                    "type": "machine-learning-model",
                    "name": f"{name} before unlearning",
                    "version": predicate.artifacts.before[:16],
                    "properties": [{"name": "expunge:model-digest", "value": predicate.artifacts.before}],
                }
            ],
            "notes": f"unlearned by the method {predicate.method.name}",
        },
        "modelCard": {
            "modelParameters": {"task": "text-generation"},
            "quantitativeAnalysis": {"performanceMetrics": _metrics(predicate)},
            "considerations": {"technicalLimitations": list(predicate.limits)},
        },
        "components": files,
        "properties": [{"name": f"expunge:{key}", "value": value} for key, value in _properties(predicate)],
    }
    return {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, envelope.digest)}",
        "version": 1,
        "metadata": {"timestamp": predicate.validity.made, "component": model},
    }


def _metrics(predicate: CertificatePredicate) -> list[dict[str, Any]]:
    metrics = []
    for result in predicate.audit.results:
        if result.estimate is None:
            continue
        row: dict[str, Any] = {"type": result.key, "value": f"{result.estimate:.6g}", "slice": result.status}
        if result.ci and None not in result.ci:
            low, high = result.ci
            row["confidenceInterval"] = {"lowerBound": f"{low:.6g}", "upperBound": f"{high:.6g}"}
        metrics.append(row)
    return metrics


def _properties(predicate: CertificatePredicate) -> list[tuple[str, str]]:
    return [
        ("model-digest", predicate.artifacts.after),
        ("manifest-root", predicate.artifacts.manifest_root),
        ("dtype", predicate.artifacts.dtype),
        ("quantization", predicate.artifacts.quantization),
        ("level", predicate.level.level),
        ("verdict", predicate.audit.verdict.status),
        ("policy-digest", predicate.audit.policy_digest),
        ("expires", predicate.validity.expires),
        ("notice", predicate.notice),
    ]


def model_card_section(envelope: SignedEnvelope, predicate: CertificatePredicate) -> str:
    """A section for the model card (Markdown): level, tests, limits and validity, without a person."""
    level = predicate.level.level
    rows = [
        f"| {row.attack_class} | {row.status.replace('_', ' ')} | {row.reason.replace('|', '/') or '–'} |"
        for row in predicate.coverage
    ]
    lines = [
        "## Unlearning certificate",
        "",
        f"Certificate `{envelope.digest}`, made {predicate.validity.made}, valid until {predicate.validity.expires}.",
        "",
        f"Level {level}: {TITLES[level]}. {predicate.level.why[:1].upper()}{predicate.level.why[1:]}.",
        "",
        f'Audit by the policy "{predicate.audit.policy.name}" version {predicate.audit.policy.version}: '
        f"{predicate.audit.verdict.status}.",
        "",
        "| class of attack (EDPB Opinion 28/2024, paragraph 55) | tried | why not |",
        "|---|---|---|",
        *rows,
        "",
        "What the evidence does not show:",
        "",
        *(f"* {limit}" for limit in predicate.limits),
        "",
        f"The certificate ends earlier with {', '.join(predicate.validity.triggers)}.",
        "",
        predicate.notice,
    ]
    return "\n".join(lines) + "\n"

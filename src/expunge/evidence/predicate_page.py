"""JSON schemas and the reference page of our predicates, made from their models so that they do not drift apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from expunge.evidence.certificate_schema import PREDICATE_TYPE, CertificatePredicate
from expunge.evidence.receipts import RECEIPTS, receipt_type

DRAFT = "https://json-schema.org/draft/2020-12/schema"
HEAD = f"""# Predicate of a certificate

A certificate is an in-toto Statement v1 in a DSSE envelope (`payloadType` `application/vnd.in-toto+json`). This page
describes its predicate; the JSON schema is [unlearning-certificate-v1](schemas/unlearning-certificate-v1.schema.json).
See [certificates](../guides/certificates.md) for how one is made and verified.

* `predicateType`: `{PREDICATE_TYPE}`. A change of any field is a new version with a new URI.
* `subject`: every file of the model after the run, by its path and SHA-256, sorted.
* The payload is the RFC 8785 form of the statement. Every key is present; unknown or repeated keys are refused. Whole
  numbers beyond 2**53 do not occur: a seed is text.
* Signatures: Ed25519, by two different keys in the roles operator and auditor. The id of a key is the SHA-256 of its
  SubjectPublicKeyInfo (DER), hex. Which keys count is said by the verifier's trust file alone.
* The digest of a certificate, which receipts and the log name, is the SHA-256 of its payload.
* `audit.policy`, `audit.results` and `audit.verdict` have the form that they have in [audit.json](audit-json.md),
  without names.
"""
TAIL = """
## Receipts

Statements that follow name the certificate as their subject `certificate`. Their predicates have the same rules.

"""
Models = dict[str, type[BaseModel]]


def schemas() -> dict[str, dict[str, Any]]:
    """JSON schema by its file name."""
    certificate = {"unlearning-certificate-v1.schema.json": _schema(CertificatePredicate, PREDICATE_TYPE)}
    return certificate | {f"{kind}-v1.schema.json": _schema(cls, receipt_type(kind)) for kind, cls in RECEIPTS.items()}


def _schema(cls: type[BaseModel], uri: str) -> dict[str, Any]:
    made = cls.model_json_schema(mode="serialization")
    for part in (made, *made.get("$defs", {}).values()):
        if "properties" in part:
            part["required"] = list(part["properties"])
    return {"$schema": DRAFT, "$id": f"{uri}/schema", **made}


def predicate_page() -> str:
    """The reference page, Markdown."""
    parts = [HEAD]
    for cls in _own_models(CertificatePredicate):
        parts.append(f"\n## {cls.__name__}\n\n{_doc(cls)}\n\n{_table(cls)}")
    parts.append(TAIL)
    for kind, cls in RECEIPTS.items():
        link = f"[schema](schemas/{kind}-v1.schema.json)"
        parts.append(
            f"### {cls.__name__}\n\n{_doc(cls)} `predicateType` `{receipt_type(kind)}`, {link}.\n\n{_table(cls)}\n"
        )
        for inner in _own_models(cls):
            if inner is not cls:
                parts.append(f"#### {inner.__name__}\n\n{_doc(inner)}\n\n{_table(inner)}\n")
    return "".join(parts).rstrip("\n") + "\n"


def _own_models(cls: type[BaseModel]) -> list[type[BaseModel]]:
    """The model and those of this room in its fields, each once, outer ones first."""
    models = [cls]
    for model in models:
        for field in model.model_fields.values():
            models += [m for m in _models(field.annotation) if m not in models]
    return [m for m in models if m.__module__.startswith("expunge.evidence")]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation) if get_origin(annotation) else ():
        yield from _models(part)


def _doc(cls: type[BaseModel]) -> str:
    return (cls.__doc__ or "").split("\n\n")[0].replace("\n", " ").strip()


def _table(cls: type[BaseModel]) -> str:
    rows = "".join(f"| `{name}` | {field.description or ''} |\n" for name, field in cls.model_fields.items())
    return f"| key | meaning |\n|---|---|\n{rows}"

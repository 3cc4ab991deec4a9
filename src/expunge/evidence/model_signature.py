"""Model signatures to the OpenSSF model signing specification 1.0: the `key` method, file serialization, SHA-256.

A bundle (Sigstore bundle format) holds a DSSE envelope with an in-toto statement whose predicate lists every file. The
specification knows keys on the NIST curves only, so a model is signed by a key of its own, not by an Ed25519 key of a
certificate.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

from expunge._text_file import read_text
from expunge.errors import InputError
from expunge.evidence.canonical_json import canonical_bytes, parse_strictly, sha256
from expunge.evidence.envelope import SignedEnvelope, read_file
from expunge.evidence.manifest import Manifest, make_manifest, manifest_problems
from expunge.evidence.signing_key import MAX_KEY_FILE, load_private_pem, save_private_pem
from expunge.evidence.statement import PAYLOAD_TYPE, STATEMENT_TYPE

MODEL_PREDICATE = "https://model_signing/signature/v1.0"
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
IGNORED = (".git", ".gitattributes", ".github", ".gitignore")  # at the top of a model folder
HINT = "give the signature (model.sig) as it was made"
HASHES: dict[str, type[HashAlgorithm]] = {"secp256r1": SHA256, "secp384r1": SHA384, "secp521r1": SHA512}


def make_model_key(path: Path, passphrase: str) -> Path:
    """A new P-256 key in `path`, as `signing_key.save_key` writes keys; returns the file of the public key."""
    return save_private_pem(ec.generate_private_key(ec.SECP256R1()), path, passphrase)


def load_model_key(path: Path, passphrase: str) -> ec.EllipticCurvePrivateKey:
    """The private key in a file; `InputError` for another kind of key."""
    key = load_private_pem(path, passphrase)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in HASHES:
        raise InputError(str(path), "is no key on a NIST curve", "make one with `expunge key make --kind model`")
    return key


def load_model_public_key(path: Path) -> ec.EllipticCurvePublicKey:
    """The public key in a PEM file; `InputError` for another kind of key."""
    text = read_text(path, "give the .pub file", most=MAX_KEY_FILE)
    try:
        key = pem.load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(str(path), "is no public key", "give the .pub file of the model key") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in HASHES:
        raise InputError(str(path), "is no key on a NIST curve", "give the .pub file of the model key")
    return key


def key_hint(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 of the PEM form, hex."""
    return sha256(key.public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo))


def sign_model(folder: Path, key: ec.EllipticCurvePrivateKey, signature: Path | None = None) -> bytes:
    """The bundle over a model folder, as JSON.

    Args:
        folder: The model; links are refused, as by the specification.
        key: Signs.
        signature: Where the bundle will be written; left out of the model where it lies in its folder.

    Raises:
        InputError: no folder, no file in it, or a link.
    """
    manifest = signed_files(folder, (), signature)
    resources = [{"name": n, "digest": d, "algorithm": "sha256"} for n, d in sorted(manifest.items())]
    root = sha256(b"".join(bytes.fromhex(str(r["digest"])) for r in resources))
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": folder.resolve().name or "model", "digest": {"sha256": root}}],
        "predicateType": MODEL_PREDICATE,
        "predicate": {
            "resources": resources,
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [*IGNORED, *_inside(folder, signature)],
            },
        },
    }
    envelope = SignedEnvelope(canonical_bytes(statement), PAYLOAD_TYPE)
    signed = key.sign(envelope.signed_bytes, ec.ECDSA(HASHES[key.curve.name]()))
    bundle = {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": key_hint(key.public_key())}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(envelope.payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signed).decode(), "keyid": ""}],
        },
    }
    return canonical_bytes(bundle) + b"\n"


def _inside(folder: Path, file: Path | None) -> list[str]:
    if file is not None and file.resolve().is_relative_to(folder.resolve()):
        return [file.resolve().relative_to(folder.resolve()).as_posix()]
    return []


def signed_files(folder: Path, ignored: Sequence[str] = (), signature: Path | None = None) -> Manifest:
    """SHA-256 of every file in the signing scope by its path.

    Args:
        folder: The model.
        ignored: Paths from the folder that are left out, with all below them.
        signature: A signature in the folder, which is left out.
    """
    for file in folder.rglob("*") if folder.is_dir() else ():
        if file.is_symlink():
            raise InputError(str(file), "is a link, which is not followed", "put the file there itself")
    left_out = (*IGNORED, *ignored, *_inside(folder, signature))
    manifest = {
        name: digest
        for name, digest in make_manifest(folder).items()
        if not any(name == path or name.startswith(path + "/") for path in left_out)
    }
    if not manifest:
        raise InputError(str(folder), "holds no file to sign", "give the folder of a model")
    return manifest


def model_signature_problems(folder: Path, signature: Path, key: ec.EllipticCurvePublicKey) -> Iterator[str]:
    """Why a signature is none of `key` over the model in `folder`; none where it is.

    Raises:
        InputError: the file is no bundle that can be read, or uses a method that is not supported.
    """
    bundle = parse_strictly(read_file(signature), str(signature))
    envelope, signatures, hint = _parts(bundle, str(signature))
    if hint and hint != key_hint(key):
        yield "it was made by another key"
        return
    try:
        key.verify(signatures, envelope.signed_bytes, ec.ECDSA(HASHES[key.curve.name]()))
    except InvalidSignature:
        yield "the signature is not one of this key over this content"
        return
    resources, serialization = _predicate(envelope, str(signature))
    ignored = serialization.get("ignore_paths", [])
    yield from manifest_problems(resources, signed_files(folder, ignored, signature))


def _parts(bundle: Any, where: str) -> tuple[SignedEnvelope, bytes, str]:
    try:
        if not str(bundle["mediaType"]).startswith("application/vnd.dev.sigstore.bundle"):
            raise ValueError("its media type is another one")
        material, inner = bundle["verificationMaterial"]["publicKey"], bundle["dsseEnvelope"]
        payload = base64.b64decode(inner["payload"], validate=True)
        (one,) = inner["signatures"]
        signature = base64.b64decode(one["sig"], validate=True)
        hint = material.get("hint", "")
        return SignedEnvelope(payload, str(inner["payloadType"])), signature, str(hint)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(where, f"is no model signature by a key ({type(error).__name__}: {error})", HINT) from error


def _predicate(envelope: SignedEnvelope, where: str) -> tuple[Manifest, dict[str, Any]]:
    statement = parse_strictly(envelope.payload, where)
    try:
        kinds = (envelope.payload_type, statement["_type"], statement["predicateType"])
        if kinds != (PAYLOAD_TYPE, STATEMENT_TYPE, MODEL_PREDICATE):
            raise ValueError("its statement is of another kind")
        serialization = statement["predicate"]["serialization"]
        if (serialization["method"], serialization["hash_type"]) != ("files", "sha256"):
            raise InputError(where, "uses another serialization or hash than files and sha256", "sign the model so")
        resources = {r["name"]: r["digest"] for r in statement["predicate"]["resources"] if r["algorithm"] == "sha256"}
        if not resources or len(resources) != len(statement["predicate"]["resources"]):
            raise ValueError("its list of files is empty, or names a file twice")
        return resources, serialization
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(where, f"is no model signature ({type(error).__name__}: {error})", HINT) from error

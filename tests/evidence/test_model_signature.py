"""Model signatures: the vectors of the specification, its root digest, and every change of a signed model."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from expunge.errors import InputError
from expunge.evidence.model_signature import (
    key_hint,
    load_model_key,
    load_model_public_key,
    make_model_key,
    model_signature_problems,
    sign_model,
)
from expunge.evidence.signing_key import SigningKey, save_key

VECTORS = Path(__file__).resolve().parents[1] / "data" / "model_signing"
MODELS: dict[str, dict[str, bytes]] = {
    "key-multi-file": {
        "config.json": b'{"model": "test", "version": "1.0"}',
        "weights.bin": b"\xab" * 1024,
        "subdir/adapter.bin": b"\xcd" * 512,
    },
    "key-simple-go": {"signme-1": b"signme-1\n", "signme-2": b"signme-2"},
}
PHRASE = "a passphrase of a test"


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, raw in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(raw)
    return folder


def problems(folder: Path, signature: Path, key: ec.EllipticCurvePublicKey) -> list[str]:
    return list(model_signature_problems(folder, signature, key))


@pytest.mark.parametrize("name", sorted(MODELS))
def test_vectors_of_the_specification(name: str, tmp_path: Path) -> None:
    key, signature = load_model_public_key(VECTORS / "p384.pub"), VECTORS / f"{name}.sig"
    folder = write_files(tmp_path / "model", MODELS[name])
    assert key_hint(key) == json.loads(signature.read_text())["verificationMaterial"]["publicKey"]["hint"]
    assert problems(folder, signature, key) == []
    (folder / ".gitattributes").write_text("")  # left out by default
    assert problems(folder, signature, key) == []
    (folder / "extra.bin").write_text("")
    assert problems(folder, signature, key) == ["extra.bin was added"]


@pytest.mark.parametrize("name", sorted(MODELS))
def test_our_statement_has_the_root_of_the_vector(name: str, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "model", MODELS[name])
    ours = json.loads(sign_model(folder, ec.generate_private_key(ec.SECP256R1())))
    theirs = json.loads((VECTORS / f"{name}.sig").read_text())

    def statement(bundle: dict[str, Any]) -> Any:
        return json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))

    assert statement(ours)["subject"][0]["digest"] == statement(theirs)["subject"][0]["digest"]
    assert statement(ours)["predicate"]["resources"] == statement(theirs)["predicate"]["resources"]
    assert set(ours) == set(theirs)


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Path, Path, ec.EllipticCurvePublicKey]:
    """A model with its signature inside its folder, and the key."""
    public = make_model_key(tmp_path / "model.key", PHRASE)
    folder = write_files(tmp_path / "model", MODELS["key-multi-file"])
    signature = folder / "model.sig"
    signature.write_bytes(sign_model(folder, load_model_key(tmp_path / "model.key", PHRASE), signature))
    return folder, signature, load_model_public_key(public)


def test_a_signature_in_the_folder(signed: tuple[Path, Path, ec.EllipticCurvePublicKey]) -> None:
    folder, signature, key = signed
    assert problems(folder, signature, key) == []
    (folder / "weights.bin").write_bytes(b"\xab" * 1023 + b"\0")
    (folder / "config.json").rename(folder / "c.json")
    assert problems(folder, signature, key) == ["weights.bin was changed", "config.json was renamed to c.json"]
    assert problems(folder, signature, ec.generate_private_key(ec.SECP256R1()).public_key()) == [
        "it was made by another key"
    ]
    (folder / "link").symlink_to(signature)
    with pytest.raises(InputError, match="is a link"):
        problems(folder, signature, key)


def _payload(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], None]:
    def apply(bundle: dict[str, Any]) -> None:
        value = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
        change(value)
        bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(value).encode()).decode()

    return apply


@pytest.mark.parametrize(
    "change",
    [
        _payload(lambda s: s["predicate"]["resources"].pop()),
        _payload(lambda s: s.update(predicateType="https://model_signing/Digests/v0.1")),
        lambda b: b["dsseEnvelope"].update(payloadType="text/plain"),
        lambda b: b["dsseEnvelope"]["signatures"].clear(),
        lambda b: b["dsseEnvelope"]["signatures"].extend(b["dsseEnvelope"]["signatures"]),
        lambda b: b.update(mediaType="text/plain"),
        lambda b: b.pop("verificationMaterial"),
        lambda b: b.pop("dsseEnvelope"),
        lambda b: b["dsseEnvelope"]["signatures"][0].update(sig="AAAA"),
    ],
)
def test_a_changed_bundle(
    signed: tuple[Path, Path, ec.EllipticCurvePublicKey], change: Callable[[dict[str, Any]], object]
) -> None:
    folder, signature, key = signed
    bundle = json.loads(signature.read_text())
    change(bundle)
    signature.write_text(json.dumps(bundle))
    try:
        assert problems(folder, signature, key)
    except InputError as error:
        assert "is no model signature" in error.what  # noqa: PT017


def test_keys_of_another_kind(tmp_path: Path) -> None:
    public = save_key(SigningKey.generate(), tmp_path / "ed.key", PHRASE)
    with pytest.raises(InputError, match="no key on a NIST curve"):
        load_model_key(tmp_path / "ed.key", PHRASE)
    with pytest.raises(InputError, match="no key on a NIST curve"):
        load_model_public_key(public)
    with pytest.raises(InputError, match="holds no file to sign"):
        sign_model(write_files(tmp_path / "m", {".git/HEAD": b"x"}), ec.generate_private_key(ec.SECP256R1()))

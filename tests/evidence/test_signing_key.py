"""Keys: encrypted files for their owner, and one line for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from expunge.errors import InputError
from expunge.evidence.signing_key import SigningKey, load_key, load_public_key, read_public_key, save_key

PHRASE = "twelve and more"


def test_a_key_survives_its_file(tmp_path: Path) -> None:
    key = SigningKey.generate()
    public = save_key(key, tmp_path / "a.key", PHRASE)
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600
    assert b"ENCRYPTED" in (tmp_path / "a.key").read_bytes()
    assert load_key(tmp_path / "a.key", PHRASE).public == load_public_key(public) == key.public
    assert read_public_key(key.public.text, "t") == read_public_key(key.public.pem, "t") == key.public


def test_rfc_8032_vector() -> None:
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = SigningKey(Ed25519PrivateKey.from_private_bytes(seed))
    assert key.public.raw.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert key.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a")
    assert key.public.is_signature(key.sign(b"x"), b"x")
    assert not key.public.is_signature(key.sign(b"x"), b"y")
    assert not key.public.is_signature(b"short", b"x")
    assert "9d61" not in repr(key)


def test_mistakes_with_key_files(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    with pytest.raises(InputError, match="fewer than 12 characters"):
        save_key(SigningKey.generate(), path, "short")
    assert list(tmp_path.iterdir()) == []
    public = save_key(SigningKey.generate(), path, PHRASE)
    with pytest.raises(InputError, match="never overwritten"):
        save_key(SigningKey.generate(), path, PHRASE)
    with pytest.raises(InputError, match="could not be decrypted"):
        load_key(path, "another phrase")
    with pytest.raises(InputError, match="no encrypted private key but a public one"):
        load_key(public, PHRASE)
    with pytest.raises(InputError, match="is a private key"):
        load_public_key(path)
    with pytest.raises(InputError, match="no public key"):
        read_public_key("not base64!", "key")
    with pytest.raises(InputError, match="could not be read"):
        load_key(tmp_path / "missing", PHRASE)


def test_an_unencrypted_key_and_another_kind_are_refused(tmp_path: Path) -> None:
    plain, other = tmp_path / "plain", tmp_path / "other"
    plain.write_bytes(SigningKey.generate().private_pem())
    with pytest.raises(InputError, match="no encrypted private key"):
        load_key(plain, PHRASE)
    key = generate_private_key(SECP256R1())
    locked = pem.BestAvailableEncryption(PHRASE.encode())
    other.write_bytes(key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, locked))
    other.chmod(0o600)
    with pytest.raises(InputError, match="no Ed25519 key"):
        load_key(other, PHRASE)
    public = key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(InputError, match="no Ed25519 key"):
        read_public_key(public, "key")


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    save_key(SigningKey.generate(), tmp_path / "a.key", PHRASE)
    (tmp_path / "a.key").chmod(0o644)
    with pytest.raises(InputError, match="can be read by others; chmod 600"):
        load_key(tmp_path / "a.key", PHRASE)

"""The commands of keys, logs and certificates from the first key to the verified certificate, and wrong words."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers.cli import Cli
from helpers.evidence import OPERATOR, PASSPHRASE, REQUEST, SECRETS, EvidenceCase, write_case

SIGN = ("certificate", "make", "--request", REQUEST)


@pytest.fixture(autouse=True)
def passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPUNGE_PASSPHRASE", PASSPHRASE)


@dataclass(frozen=True)
class Desk:
    """Keys and a trust file in a folder."""

    folder: Path

    def key(self, role: str) -> Path:
        return self.folder / f"{role}.key"

    @property
    def trust(self) -> Path:
        return self.folder / "trust.yaml"

    @property
    def certificate(self) -> Path:
        return self.folder / "cert.json"

    def words(self, case: EvidenceCase) -> tuple[object, ...]:
        """The command that makes a certificate of a case."""
        keys = ("--operator-key", self.key("operator"), "--auditor-key", self.key("auditor"))
        return (*SIGN, "--run", case.run, "--audit", case.audit, *keys, "--out", self.certificate)


@pytest.fixture
def desk(cli: Cli, tmp_path: Path) -> Desk:
    made = Desk(tmp_path / "desk")
    lines = ["threshold: 2", "keys:"]
    for role in ("operator", "auditor", "log"):
        out = cli("key", "make", "--out", made.key(role), "--role", role, "--name", f"the {role}").out
        lines += out.split("keys:\n")[1].rstrip("\n").split("\n")
    made.trust.write_text("\n".join(lines) + "\n")
    return made


def test_from_keys_to_a_verified_certificate(cli: Cli, desk: Desk, case: EvidenceCase) -> None:
    log, proof, person = desk.folder / "log", desk.folder / "proof.json", desk.folder / "person.json"
    signer = ("--key", desk.key("log"))
    assert cli("log", "append", log, case.run, "--policy", "with-retrained", "--request", REQUEST, *signer).code == 2
    begin = ("--origin", "a log", *signer)
    assert cli("log", "append", log, case.run, "--policy", "with-retrained", "--request", REQUEST, *begin).code == 0
    assert cli("log", "append", log, case.audit, "--request", REQUEST, *signer).code == 0
    made = cli(*desk.words(case), "--log", log, "--person", person, "--json")
    assert made.code == 0, made.err
    assert made.json["signatures"] == 2
    assert cli("log", "append", log, desk.certificate, "--inclusion", proof, *signer).code == 0
    assert cli("log", "append", log, person, *signer).out.startswith("entry 3: receipt")
    inputs = ("--trust", desk.trust, "--model", case.run, "--audit", case.audit, "--request", REQUEST)
    verified = cli("certificate", "verify", desk.certificate, *inputs, "--log", log, "--remembered")
    assert verified.code == 0, verified.out
    assert "not checked" not in verified.out
    assert "ok: attempts: 1 audits were made" in verified.out
    assert cli("certificate", "verify", desk.certificate, *inputs, "--inclusion", proof).code == 0
    assert cli("certificate", "verify", person, "--trust", desk.trust).code == 0
    assert cli("log", "verify", log, "--trust", desk.trust).code == 0
    head = cli("log", "head", log, "--out", desk.folder / "head.json", "--json").json
    assert (head["origin"], head["size"]) == ("a log", 4)
    assert cli("log", "verify", log, "--trust", desk.trust, "--head", desk.folder / "head.json").code == 0
    written = b"".join(f.read_bytes() for f in desk.folder.rglob("*") if f.is_file())
    assert not [word for word in SECRETS if word.encode() in written]
    assert PASSPHRASE.encode() not in written


def test_the_auditor_signs_later(cli: Cli, desk: Desk, case: EvidenceCase) -> None:
    words = [w for w in desk.words(case) if w not in ("--auditor-key", desk.key("auditor"))]
    made = cli(*words)
    assert made.code == 0
    assert "not signed by the auditor yet" in made.out
    assert cli("certificate", "verify", desk.certificate, "--trust", desk.trust).code == 3
    sign = ("certificate", "sign", desk.certificate, "--key", desk.key("auditor"))
    assert cli(*sign).code == 0
    assert cli("certificate", "verify", desk.certificate, "--trust", desk.trust, "--model", case.model).code == 0
    assert "is signed by this key already" in cli(*sign).line


def test_exit_codes(cli: Cli, desk: Desk, case: EvidenceCase, tmp_path: Path) -> None:
    failed = write_case(tmp_path / "failed", {"mia": "failed"})
    refused = cli(*desk.words(failed))
    assert refused.code == 3
    assert "did not pass" in refused.line
    assert not desk.certificate.exists()
    assert cli(*desk.words(failed), "--level", "L0").code == 0
    verified = cli("certificate", "verify", desk.certificate, "--trust", desk.trust)
    assert "ok: level: L0 (suppression only); the audit failed" in verified.out
    desk.certificate.write_text("{}")
    assert cli("certificate", "verify", desk.certificate, "--trust", desk.trust).code == 2
    data = cli("certificate", "verify", desk.certificate, "--trust", desk.trust, "--json").json
    assert "no signed envelope" in json.dumps(data)


def test_one_key_is_not_two(cli: Cli, desk: Desk, case: EvidenceCase) -> None:
    words = [desk.key("operator") if w == desk.key("auditor") else w for w in desk.words(case)]
    assert "is the operator's key" in cli(*words).line
    assert not desk.certificate.exists()


def test_where_passphrases_come_from(
    cli: Cli, desk: Desk, case: EvidenceCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EXPUNGE_PASSPHRASE")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert "give --operator-passphrase-file FILE" in cli(*desk.words(case)).line
    assert "nothing came from the standard input" in cli(*desk.words(case), "--operator-passphrase-file", "-").line
    file = tmp_path / "phrase"
    file.write_text(PASSPHRASE + "\nsecond line\n")
    monkeypatch.setenv("EXPUNGE_AUDITOR_PASSPHRASE", "not this one")
    assert "could not be decrypted" in cli(*desk.words(case), "--operator-passphrase-file", file).line
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSPHRASE + "\n"))
    both = ("--operator-passphrase-file", file, "--auditor-passphrase-file", "-")
    assert cli(*desk.words(case), *both).code == 0
    file.write_text("short\n")
    assert "fewer than 12 characters" in cli("key", "make", "--out", tmp_path / "k", "--passphrase-file", file).line


def test_receipts_and_bundles(cli: Cli, desk: Desk, case: EvidenceCase) -> None:
    person, facts, gone = (desk.folder / name for name in ("person.json", "facts.yaml", "gone.json"))
    assert cli(*desk.words(case), "--person", person).code == 0
    facts.write_text("reason: regression_failed\n")
    keys = ("--operator-key", desk.key("operator"), "--auditor-key", desk.key("auditor"))
    words = ("certificate", "receipt", desk.certificate, "--kind", "supersession", "--facts", facts, *keys)
    alone = (*words[:-4], "--out", desk.folder / "alone.json")
    assert "give one of them" in cli(*alone).line
    assert cli(*alone, *keys[2:]).code == 0  # the auditor alone may withdraw it
    assert cli(*words, "--out", gone).code == 0
    assert "is there already" in cli(*words, "--out", gone).line
    assert "is there already" in cli(*desk.words(case)).line
    verified = cli("certificate", "verify", desk.certificate, "--trust", desk.trust, "--receipt", gone)
    assert verified.code == 3
    assert "the certificate was superseded on" in verified.out
    facts.write_text("reason: boredom\n")
    assert "reason" in cli(*words, "--out", gone).line
    facts.write_text("request: R-9\nreason: mistake\n")
    assert "comes from the certificate" in cli(*words, "--out", gone).line
    given = desk.folder / "for-person"
    assert cli("certificate", "bundle", "--for", "person", "--summary", person, "--out", given).code == 0
    assert {f.name for f in given.iterdir()} == {"summary.json", "contents.json"}
    wrong = cli("certificate", "bundle", "--for", "person", "--summary", desk.certificate, "--out", desk.folder / "x")
    assert wrong.code == 2
    assert "is no copy for the person" in cli(
        "certificate", "bundle", "--for", "person", "--summary", gone, "--out", desk.folder / "x"
    ).line  # fmt: skip
    whole = desk.folder / "for-auditor"
    parts = ("--certificate", desk.certificate, "--run", case.run, "--audit", case.audit)
    assert cli("certificate", "bundle", "--for", "auditor", *parts, "--out", whole).code == 0
    assert (whole / "audit" / "audit.json").read_bytes() == case.audit.read_bytes()
    assert whole.stat().st_mode & 0o777 == 0o700
    assert "is there already" in cli("certificate", "bundle", "--for", "auditor", *parts, "--out", whole).line


def test_other_forms(cli: Cli, desk: Desk, case: EvidenceCase) -> None:
    assert cli(*desk.words(case)).code == 0
    bill, card = desk.folder / "bom.json", desk.folder / "card.md"
    assert cli("certificate", "export", desk.certificate, "--out", bill).code == 0
    assert json.loads(bill.read_text())["bomFormat"] == "CycloneDX"
    assert cli("certificate", "export", desk.certificate, "--as", "card", "--out", card).code == 0
    assert card.read_text().startswith("## Unlearning certificate")
    pytest.importorskip("scitt_cose")
    cose = ("certificate", "export", desk.certificate, "--as", "scitt", "--out", desk.folder / "cert.cose")
    assert "is signed by its issuer" in cli(*cose).line
    assert cli(*cose, "--key", desk.key("operator"), "--issuer", "https://hospital.example").code == 0


def test_model_signatures(cli: Cli, desk: Desk, own_case: EvidenceCase) -> None:
    key, signature = desk.folder / "model.key", desk.folder / "model.sig"
    assert cli("key", "make", "--kind", "model", "--out", key).code == 0
    assert cli("certificate", "sign-model", own_case.model, "--key", key, "--out", signature).code == 0
    words = ("certificate", "verify-model", own_case.model, "--signature", signature, "--key", f"{key}.pub")
    assert cli(*words).out.endswith("VALID\n")
    (own_case.model / "new").write_text("")
    assert cli(*words).code == 3


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "keys"),
        ("keys: []", "keys"),
        ("keys: [{role: operator, key: abc}]", "no public key"),
        ("keys: [{role: boss, key: abc}]", "role"),
        (f"threshold: 1\nkeys: [{{role: operator, key: {OPERATOR.public.text}}}]", "threshold"),
        ("keys: [", "not valid YAML"),
    ],
)
def test_wrong_trust_files(cli: Cli, case: EvidenceCase, tmp_path: Path, text: str, what: str) -> None:
    trust = tmp_path / "trust.yaml"
    trust.write_text(text)
    result = cli("certificate", "verify", case.certificate, "--trust", trust)
    assert result.code == 2
    assert what in result.line


def test_a_trust_file_without_an_auditor(cli: Cli, desk: Desk, case: EvidenceCase) -> None:
    lines = desk.trust.read_text().split("  - role: auditor")[0]
    desk.trust.write_text(lines)
    assert (
        "has no key in the role auditor" in cli("certificate", "verify", case.certificate, "--trust", desk.trust).line
    )


def test_keys_are_shown_without_a_passphrase(cli: Cli, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXPUNGE_PASSPHRASE")
    shown = cli("key", "show", f"{desk.key('auditor')}.pub", "--role", "auditor", "--name", "the auditor")
    assert shown.code == 0
    assert shown.out.split("key: ")[1].split("\n")[0] in desk.trust.read_text()
    assert "is a private key" in cli("key", "show", desk.key("auditor")).line


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("log", "append", "LOG", "AUDIT", "--key", "KEY"), "counted for its request"),
        (("log", "append", "LOG", "RUN", "--key", "KEY"), "give --policy and --request"),
        (("log", "append", "LOG", "TRUST", "--key", "KEY", "--kind", "certificate"), "no JSON"),
        (("log", "append", "LOG", "CERT", "--key", "KEY", "--kind", "receipt"), "is a certificate, not a receipt"),
        (("log", "verify", "LOG", "--trust", "TRUST"), "holds no log"),
        (("log", "head", "LOG"), "holds no log"),
        (("certificate", "show", "TRUST"), "no JSON"),
    ],
)  # fmt: skip
def test_wrong_words(cli: Cli, desk: Desk, case: EvidenceCase, words: tuple[str, ...], what: str) -> None:
    places = {
        "LOG": desk.folder / "log",
        "AUDIT": case.audit,
        "RUN": case.run,
        "TRUST": desk.trust,
        "KEY": desk.key("log"),
        "CERT": case.certificate,
    }
    result = cli(*(places.get(word, word) for word in words))
    assert result.code == 2
    assert what in result.line


def test_a_missing_library_is_named(
    cli: Cli, case: EvidenceCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expunge.evidence.libraries.find_spec", lambda name: None)
    line = cli("certificate", "show", case.certificate).line
    assert "needs cryptography, securesystemslib, rfc8785" in line
    assert "pip install cryptography securesystemslib rfc8785" in line

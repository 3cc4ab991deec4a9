"""The keys with which a desk signs: the operator's, that of the log, and the auditor's public one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from expunge.desk.connectors.base import place
from expunge.desk.secret_file import read_secret
from expunge.desk.settings import CertificateSettings, DeskSettings
from expunge.errors import InputError
from expunge.evidence.merkle_log import MerkleLog
from expunge.evidence.signing_key import SigningKey, VerifyingKey, load_key, load_public_key
from expunge.evidence.trust import Role, Trust

SETTINGS = "desk.yaml: certificates"


@dataclass(frozen=True)
class DeskKeys:
    """What a desk signs and verifies with.

    Attributes:
        operator: Signs certificates and receipts.
        log_key: Signs the heads of the log.
        auditor: The public key whose signature a promotion needs.
        log: The Merkle log of the desk.
        origin: Name of the log.
        days: Days until a certificate expires.
    """

    operator: SigningKey
    log_key: SigningKey
    auditor: VerifyingKey
    log: MerkleLog
    origin: str = field(default="erasure desk")
    days: int = 365

    def trust(self, policy: str, single_person: bool) -> Trust:
        """The trust by which the desk verifies what it promotes.

        Args:
            policy: Digest of the audit policy of the plan, which people approved.
            single_person: The run was made in single-person mode.
        """
        keys: list[tuple[Role, VerifyingKey]] = [
            ("operator", self.operator.public),
            ("auditor", self.auditor),
            ("log", self.log_key.public),
        ]
        return Trust.model_validate(
            {
                "keys": [{"role": role, "name": role, "key": key.text} for role, key in keys],
                "policies": [policy],
                "single_person": "accept" if single_person else "refuse",
                "log": "required",
            }
        )


def load_keys(folder: Path, settings: DeskSettings) -> DeskKeys | None:
    """The keys of a desk; None where it is configured without them.

    Args:
        folder: the desk's folder.
        settings: its settings.

    Raises:
        InputError: a key or a passphrase file is not there, can be read by others, or does not fit; or two of the keys
            are the same one.
    """
    wanted = settings.certificates
    if wanted is None:
        return None
    auditor = load_public_key(place(folder, wanted.auditor_key))
    keys = DeskKeys(
        _private(folder, wanted.operator_key, wanted.operator_passphrase_file),
        _private(folder, wanted.log_key, wanted.log_passphrase_file),
        auditor,
        merkle_log(folder, wanted),
        wanted.origin,
        wanted.days,
    )
    if len({keys.operator.public.raw, keys.log_key.public.raw, auditor.raw}) < 3:
        raise InputError(SETTINGS, "names one key twice", "operator, auditor and log each need a key of their own")
    return keys


def merkle_log(folder: Path, wanted: CertificateSettings) -> MerkleLog:
    """The Merkle log of a desk."""
    return MerkleLog(place(folder, wanted.log))


def _private(folder: Path, key: str, source: str) -> SigningKey:
    return load_key(place(folder, key), read_secret(place(folder, source)))

"""The trust file of a verifier: whose keys count, in which role, from when to when, and which policies are accepted.

Trust comes from this file alone, never from what is verified.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from expunge._config import MAX_YAML, FrozenModel
from expunge._text_file import read_text
from expunge._validation import validate
from expunge._yaml import load_yaml
from expunge.errors import InputError
from expunge.evidence.envelope import SignedEnvelope
from expunge.evidence.moments import DayOrMoment, parse_moment
from expunge.evidence.policy_history import policy_history
from expunge.evidence.signing_key import VerifyingKey, read_public_key

Role = Literal["operator", "auditor", "log"]
REQUIRED_ROLES: tuple[Role, ...] = ("operator", "auditor")
HINT = "a trust file has `keys:`, each with `role:`, `name:` and `key:`; see docs/guides/certificates.md"


class TrustedKey(FrozenModel):
    """One key and what it may sign."""

    role: Role = Field(description="operator, auditor or log")
    name: str = Field("", description="whose key it is, in words")
    key: str = Field(description="public key: PEM, or DER in base64 as `expunge key show` prints it")
    valid_from: DayOrMoment = Field("", description="ISO 8601 date or time, UTC; empty: from the beginning")
    valid_until: DayOrMoment = Field("", description="ISO 8601 date or time, UTC; empty: without end")
    revoked: DayOrMoment = Field(
        "", description="date or time; from then on the key counts for nothing, whenever it signed"
    )

    @field_validator("key")
    @classmethod
    def _is_a_key(cls, text: str) -> str:
        read_public_key(text, "key")
        return text

    @cached_property
    def public(self) -> VerifyingKey:
        return read_public_key(self.key, "key")

    def problem_at(self, moment: datetime | None) -> str:
        """Why the key does not count for what was signed at `moment`; empty where it does."""
        if self.revoked:
            return f"was revoked on {self.revoked}"
        if moment is None:
            return ""
        if self.valid_from and moment < parse_moment(self.valid_from):
            return f"is valid from {self.valid_from}, and this was signed before"
        if self.valid_until and moment > parse_moment(self.valid_until, end=True):
            return f"was valid until {self.valid_until}, and this was signed later"
        return ""


class Trust(FrozenModel):
    """Whose signatures a verifier accepts."""

    keys: tuple[TrustedKey, ...] = Field(min_length=1, description="trusted keys")
    threshold: int = Field(2, ge=2, le=8, description="different keys that must have signed")
    single_person: Literal["refuse", "accept"] = Field(
        "refuse", description="certificates of a site where one person holds both keys"
    )
    policies: tuple[str, ...] = Field(
        (), description="audit policies that are accepted: names of shipped ones or digests; empty: all shipped ones"
    )
    log: Literal["optional", "required"] = Field("optional", description="whether a log proof must be given")

    @model_validator(mode="after")
    def _each_key_once(self) -> Trust:
        count = Counter(key.public.raw for key in self.keys)
        for key in self.keys:
            if count[key.public.raw] > 1:
                raise ValueError(f'the key of "{key.name or key.role}" stands twice: every role needs a key of its own')
        return self

    @field_validator("policies")
    @classmethod
    def _known_policies(cls, policies: tuple[str, ...]) -> tuple[str, ...]:
        for name in policies:
            if name not in policy_history() and not (len(name) == 64 and set(name) <= set("0123456789abcdef")):
                raise ValueError(f'"{name}" is neither a shipped policy nor a SHA-256 digest')
        return policies

    @cached_property
    def policy_digests(self) -> frozenset[str]:
        """Digests of the accepted policies; a name stands for every version of it that was shipped."""
        history = policy_history()
        names = self.policies or tuple(history)
        return frozenset(digest for name in names for digest in history.get(name, (name,)))


class Signers(NamedTuple):
    """Whose signatures count, and what is wrong with the others."""

    keys: tuple[TrustedKey, ...]
    problems: tuple[str, ...]


def load_trust(path: Path | str) -> Trust:
    """A trust file; `InputError` names the first mistake."""
    text = read_text(path, HINT, most=MAX_YAML)
    return validate(Trust, load_yaml(text, str(path), HINT), str(path), HINT)


def count_signers(envelope: SignedEnvelope, trust: Trust, moment: datetime | None) -> Signers:
    """The trusted keys that signed, by their bytes, and every signature that is not one of them once.

    Args:
        envelope: What was signed.
        trust: The verifier's keys.
        moment: When it says it was signed; None leaves validity times unchecked.
    """
    by_id = {key.public.keyid: key for key in trust.keys}
    signers: dict[bytes, TrustedKey] = {}
    problems = []
    for number, one in enumerate(envelope.signatures, 1):
        key = by_id.get(one.keyid)
        if key is None:
            problems.append(f"signature {number} is by a key that is not in the trust file ({one.keyid[:16]})")
        elif not key.public.is_signature(one.signature, envelope.signed_bytes):
            problems.append(f"signature {number} is not one of the key {_named(key)} over this content")
        elif key.public.raw in signers:
            problems.append(f"signature {number} repeats the key {_named(key)}")
        elif problem := key.problem_at(moment):
            problems.append(f"the key {_named(key)} {problem}")
        else:
            signers[key.public.raw] = key
    return Signers(tuple(signers.values()), tuple(problems))


def signature_problems(
    envelope: SignedEnvelope, trust: Trust, moment: datetime | None, roles: tuple[Role, ...] = REQUIRED_ROLES
) -> list[str]:
    """Why a statement is not signed as the trust file wants: by every role, and by as many keys as the threshold."""
    signers, problems = count_signers(envelope, trust, moment)
    seen = {key.role for key in signers}
    missing = [f"there is no valid signature in the role {role}" for role in roles if role not in seen]
    count = sum(key.role in roles for key in signers)
    short = [f"{count} of {trust.threshold} keys signed"] if count < trust.threshold else []
    return [*problems, *missing, *short]


def receipt_problems(envelope: SignedEnvelope, trust: Trust, moment: datetime | None) -> list[str]:
    """Why a receipt is not signed by the operator or by the auditor; one of them suffices, to withdraw too."""
    signers, problems = count_signers(envelope, trust, moment)
    if not any(key.role in REQUIRED_ROLES for key in signers):
        return [*problems, "there is no valid signature in the role operator or auditor"]
    return list(problems)


def head_problems(envelope: SignedEnvelope, trust: Trust, moment: datetime | None) -> list[str]:
    """Why the head of a log is not signed by a trusted key in the role log or auditor."""
    signers, problems = count_signers(envelope, trust, moment)
    if not any(key.role in ("log", "auditor") for key in signers):
        return [*problems, "no key in the role log or auditor signed the head"]
    return list(problems)


def _named(key: TrustedKey) -> str:
    return f'"{key.name}" ({key.role})' if key.name else f"in the role {key.role}"


def trust_lines(keys: list[tuple[Role, str, VerifyingKey]]) -> str:
    """A trust file with these keys, as YAML text."""
    lines = ["threshold: 2", "keys:"]
    for role, name, key in keys:
        lines += [f"  - role: {role}", f'    name: "{name}"', f"    key: {key.text}"]
    return "\n".join(lines) + "\n"


def refuse_empty(trust: Trust, where: str) -> None:
    """`InputError` if the trust file has no key for a role that a certificate needs."""
    missing = [role for role in REQUIRED_ROLES if role not in {key.role for key in trust.keys}]
    if missing:
        raise InputError(where, f"has no key in the role {missing[0]}", HINT)

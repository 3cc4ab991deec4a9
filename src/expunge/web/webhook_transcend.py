"""Bodies of Transcend's server webhook, as its reference has them: "New privacy request job".

Source: https://docs.transcend.io/docs/api-reference/webhook/new-privacy-request-job, and the public examples at
https://github.com/transcend-io/examples. What is not named here (`dataSubject`, `details`, `link`, `verifiedAt` and
what comes later) is read past and stored nowhere; the desk identifies the person itself.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from expunge.desk.requests import LANGUAGES, MAX_VALUE
from expunge.errors import InputError
from expunge.web.api_models import Line

KINDS = {"email": "email", "phone": "phone", "name": "name"}  # type of an identifier there -> kind; others are `other`
Value = Annotated[Line, Field(min_length=1, max_length=MAX_VALUE)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class TranscendIdentifier(_Part):
    """One identifier."""

    value: Value


class TranscendProfile(_Part):
    """The identifier with which this system is to search, and its type."""

    identifier: Value
    type: Annotated[str, Field(max_length=100)] = "other"


class TranscendRequest(_Part):
    """The request at Transcend."""

    id: Annotated[Line, Field(min_length=1, max_length=200)]
    createdAt: AwareDatetime | None = None
    locale: Annotated[str, Field(max_length=40)] = "en"


class TranscendExtras(_Part):
    """What stands beside the identifier."""

    request: TranscendRequest
    profile: TranscendProfile | None = None


def _in_pairs(value: Any) -> Any:
    """Type -> identifiers as pairs, so that an error names a position and no type that somebody made up."""
    if not isinstance(value, dict):
        return value
    lists = [(kind, many if isinstance(many, list) else [many]) for kind, many in value.items()]
    return tuple((kind, each) for kind, many in lists for each in many)


class TranscendJob(_Part):
    """A job for this system. Only erasures are taken."""

    type: Literal["ERASURE"]
    isTest: bool = False
    coreIdentifier: TranscendIdentifier
    requestIdentifier: TranscendIdentifier | None = None
    extraIdentifiers: Annotated[
        tuple[tuple[Annotated[str, Field(max_length=100)], TranscendIdentifier], ...],
        BeforeValidator(_in_pairs),
        Field(max_length=100),
    ] = ()
    extras: TranscendExtras


MODELS = (TranscendIdentifier, TranscendProfile, TranscendRequest, TranscendExtras, TranscendJob)
FIELDS = tuple(name for model in MODELS for name in model.model_fields)  # an error may name them


def read_transcend(raw: Any) -> dict[str, Any]:
    """The data of a submission.

    Raises:
        ValidationError: another type of job, or a field that is missing or does not fit.
        InputError: a test, which opens no request.
    """
    job = TranscendJob.model_validate(raw)
    if job.isTest:
        raise InputError("message.isTest", "is set, and a test opens no request", "send a real request")
    request, profile = job.extras.request, job.extras.profile
    pairs = [("record_number", job.coreIdentifier.value)]
    if profile is not None:
        pairs.append((KINDS.get(profile.type, "other"), profile.identifier))
    pairs += [(KINDS.get(kind, "other"), each.value) for kind, each in job.extraIdentifiers]
    if job.requestIdentifier is not None:
        pairs.append(("other", job.requestIdentifier.value))
    language = request.locale[:2].lower()
    data: dict[str, Any] = {
        "id": request.id,
        "identifiers": _by_kind(pairs),
        "language": language if language in LANGUAGES else "en",
    }
    return data if request.createdAt is None else {**data, "received_at": request.createdAt}


def _by_kind(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Kind -> values; each value once, under the first kind that names it."""
    kinds: dict[str, list[str]] = {}
    seen: set[str] = set()
    for kind, value in pairs:
        if value not in seen:
            seen.add(value)
            kinds.setdefault(kind, []).append(value)
    return kinds

"""What the API takes and gives, as schemas. What it takes is checked here for form alone; the desk checks the rest."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from expunge._config import FrozenModel
from expunge.desk.identity import LEVELS, METHODS
from expunge.desk.keys import IDENTIFIER_KINDS
from expunge.desk.lifecycle import STATES
from expunge.desk.requests import LANGUAGES, MAX_IDENTIFIERS, MAX_REASON, MAX_VALUE, PLAIN_EVENTS
from expunge.desk.roles import MAY
from expunge.desk.tables import DECISIONS, PLAN_KINDS

MAX_ROWS, MAX_OFFSET = 200, 1_000_000
DOCUMENT = 28 * 2**20  # characters of a document in base64


def _storable(text: str) -> str:
    """`ValueError` for what no database stores as text."""
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError("holds a NUL or half a character")
    return text


Line = Annotated[str, AfterValidator(_storable)]
Reason = Annotated[Line, Field(max_length=MAX_REASON, description="why, in words; kept encrypted")]
Reference = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9-]{9,36}$", description="reference, E-7K3M-9QV2-4, or id", max_length=36)
]
PlanHash = Annotated[str, Path(pattern=r"^[0-9a-f]{8,64}$", description="hash of the plan, or its first 8 digits")]
RowId = Annotated[str, Path(pattern=r"^[0-9a-f-]{36}$", description="id")]
Limit = Annotated[int, Query(ge=1, le=MAX_ROWS, description="most rows")]
Offset = Annotated[int, Query(ge=0, le=MAX_OFFSET, description="rows to leave out; `next` of the page before")]
State = Literal[STATES]  # type: ignore[valid-type]
Identifiers = Annotated[
    dict[
        Literal[IDENTIFIER_KINDS],  # type: ignore[valid-type]
        Annotated[Line, Field(max_length=MAX_VALUE)]
        | Annotated[list[Annotated[Line, Field(max_length=MAX_VALUE)]], Field(max_length=MAX_IDENTIFIERS)],
    ],
    Field(description="kind -> value or values, as the person gave them"),
]


def roles_that_may(*roles: str) -> dict[str, Any]:
    """How a route says in the description who may use it; the desk itself checks it."""
    return {"openapi_extra": {"x-roles": sorted(set(roles))}}


def action(name: str) -> dict[str, Any]:
    """The same for an action of `roles.MAY`."""
    return roles_that_may(*(role for role in MAY[name] if role != "system"))


class Answer(BaseModel):
    """Base of what the API gives: further keys may come with later versions."""

    model_config = ConfigDict(extra="allow")


class Submission(FrozenModel):
    """A request of a person."""

    identifiers: Identifiers
    policy: str | None = Field(None, pattern=r"^[a-z][a-z0-9-]{0,39}(@[0-9]{1,4})?$", description="gdpr, ccpa@1 …")
    received_at: AwareDatetime | None = Field(None, description="when it came, with a time zone; now if left out")
    language: Literal[LANGUAGES] = Field("en", description="language of letters")  # type: ignore[valid-type]


class FurtherIdentifiers(FrozenModel):
    """More of what the person gave."""

    identifiers: Identifiers


class EventWish(FrozenModel):
    """An event of the lifecycle."""

    event: Literal[PLAIN_EVENTS] = Field(description="what happens")  # type: ignore[valid-type]
    reason: Reason = ""
    other: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{9,36}$")] | None = Field(
        None, description="of mark_duplicate: reference of the other request"
    )


class IdentityAttempt(FrozenModel):
    """How the person showed who they are."""

    success: bool
    method: Literal[METHODS]  # type: ignore[valid-type]
    level: Literal[LEVELS] = "substantial"  # type: ignore[valid-type]
    identifiers: Annotated[list[Line], Field(max_length=MAX_IDENTIFIERS)] | None = Field(
        None, description="ids of the identifiers that were shown; all if left out"
    )
    reason: Reason = ""
    document: str | None = Field(None, max_length=DOCUMENT, description="base64; only a keyed digest is kept")


class MatchesSettled(FrozenModel):
    """Which matches are of the person, or are not."""

    matches: Annotated[list[Annotated[str, Field(pattern=r"^[0-9a-f-]{36}$")]], Field(min_length=1, max_length=1000)]
    confirm: bool = Field(description="true: they are of the person; false: they are not")


class AssetDecision(FrozenModel):
    """What happens to an asset."""

    asset: Annotated[Line, Field(max_length=80)] = Field(description="id or name")
    value: Literal[DECISIONS]  # type: ignore[valid-type]
    ground: Annotated[Line, Field(max_length=200)] = Field("", description="of retain: a ground of the policy")
    searched: Annotated[Line, Field(max_length=200)] = Field("", description="of not_present: how it was searched")


class Reasoned(FrozenModel):
    """A reason alone."""

    reason: Reason = ""


class PlanWishBody(FrozenModel):
    """How to plan again after a failed audit."""

    kind: Literal[tuple(k for k in PLAN_KINDS if k != "none")] | None = Field(  # type: ignore[valid-type]
        None, description="unlearn; or an exact route: retrain, drop"
    )
    recipe: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,79}$")] | None = Field(
        None, description="a recipe by name"
    )
    overrides: Annotated[list[Annotated[Line, Field(max_length=200)]], Field(max_length=50)] = Field(
        [], description="key=value settings"
    )
    seed: int | None = Field(None, ge=0, le=2**31 - 1)
    reason: Reason = ""


class PlanApproval(FrozenModel):
    """What the approver saw."""

    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = Field(description="whole hash of the plan that was shown")


class RequestLine(Answer):
    """A request in a list."""

    id: str
    reference: str
    state: State
    status: str = Field(description="status of the Data Rights Protocol")
    regime: str
    received_on: str
    due_on: str | None
    days_left: int | None
    alarms: int
    verified: bool


class RequestPage(Answer):
    """Some requests, the most urgent first."""

    items: list[RequestLine]
    next: int | None = Field(description="offset of the next page; null after the last")


class RequestDetails(RequestLine):
    """Everything about a request that names nobody."""

    request: dict[str, Any]
    is_told: bool = Field(
        description="false: the answer is put off, and the letter about it did not go out yet, or too late"
    )
    identifiers: list[dict[str, Any]]
    matches: dict[str, int]
    decisions: list[dict[str, Any]]
    plan: dict[str, Any] | None
    run: dict[str, Any] | None
    tasks: list[dict[str, Any]]
    next: list[dict[str, str]] = Field(description="events that this role may do now, and what is missing for each")


class RequestStanding(Answer):
    """Where a request stands after a step."""

    id: str
    reference: str
    state: State


class OpenedRequest(RequestStanding):
    """A request that was opened, or was opened before under the same key."""

    like: list[str] | None = Field(None, description="ids of other requests that share an identifier")


class Rows(Answer):
    """Some rows."""

    items: list[dict[str, Any]]
    next: int | None = None


class States(Answer):
    """The states of the requests of a plan."""

    states: list[State]


class DeskLogHead(Answer):
    """Number and hash of the last row of the log."""

    seq: int
    hash: str

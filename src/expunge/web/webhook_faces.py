"""The table by which other privacy desks are understood and answered."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Literal

from pydantic import Field, model_validator

from expunge._config import FrozenModel
from expunge._validation import validate
from expunge._yaml import load_yaml
from expunge.desk.lifecycle import ENDED_EARLY, STATES
from expunge.errors import unknown

FILE = "webhook_faces.yaml"
TOLD = ("id", "reference", "received_at", "due_on", "status", "reason", "state")  # what a face can name


class OutsideStatus(FrozenModel):
    """A word of another desk for a state, and its reason where that desk has one."""

    status: str = Field(max_length=40, description="status")
    reason: str | None = Field(None, max_length=40, description="reason")


class WebhookFace(FrozenModel):
    """How one kind of desk is spoken to."""

    reads: Literal["own", "sap-dpi", "transcend"] = Field("own", description="whose bodies it reads, beside our own")
    fields: dict[str, Literal[TOLD]] = Field(description="name there -> what it holds")  # type: ignore[valid-type]
    states: dict[str, OutsideStatus] = Field(description="state -> status")
    ended: dict[str, OutsideStatus] = Field(description="how a request ended early -> status once its subject was told")

    @model_validator(mode="after")
    def _complete(self) -> WebhookFace:
        if set(self.states) != set(STATES) or set(self.ended) != set(ENDED_EARLY):
            raise ValueError("must name every state, and every early end")
        return self

    def status_of(self, state: str, ended_as: str | None) -> OutsideStatus:
        """The status for a state; a request that ended early stays so after its subject was told."""
        return self.ended[ended_as] if ended_as and state in ("notified", "closed") else self.states[state]

    def message(self, row: dict[str, Any], state: str) -> dict[str, Any]:
        """What is told of a request in a state: ids, dates and words of the table."""
        outside = self.status_of(state, row["ended_as"])
        facts = {
            "id": row["id"],
            "reference": row["reference"],
            "received_at": row["received_at"],
            "due_on": row["due_on"],
            "status": outside.status,
            "reason": outside.reason,
            "state": state,
        }
        return {name: facts[key] for name, key in self.fields.items() if facts[key] is not None}


class WebhookTable(FrozenModel):
    """The whole table."""

    incoming: dict[str, Literal["submit", "revoke"]] = Field(description="type of a message -> action")
    outgoing: str = Field(description="type of our messages")
    faces: dict[str, WebhookFace] = Field(min_length=1, description="kinds of desks")


@cache
def webhook_table() -> WebhookTable:
    """The table that comes with the package."""
    text = (files("expunge.web") / "data" / FILE).read_text("utf-8")
    return validate(WebhookTable, load_yaml(text, FILE), FILE)


def webhook_face(name: str) -> WebhookFace:
    """A face by name; `InputError` for an unknown one."""
    faces = webhook_table().faces
    if name not in faces:
        raise unknown("face", name, faces)
    return faces[name]

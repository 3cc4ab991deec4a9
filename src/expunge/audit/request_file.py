"""The schema of `requests.json`: what became of every request of a chain, and whether it is still forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from expunge._config import FrozenModel
from expunge._io import digest, read_json
from expunge._validation import validate
from expunge.audit.schema import NOTICE
from expunge.errors import InputError

REQUESTS = "requests.json"
MARGIN = 0.05  # by which more may be given than to the controls
AGAIN = "the file was changed; remove it and audit again"


class RequestState(FrozenModel):
    """One request on one model.

    `share` is that of questions whose greedy text includes the true answer; of documents, of tokens that are the most
    probable one.
    """

    run: int = Field(ge=0, description="number of the run after which this was measured; 0 for the model before all")
    share: float = Field(description="share of true answers that the model gives")
    controls: float | None = Field(None, description="the same share about people that no model was trained on")


class GuardState(FrozenModel):
    """How the run of a request kept what earlier requests had forgotten."""

    rows: int = Field(ge=0, description="rows that guarded them")
    leaking: int = Field(0, ge=0, description="records whose true answer the model still gave then; not guarded")
    unguarded: int = Field(0, ge=0, description="records that could not be guarded")
    reason: str = Field("", description="why not")


class RequestRow(FrozenModel):
    """A request and what became of it."""

    number: int = Field(ge=1, description="place in the chain")
    scope: str = Field("", description="what was to be forgotten; empty where it is not known or left out")
    created: str = Field("", description="when its run began, ISO 8601")
    method: str = Field(description="method of its run")
    records: int = Field(ge=0, description="records that its run forgot")
    questions: int = Field(ge=0, description="those that were asked here; 0 where the data does not hold them any more")
    measure: Literal["answers", "tokens"] = Field("answers", description="what the shares are of")
    states: tuple[RequestState, ...] = Field((), description="one per model, oldest first")
    guards: GuardState | None = Field(
        None,
        description="how its run kept earlier requests; none for the first request, or where the run is not here",
        exclude_if=lambda state: state is None,
    )

    @property
    def own(self) -> RequestState | None:
        """The model right after its own run; None where that run is not here."""
        return next((s for s in self.states if s.run == self.number), None)

    @property
    def reference(self) -> float | None:
        """The share that the last model gives of the controls; without controls, that after its own run."""
        last = self.states[-1] if self.states else None
        own = self.own.share if self.own else None
        return own if last is None or last.controls is None else last.controls

    @property
    def bound(self) -> float | None:
        """The share up to which it counts as forgotten now."""
        return None if self.reference is None else self.reference + MARGIN

    @property
    def excess(self) -> float | None:
        """By how much the last model gives more of it than the reference; None where it was not asked."""
        return None if not self.states or self.reference is None else self.states[-1].share - self.reference

    @property
    def status(self) -> Literal["forgotten", "unchanged", "back", "not_run"]:
        """Whether the last model still has it forgotten.

        Without controls nothing says that it ever was: `unchanged` is then all that can be said.
        """
        if not self.states or self.bound is None:
            return "not_run"
        last = self.states[-1]
        if last.share > self.bound:
            return "back"
        return "unchanged" if last.controls is None else "forgotten"


class RequestHistory(FrozenModel):
    """The content of `requests.json`."""

    notice: str = Field(NOTICE, description="that the file holds personal data")
    run: str = Field(description="seal of the last run")
    requests: tuple[RequestRow, ...] = Field(min_length=1, description="oldest first")
    seal: str = Field("", description="SHA-256 over the keys above")

    @property
    def back(self) -> list[RequestRow]:
        """Requests that the last model no longer has forgotten."""
        return [r for r in self.requests if r.status == "back"]

    @property
    def warnings(self) -> list[str]:
        """What whoever reads the verdict on the last request must know of the others, a sentence each."""
        lines = [
            f"Request {r.number} is no longer forgotten: the model gives {r.states[-1].share:.3f} of its true "
            f"{r.measure}, and at most {r.bound or 0.0:.3f} is allowed."
            for r in self.back
        ]
        for r in self.requests:
            if r.questions == 0:
                lines.append(f"Request {r.number} was not asked: its records are not in the data.")
            elif r.status == "not_run":
                lines.append(f"Request {r.number} cannot be judged: its run is not here, and it has no controls.")
            elif r.status == "unchanged":
                lines.append(f"Nothing says that request {r.number} was ever forgotten: it has no controls.")
            if r.guards and r.guards.unguarded:
                lines.append(
                    f"The run of request {r.number} did not guard {r.guards.unguarded:,} of the records that were "
                    f"forgotten before it: {r.guards.reason}."
                )
        return lines

    def sealed(self) -> RequestHistory:
        """This history with its seal."""
        return self.model_copy(update={"seal": _seal(self)})

    def without_names(self) -> RequestHistory:
        """A copy without the texts of scopes."""
        rows = tuple(r.model_copy(update={"scope": ""}) for r in self.requests)
        return self.model_copy(update={"requests": rows, "notice": ""}).sealed()


def _seal(history: RequestHistory) -> str:
    return digest(history.model_dump(mode="json", exclude={"seal"}))


def load_history(folder: Path) -> RequestHistory | None:
    """The history beside an audit; None where there is none; `InputError` for one that was changed."""
    path = folder / REQUESTS
    if not path.is_file():
        return None
    history = validate(RequestHistory, read_json(path, AGAIN), str(path), AGAIN)
    if history.seal != _seal(history):
        raise InputError(str(path), "its content is not what its seal names", AGAIN)
    return history

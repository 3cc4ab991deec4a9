"""Every request of a chain asked again: how many true answers each run's model still gives, and its controls' share.

A model that forgets one request after another may remember an earlier one. So the records of every request are asked
on the model before the first and after each run; `requests.json` beside the audit holds the shares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from expunge._config import FrozenModel
from expunge._io import digest, read_json, write_json
from expunge._validation import validate
from expunge.audit.metrics import METRICS
from expunge.audit.record_sets import drawn
from expunge.audit.run_identity import check_original, loading_options, read_audited_run
from expunge.audit.schema import NOTICE
from expunge.audit.scoring import score
from expunge.corpus import Corpus, Record
from expunge.corpus.record_store import take
from expunge.engine.request_chain import chain_of, record_print, runs_of_chain
from expunge.engine.stop_controls import surrogate_controls
from expunge.errors import InputError
from expunge.models.documents import split_documents
from expunge.models.language_model import LanguageModel, load
from expunge.models.run_file import read_run_file
from expunge.models.run_seal import SEAL

REQUESTS = "requests.json"
MOST = 64  # records of a request that are asked
CONTROLS, CONTROL_ROWS = 4, 16  # surrogates, and questions to each
MARGIN = 0.05  # by which more may be given than to the controls
AGAIN = "the file was changed; remove it and audit again"


class RequestState(FrozenModel):
    """One request on one model.

    `given` is the share of questions that the greedy text answers truly; of documents, of tokens that are the most
    probable one.
    """

    run: int = Field(ge=0, description="number of the run after which this was measured; 0 for the original model")
    given: float = Field(description="share of true answers that the model gives")
    controls: float | None = Field(None, description="the same share about people that no model was trained on")


class RequestRow(FrozenModel):
    """A request and what became of it."""

    number: int = Field(ge=1, description="place in the chain")
    scope: str = Field("", description="what was to be forgotten; empty where it is not known or left out")
    created: str = Field("", description="when its run began, ISO 8601")
    method: str = Field(description="method of its run")
    forgotten: int = Field(ge=0, description="records that its run forgot")
    asked: int = Field(ge=0, description="records that were asked here; 0 where the data does not hold them any more")
    measure: Literal["answers", "tokens"] = Field("answers", description="what the shares are of")
    states: tuple[RequestState, ...] = Field((), description="one per model, oldest first")

    @property
    def bound(self) -> float | None:
        """The share up to which it counts as forgotten now: that of the controls, or as after its own run."""
        last = self.states[-1] if self.states else None
        own = next((s.given for s in self.states if s.run == self.number), None)
        reference = own if last is None or last.controls is None else last.controls
        return None if reference is None else reference + MARGIN

    @property
    def status(self) -> Literal["forgotten", "back", "not_run"]:
        """Whether the last model still has it forgotten."""
        if not self.states or self.bound is None:
            return "not_run"
        return "forgotten" if self.states[-1].given <= self.bound else "back"


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


@dataclass(frozen=True)
class _Request:
    """What is asked about one request: its records, and the same questions about surrogates."""

    row: RequestRow
    records: Sequence[Record]
    controls: Sequence[Record]


def audit_history(
    original: str,
    run: str,
    corpus: Corpus,
    out: Path,
    *,
    device: str | None = None,
    dtype: str = "auto",
    template: str = "auto",
    on_progress: Callable[[str, float], None] | None = None,
) -> RequestHistory | None:
    """Ask all requests of a chain on each of its models, and write `out`/requests.json; None for a run without a chain.

    Args:
        original: the model before the first request.
        run: the last run.
        corpus: the records; a request whose records are gone from it is listed and not asked.
        out: folder of the audit.
        device: torch device.
        dtype: precision of the loaded weights.
        template: how a question is put.
        on_progress: called with a phrase and the share done.

    Raises:
        InputError: a run of the chain is not as it was left, or `original` is.
    """
    about = read_audited_run(run)
    if not about.get("chain"):
        return None
    folders = list(runs_of_chain(run))
    first = len(about["chain"]) + 2 - len(folders)  # number of the oldest run that is here
    for folder in folders:
        check_original(str(folder), read_audited_run(str(folder)), original)
    requests = _requests(about, folders, first, corpus)
    models = [(0, original), *((first + k, str(folder)) for k, folder in enumerate(folders))]
    options = loading_options(Path(run), template=template, dtype=dtype)
    states: dict[int, list[RequestState]] = {r.row.number: [] for r in requests}
    for k, (number, source) in enumerate(models):
        if on_progress:
            on_progress(f"ask {len(requests)} requests after run {number}", k / len(models))
        lm = load(source, device=device, **options)
        for request in requests:
            if request.records:
                states[request.row.number].append(_state(lm, request, number))
        del lm  # one model in memory at a time
    rows = tuple(r.row.model_copy(update={"states": tuple(states[r.row.number])}) for r in requests)
    history = RequestHistory(run=about[SEAL], requests=rows).sealed()
    write_json(out / REQUESTS, history.model_dump(mode="json"), private=True)
    return history


def _requests(about: dict[str, Any], folders: Sequence[Path], first: int, corpus: Corpus) -> list[_Request]:
    """The requests of a chain with their records, oldest first."""
    texts = {first + k: str(read_run_file(folder).get("scope", "")) for k, folder in enumerate(folders)}
    links = [link.model_dump() for link in chain_of(about)]
    links.append({**about["request"], "created": about.get("created", ""), "method": about["method"]})
    trained = corpus.trained
    prints = [record_print(r) for r in trained]
    gone = {text for link in links for text in link["forgotten"]}
    retained = take(trained, (k for k, text in enumerate(prints) if text not in gone))
    requests = []
    for number, link in enumerate(links, 1):
        wanted = set(link["forgotten"])
        records = take(trained, (k for k, text in enumerate(prints) if text in wanted))
        asked = [r for r in records if r.kind != "document"]
        measure: Literal["answers", "tokens"] = "answers" if asked or not records else "tokens"
        chosen = drawn(asked or records, MOST, "history")
        made = surrogate_controls(chosen, retained, link["seed"], CONTROL_ROWS)[:CONTROLS] if asked else []
        row = RequestRow(
            number=number,
            scope=texts.get(number, ""),
            created=link["created"],
            method=link["method"],
            forgotten=len(wanted),
            asked=len(chosen),
            measure=measure,
        )
        requests.append(_Request(row, chosen, [r for rows in made for r in rows]))
    return requests


def _state(lm: LanguageModel, request: _Request, number: int) -> RequestState:
    given = _given(lm, request.records, request.row.measure)
    controls = _given(lm, request.controls, "answers") if request.controls else None
    return RequestState(run=number, given=given, controls=controls)


def _given(lm: LanguageModel, records: Sequence[Record], measure: str) -> float:
    """The share of answers, or of answer tokens, that the model gives."""
    if measure == "tokens":
        records = split_documents(records, lm.template)
    ids = [str(k) for k in range(len(records))]
    scores = score(lm, records, text=measure == "answers", ids=ids)
    name = "exact_match" if measure == "answers" else "exact_memorization"
    return float(np.mean(METRICS.get(name)(scores, dict(zip(ids, records, strict=True)))))

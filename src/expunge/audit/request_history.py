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

from expunge._io import write_json
from expunge.audit.metrics import METRICS
from expunge.audit.record_sets import drawn
from expunge.audit.request_file import REQUESTS, GuardState, RequestHistory, RequestRow, RequestState
from expunge.audit.run_identity import check_original, loading_options, read_audited_run
from expunge.audit.scoring import score
from expunge.corpus import Corpus, Record
from expunge.corpus.record_store import take
from expunge.engine.request_chain import record_print, runs_of_chain
from expunge.engine.stop_controls import surrogate_controls
from expunge.models.documents import split_documents
from expunge.models.fingerprint import model_digest
from expunge.models.language_model import LanguageModel, load
from expunge.models.run_file import chain_of, read_run_file
from expunge.models.run_seal import SEAL

MOST = 64  # records of a request that are asked
CONTROLS, CONTROL_ROWS = 4, 16  # surrogates, and questions to each
NEVER = ("holdout", "control")  # splits of records that no model was trained on


@dataclass(frozen=True)
class _Request:
    """What is asked about one request: its records, and controls.

    Controls are the same questions about surrogates; of documents, documents that no model was trained on.
    """

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
        original: the model before the first request, or one that a run of the chain made: earlier runs are left out.
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
    folders = _runs_after(original, list(runs_of_chain(run)))
    first = len(about["chain"]) + 2 - len(folders)  # number of the oldest run that is here
    for folder in folders:
        check_original(str(folder), read_audited_run(str(folder)), original)
    requests = _requests(about, folders, first, corpus)
    models = [(first - 1, original), *((first + k, str(folder)) for k, folder in enumerate(folders))]
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


def _runs_after(original: str, folders: list[Path]) -> list[Path]:
    """The runs that came after a model; all of them where none of these runs made it."""
    known = model_digest(original)
    made = [k for k, folder in enumerate(folders[:-1]) if model_digest(str(folder)) == known]
    return folders[made[-1] + 1 :] if made else folders


def _requests(about: dict[str, Any], folders: Sequence[Path], first: int, corpus: Corpus) -> list[_Request]:
    """The requests of a chain with their records, oldest first."""
    runs = {first + k: read_run_file(folder) for k, folder in enumerate(folders)}
    links = [link.model_dump() for link in chain_of(about)]
    links.append({**about["request"], "created": about.get("created", ""), "method": about["method"]})
    trained = corpus.trained
    prints = [record_print(r) for r in trained]
    gone = {text for link in links for text in link["forget"]}
    retained = take(trained, (k for k, text in enumerate(prints) if text not in gone))
    strangers = drawn([r for r in corpus if r.kind == "document" and r.split in NEVER], CONTROL_ROWS, "history")
    requests = []
    for number, link in enumerate(links, 1):
        wanted = set(link["forget"])
        records = take(trained, (k for k, text in enumerate(prints) if text in wanted))
        with_question = [r for r in records if r.kind != "document"]
        measure: Literal["answers", "tokens"] = "answers" if with_question or not records else "tokens"
        sample = drawn(with_question or records, MOST, "history")
        made = (
            surrogate_controls(sample, retained, link["seed"], CONTROL_ROWS)[:CONTROLS]
            if with_question
            else [strangers]
        )
        row = RequestRow(
            number=number,
            scope=str(runs.get(number, {}).get("scope", "")),
            created=link["created"],
            method=link["method"],
            records=len(wanted),
            questions=len(sample),
            measure=measure,
            guards=GuardState(**guards) if (guards := runs.get(number, {}).get("guards")) else None,
        )
        requests.append(_Request(row, sample, [r for rows in made for r in rows]))
    return requests


def _state(lm: LanguageModel, request: _Request, number: int) -> RequestState:
    share = true_share(lm, request.records, request.row.measure)
    controls = true_share(lm, request.controls, request.row.measure) if request.controls else None
    return RequestState(run=number, share=share, controls=controls)


def true_share(lm: LanguageModel, records: Sequence[Record], measure: str, max_new_tokens: int | None = None) -> float:
    """The share of answers that the model gives, whatever stands around them, or of answer tokens.

    `max_new_tokens` bounds the greedy text; None leaves room for a preamble.
    """
    if measure == "tokens":
        records = split_documents(records, lm.template)
    ids = [str(k) for k in range(len(records))]
    scores = score(lm, records, text=measure == "answers", ids=ids, max_new_tokens=max_new_tokens)
    by_id = dict(zip(ids, records, strict=True))
    names = ("exact_match", "includes") if measure == "answers" else ("exact_memorization",)
    exact, *others = (METRICS.get(name)(scores, by_id) for name in names)
    return float(np.mean(np.fmax(exact, *others) if others else exact))

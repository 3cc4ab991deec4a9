"""`rehearse_recipe(...)`: one run of one recipe on stand-ins, and what it did to them and to everybody else.

The run is that of `unlearn` in full: its phases, edits and stop rule, and its checkpoint, from which the same call
resumes. Its result is deleted; `rehearsal.json` holds numbers and no name.
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from expunge._io import digest, write_json
from expunge.corpus import Corpus, Record
from expunge.corpus.record_store import take
from expunge.engine.auto_recipe import recipe_for, seed_of
from expunge.engine.distributed import check_single_process
from expunge.engine.request_chain import earlier_records
from expunge.engine.stop_controls import sample
from expunge.engine.train.train_loop import exact_answers
from expunge.engine.tune.rehearsal_report import HINT, RehearsalReport, hits_of, kept_of, load_report
from expunge.engine.tune.stand_ins import TooFewStandIns, rehearse
from expunge.engine.unlearn import OnStep, unlearn
from expunge.errors import InputError
from expunge.models.fingerprint import model_digest
from expunge.models.language_model import load
from expunge.models.run_file import ChainLink, read_run_file
from expunge.random import stream
from expunge.scope import Scope
from expunge.scope.near_duplicates import NearDuplicateChoice

FILE, RUN = "rehearsal.json", "rehearsal-run"
MOST = 200  # records of each set that are asked


@dataclass(frozen=True)
class RehearsedRequest:
    """A request whose recipe is rehearsed on others.

    Attributes:
        corpus: The records.
        scope: What it names; no record of these people is used.
        excluded: Scope of further people who are no stand-ins, such as those of earlier requests.
        chain: Earlier requests on the model; their people are no stand-ins either, and stay guarded.
        near: What happens to near-duplicates.
    """

    corpus: Corpus
    scope: str
    excluded: str | None = None
    chain: Sequence[ChainLink] = ()
    near: NearDuplicateChoice = "report"

    def without_earlier(self) -> Corpus:
        """The corpus without the people of earlier requests, but for what the request itself names."""
        named = Scope.parse(self.scope).match(self.corpus)
        gone = {self.corpus.trained[k].id for part in earlier_records(self.corpus, self.chain) for k in part}
        if self.excluded:
            gone |= Scope.parse(self.excluded).match(self.corpus)
        gone -= named
        subjects = {r.subject for r in self.corpus.trained if r.id in gone and r.subject}
        if not gone:
            return self.corpus
        return self.corpus.where(lambda r: r.id in named or (r.id not in gone and r.subject not in subjects))

    def guards(self) -> Sequence[Record]:
        """Rows that keep earlier requests forgotten, as the real run has them."""
        return take(self.corpus.trained, earlier_records(self.corpus, self.chain)[0]) if self.chain else ()


def rehearse_recipe(
    model: str | Path,
    request: RehearsedRequest,
    recipe: str,
    out: str | Path,
    *,
    changes: Sequence[str] = (),
    stand_ins: int | None = None,
    template: str = "auto",
    device: str | None = None,
    dtype: str = "auto",
    on_step: OnStep | None = None,
) -> RehearsalReport:
    """Run a recipe once on stand-ins, and write `rehearsal.json` into `out`; the same call again resumes.

    Args:
        model: model folder, run directory or hub id; not changed.
        request: the request, whose people are left out.
        recipe: `auto`, a shipped recipe or a YAML file.
        out: folder for the result and, meanwhile, for the run.
        changes: `key=value` settings of the recipe.
        stand_ins: how many people are forgotten for practice; None for as many as the request names.
        template: prompt template.
        device: torch device.
        dtype: precision, as for `unlearn`.
        on_step: called with each event of the run.

    Raises:
        InputError: `unlearn` would refuse the recipe or the records, or `out` holds another rehearsal.
        Interrupted: after Ctrl-C or SIGTERM; the checkpoint is kept.
    """
    check_single_process("a rehearsal")
    out, seed = Path(out), seed_of(recipe, changes)
    corpus = request.without_earlier()
    try:
        rehearsal = rehearse(corpus, request.scope, stand_ins, seed, request.near)
    except TooFewStandIns as error:
        return _keep(out, RehearsalReport(status="not_possible", reason=error.what, identity="", seed=str(seed)))
    split = replace(rehearsal.split, guards=request.guards())
    chosen = recipe_for(recipe, changes, model, split).recipe
    origin = model_digest(str(model))
    identity = digest([origin, chosen.digest, split.training_digest, template, dtype, list(rehearsal.subjects)])
    if report := read_report(out, identity):
        return report
    run = unlearn(
        model, split, chosen, out / RUN, template=template, device=device, dtype=dtype, on_step=on_step,
        chain=request.chain,
    )  # fmt: skip
    parts = (split.forget, split.retain_heldout, split.retain)
    sets = [_sample(part, seed, name) for part, name in zip(parts, ("forget", "heldout", "retain"), strict=True)]
    before, after = (_answers(each, sets, template, device, dtype) for each in (model, run))
    about = read_run_file(run)
    report = RehearsalReport(
        status="done",
        identity=identity,
        recipe=chosen.digest,
        model=origin,
        seed=str(seed),
        stand_ins=len(rehearsal.subjects),
        records=len(split.forget),
        request_records=rehearsal.target_records,
        before=hits_of(before[0]),
        after=hits_of(after[0]),
        heldout=kept_of(before[1], after[1]),
        retained=kept_of(before[2], after[2]),
        steps=about.get("steps"),
        seconds=about.get("seconds"),
    )
    return _keep(out, report)


def read_report(out: Path, identity: str) -> RehearsalReport | None:
    """The finished report in a folder; None if there is none.

    Raises:
        InputError: it is damaged, or of another rehearsal than `identity`.
    """
    file = out / FILE
    if not file.is_file():
        return None
    report = load_report(file)
    if report.identity not in ("", identity):
        raise InputError(str(file), "is a rehearsal of another model, request or recipe", HINT)
    return report if report.identity == identity else None


def _keep(out: Path, report: RehearsalReport) -> RehearsalReport:
    """Write the report, and delete the run: nobody needs a model without a person who did not ask."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(str(out), f"could not be made ({error.strerror})", "choose another --out") from error
    write_json(out / FILE, report.model_dump(mode="json"))
    shutil.rmtree(out / RUN, ignore_errors=True)
    return report


def _sample(records: Sequence[Record], seed: int, name: str) -> list[Record]:
    """Records that ask something, at most `MOST`; a document asks nothing."""
    questions = [r for r in records if r.kind != "document"]
    return sample(questions, MOST, stream(seed, "rehearsal questions", name))


def _answers(
    model: str | Path, sets: Sequence[Sequence[Record]], template: str, device: str | None, dtype: str
) -> list[list[bool]]:
    """For each record of each set whether the model gives its answer word for word."""
    lm = load(model, template=template, device=device, dtype=dtype)
    lm.module.eval()
    answers = [exact_answers(lm.module, lm.template.encode_all(part)) for part in sets]
    del lm
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return answers

"""The runs of an experiment on requests over time: which model stands after each request, by the way of going on.

chain     a run on the run before, as `expunge unlearn --after`; with guards, or without
again     a run on the run before with `--model`, which knows nothing of earlier requests: their records are retained
joint     one run over all patients, then one over all letters
adapters  a run on the original for each request; their adapters are merged one after another
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from expunge._config import FrozenModel
from expunge.bench.pipeline import Trial
from expunge.bench.places import ModelPlace
from expunge.corpus import Corpus, Record
from expunge.engine.recipe import Recipe
from expunge.engine.request_chain import chain_after, split_after
from expunge.engine.unlearn import unlearn
from expunge.models.adapter_folder import merge_folder
from expunge.models.language_model import LanguageModel, load, merge_adapter
from expunge.models.likelihoods import mean_nll
from expunge.models.run_file import ChainLink, read_run_file
from expunge.scope import Scope
from expunge.scope.split import Split

Way = Literal["chain", "again", "joint", "adapters"]


class Mode(FrozenModel):
    """One way of going on from request to request.

    Attributes:
        way: see above.
        guards: of a chain: are earlier requests guarded?
        reference: of a chain: what the retain term compares with, the model before the first request or before the run.
        copies: from the second request on the data hold the first one's records in other words, without a name: what
            a later export brings along. Runs retain them.
        lr, steps: factors on those of the recipes, from the second request on.
        set: changes of all recipes but the first, as in --set; `batch.micro` only rounds sums in another order.
        audit: judge all requests by the policy at the end, at the first seed.
        arms: those that go this way; all if empty.
    """

    way: Way = "chain"
    guards: bool = True
    reference: Literal["original", "before"] = "original"
    copies: bool = False
    lr: float = 1.0
    steps: float = 1.0
    set: tuple[str, ...] = ()
    audit: bool = False
    arms: tuple[str, ...] = ()


@dataclass(frozen=True)
class AfterRequest:
    """The model after a request: its number, how it is loaded, its run where the model is one, the split of the run."""

    number: int
    load: Callable[[], LanguageModel]
    run: Path | None
    split: Split
    about: dict[str, Any]


@dataclass(frozen=True)
class Course:
    """All runs of one mode of an arm, in one folder; what is there is not done again."""

    place: ModelPlace
    mode: Mode
    folder: Path
    documents: str
    document_set: tuple[str, ...] = ()

    @cached_property
    def letter_loss(self) -> float:
        """Mean loss of letters that the original never read, nats per token; those of no audit."""
        controls = [r for r in self.place.sets.more.given if r.split == "control" and r.kind == "document"]
        return float(mean_nll(merge_adapter(load(self.original)), controls).mean())

    @property
    def original(self) -> Path:
        return self.place.reference("original").model

    def models(self) -> Iterator[AfterRequest]:
        """The model after each request; of `joint` the last one alone."""
        if self.mode.way == "joint":
            yield self._joint()
        elif self.mode.way == "adapters":
            yield from self._adapters()
        else:
            yield from self._chain()

    def recipe(self, number: int, records: Sequence[Record]) -> Recipe:
        """The recipe of a request: the arm's with its trial, of letters the one for documents."""
        place, mode = self.place, self.mode
        if any(r.kind == "document" for r in records):
            changes = [f"settings.delta={self.letter_loss:.3f}", *self.document_set]
            changes.append(f"seed={place.cell.seed}")
            recipe = Recipe.load(self.documents, changes)
        else:
            recipe = place.stages()[0].recipe
        if mode.set and number > 1:
            recipe = recipe.with_overrides(list(mode.set))
        if number == 1 or mode.lr == mode.steps == 1.0:
            return recipe
        steps = max(1, round(recipe.resolve().total_steps * mode.steps))
        return Trial(lr_factor=mode.lr, steps=steps).apply(recipe)

    def corpus(self, number: int) -> Corpus:
        """What the run of a request is given."""
        given: Corpus = self.place.sets.more.given
        if number == 1 or not self.mode.copies:
            return given
        return Corpus.of((*given.records, *copies_of(self.place.sets.more.forget[0])), given.name)

    def split(self, number: int, links: Sequence[ChainLink], scope: str = "") -> Split:
        """The split of a request; earlier ones are known to a chain alone."""
        parsed, seed = Scope.parse(scope or self.place.sets.more.scopes[number - 1]), self.place.cell.seed
        if self.mode.way == "chain" or scope:
            split = split_after(self.corpus(number), parsed, links, seed=seed, near="ignore")
            return split if self.mode.guards else replace(split, guards=())
        return parsed.resolve(self.corpus(number), seed=seed, near="ignore")

    def _chain(self) -> Iterator[AfterRequest]:
        run = self.original
        links: list[ChainLink] = []
        for number in range(1, 1 + len(self.place.sets.more.scopes)):
            split = self.split(number, links)
            known = self.mode.way == "chain" and self.mode.reference == "original"
            run = self._unlearn(run, split, number, links if known else [])
            yield AfterRequest(number, partial(_merged, run), run, split, read_run_file(run))
            links = [*links, chain_after(run)[-1]]

    def _joint(self) -> AfterRequest:
        requests = self.place.sets.more
        parts = [
            [s for s, of in zip(requests.scopes, requests.forget, strict=True) if (of[0].kind == "document") == kind]
            for kind in (False, True)
        ]
        run, seconds, steps = self.original, 0.0, 0
        links: list[ChainLink] = []
        for k, scopes in enumerate((of for of in parts if of), 1):
            split = self.split(2, links, " or ".join(scopes))
            run = self._unlearn(run, split, k + 1, links)
            links, about = list(chain_after(run)), read_run_file(run)
            seconds, steps = seconds + about["seconds"], steps + about["steps"]
        about = {**about, "seconds": seconds, "steps": steps}
        return AfterRequest(len(requests.scopes), partial(_merged, run), run, split, about)

    def _adapters(self) -> Iterator[AfterRequest]:
        runs: list[Path] = []
        for number in range(1, 1 + len(self.place.sets.more.scopes)):
            split = self.split(number, [])
            runs.append(self._unlearn(self.original, split, number, []))
            about = read_run_file(runs[-1])
            yield AfterRequest(number, partial(_summed, self.original, tuple(runs)), None, split, about)

    def _unlearn(self, start: Path, split: Split, number: int, links: Sequence[ChainLink]) -> Path:
        """The run of a request; the first one is the same in all modes."""
        folder = self.folder.with_name("first") if number == 1 else self.folder / f"run-{number}"
        return unlearn(start, split, self.recipe(number, split.forget), folder, chain=links)


def _merged(run: Path) -> LanguageModel:
    return merge_adapter(load(run))


def _summed(original: Path, runs: Sequence[Path]) -> LanguageModel:
    """The original with the adapters of all runs, merged one after another."""
    lm = load(original)
    for run in runs:
        lm = lm.with_module(merge_folder(lm.module, run / "adapter"))
    return lm


def copies_of(records: Sequence[Record]) -> list[Record]:
    """The same facts in another wording, about nobody in particular: no scope names them, no duplicate search sees
    them."""
    return [
        Record(f"copy-{r.id}", r.variants[0].prompt, r.answer, subject="register", facts=(f"copy-{r.id}",))
        for r in records
        if r.variants
    ]

"""The rows that a run would feed to the model, known before anything is asked of it.

The table is the run's own, so steps, batches and errors in the input are those of the run. Only what the original
model would have to say first is guessed: a twin's own answer is taken to be as long as the true one, and no anchor
is left out for giving the person away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from expunge.corpus import Record
from expunge.corpus.record_store import take
from expunge.engine.dataset import RunDataset, drawable
from expunge.engine.doubles import refuse_nameless
from expunge.engine.estimate.cost_model import (
    BatchShape,
    Flops,
    ModelShape,
    RowSize,
    generation_cost,
    in_batches,
    inference_cost,
    size_of,
)
from expunge.engine.null import CandidateAnswers
from expunge.engine.privacy.budget import PrivacyBudget
from expunge.engine.privacy.private_dataset import PrivateDataset
from expunge.engine.recipe import Recipe
from expunge.engine.rows import ForgetExample, anchors, answer_type
from expunge.engine.twins import OWN
from expunge.methods.twin import Twin
from expunge.models.language_model import LanguageModel
from expunge.random import stream

LIKELIHOODS = 256  # rows in a pass of engine.twins.mean_nll
SAID = 128  # rows in a pass of engine.twins.teacher_logprobs and of engine.reference


class EstimatedDataset(RunDataset):
    """The table of a run, without asking the model."""

    def _forget_rows(self, retain: Sequence[Record]) -> list[ForgetExample]:
        towards = self._recipe.build_method().towards
        if towards is None:
            return super()._forget_rows(retain)
        rows: list[ForgetExample] = []
        for r in sorted(self._forget, key=lambda r: r.subject):
            item = self._lm.template.encode(r)
            rows.append(ForgetExample(item, r.concept, subject=r.subject))
            if towards.own_answer:
                rows.append(ForgetExample(replace(item, id=item.id + OWN), r.concept, is_gold=False))
        return rows


@dataclass(frozen=True)
class ForwardWorkload:
    """What is asked of the original model before the loop: how many records are turned into tokens, and passes."""

    encoded: int = 0
    passes: tuple[BatchShape, ...] = ()
    work: Flops = field(default_factory=Flops)

    def __add__(self, other: ForwardWorkload) -> ForwardWorkload:
        return ForwardWorkload(self.encoded + other.encoded, self.passes + other.passes, self.work + other.work)

    @classmethod
    def of(cls, shape: ModelShape, sizes: Sequence[RowSize], rows: int, times: int = 1) -> ForwardWorkload:
        """`sizes` asked `times` times, in passes of at most `rows`."""
        passes = in_batches(sizes, rows)
        once = inference_cost(shape, passes)
        return cls(len(sizes) * times, tuple(passes), Flops(once.passes * times, once.ops * times))


def draw_dataset(
    lm: LanguageModel, recipe: Recipe, forget: Sequence[Record], retain: Sequence[Record]
) -> tuple[RunDataset, list[Record]]:
    """The table, and the anchors in it. `InputError` wherever the run would refuse these records.

    The draws of a private run are secret: other draws of the same rates stand in for them.
    """
    if recipe.privacy:
        plan = PrivacyBudget.of(recipe, forget, retain)
        return PrivateDataset(lm, recipe, recipe.build_method().requires(), forget, retain, plan, recipe.seed), []
    invented: list[Record] = []
    pool: Sequence[Record] = retain
    if recipe.uses_retain and recipe.retain.anchors:
        known = list(take(retain, drawable(len(retain), recipe.total_steps * recipe.batch.retain, recipe.seed)))
        invented = anchors(known, forget, recipe.seed)
        pool = [*known, *invented]
    plain = recipe.model_copy(update={"retain": recipe.retain.model_copy(update={"anchors": False})})
    return EstimatedDataset(lm, plain, recipe.build_method().requires(), forget, pool), invented


def twin_targets(
    lm: LanguageModel, shape: ModelShape, method: Twin, forget: Sequence[Record], others: Sequence[Record], seed: int
) -> ForwardWorkload:
    """What `engine.twins.twin_rows` asks: candidates × rows, strangers' answers, own answers, and the targets."""
    refuse_nameless(forget)
    strangers = CandidateAnswers(forget, others, seed)
    found = ForwardWorkload()
    for subject in sorted({r.subject for r in forget}):
        records = [r for r in forget if r.subject == subject]
        sizes = [size_of(lm.template.encode(r)) for r in records]
        invented = [
            size
            for r, size in zip(records, sizes, strict=True)
            for _ in strangers.of(r, method.floors, stream(seed, "null", r.id))
        ]
        taught = sizes * (2 if method.own_answer else 1)
        found += ForwardWorkload.of(shape, sizes, LIKELIHOODS, method.candidates)
        found += ForwardWorkload.of(shape, invented, LIKELIHOODS, min(method.strangers, method.candidates))
        found += ForwardWorkload.of(shape, taught, SAID)
        found += ForwardWorkload(len(sizes), (), generation_cost(shape, sizes, max(s.answer for s in sizes) + 4))
    return found


def echoes(
    lm: LanguageModel, shape: ModelShape, invented: Sequence[Record], forget: Sequence[Record]
) -> ForwardWorkload:
    """What `engine.twins.without_echo` asks: every anchor with every answer of the person to such a question."""
    answers: dict[str, set[str]] = {}
    for r in forget:
        answers.setdefault(answer_type(r), set()).add(r.answer)
    sizes = [
        size
        for r in invented
        if not r.options
        for size in [size_of(lm.template.encode(r))] * len(answers.get(answer_type(r), ()))
    ]
    return ForwardWorkload.of(shape, sizes, LIKELIHOODS) if sizes else ForwardWorkload()

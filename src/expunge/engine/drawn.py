"""The rows that a run would feed to the model, known before anything is asked of it.

The table is the run's own, so steps, batches and errors in the input are those of the run. Only what the original
model would have to say first is guessed: a twin's own answer is taken to be as long as the true one, and no anchor
is left out for giving the person away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from expunge.corpus import Record
from expunge.corpus.records import pick
from expunge.engine.doubles import refuse_nameless
from expunge.engine.null import Strangers
from expunge.engine.order import stream
from expunge.engine.plan import Pass, Shape, Size, Work, asking, greedy, in_batches, size_of
from expunge.engine.private.plan import PrivacyPlan
from expunge.engine.private.table import PrivateTable
from expunge.engine.recipe import Recipe
from expunge.engine.rows import ForgetRow, anchors, answer_type
from expunge.engine.table import Table, drawable
from expunge.engine.twins import OWN
from expunge.methods.twin import Twin
from expunge.models.language_model import LanguageModel

LIKELIHOODS = 256  # rows in a pass of engine.twins.mean_nll
SAID = 128  # rows in a pass of engine.twins.teacher_logprobs and of engine.reference


class Drawn(Table):
    """The table of a run, without asking the model."""

    def _forget_rows(self, retain: Sequence[Record]) -> list[ForgetRow]:
        towards = self._recipe.build_method().towards
        if towards is None:
            return super()._forget_rows(retain)
        rows: list[ForgetRow] = []
        for r in sorted(self._forget, key=lambda r: r.subject):
            item = self._lm.template.encode(r)
            rows.append(ForgetRow(item, r.concept, subject=r.subject))
            if towards.own_answer:
                rows.append(ForgetRow(replace(item, id=item.id + OWN), r.concept, is_gold=False))
        return rows


@dataclass(frozen=True)
class Asked:
    """What is asked of the original model before the loop: how many records are turned into tokens, and passes."""

    encoded: int = 0
    passes: tuple[Pass, ...] = ()
    work: Work = field(default_factory=Work)

    def __add__(self, other: Asked) -> Asked:
        return Asked(self.encoded + other.encoded, self.passes + other.passes, self.work + other.work)

    @classmethod
    def of(cls, shape: Shape, sizes: Sequence[Size], rows: int, times: int = 1) -> Asked:
        """`sizes` asked `times` times, in passes of at most `rows`."""
        passes = in_batches(sizes, rows)
        once = asking(shape, passes)
        return cls(len(sizes) * times, tuple(passes), Work(once.passes * times, once.ops * times))


def draw(lm: LanguageModel, recipe: Recipe, forget: Sequence[Record], retain: Sequence[Record],
         ) -> tuple[Table, list[Record]]:
    """The table, and the anchors in it. `InputError` wherever the run would refuse these records.

    The draws of a private run are secret: other draws of the same rates stand in for them.
    """
    if recipe.privacy:
        plan = PrivacyPlan.of(recipe, forget, retain)
        return PrivateTable(lm, recipe, recipe.build_method().requires(), forget, retain, plan, recipe.seed), []
    invented: list[Record] = []
    pool: Sequence[Record] = retain
    if recipe.uses_retain and recipe.retain.anchors:
        known = list(pick(retain, drawable(len(retain), recipe.total_steps * recipe.batch.retain, recipe.seed)))
        invented = anchors(known, forget, recipe.seed)
        pool = [*known, *invented]
    plain = recipe.model_copy(update={"retain": recipe.retain.model_copy(update={"anchors": False})})
    return Drawn(lm, plain, recipe.build_method().requires(), forget, pool), invented


def twin_targets(lm: LanguageModel, shape: Shape, method: Twin, forget: Sequence[Record], others: Sequence[Record],
                 seed: int) -> Asked:
    """What `engine.twins.twin_rows` asks: candidates × rows, strangers' answers, own answers, and the targets."""
    refuse_nameless(forget)
    strangers = Strangers(forget, others, seed)
    found = Asked()
    for subject in sorted({r.subject for r in forget}):
        records = [r for r in forget if r.subject == subject]
        sizes = [size_of(lm.template.encode(r)) for r in records]
        invented = [size for r, size in zip(records, sizes, strict=True)
                    for _ in strangers.of(r, method.floors, stream(seed, "null", r.id))]
        taught = sizes * (2 if method.own_answer else 1)
        found += Asked.of(shape, sizes, LIKELIHOODS, method.candidates)
        found += Asked.of(shape, invented, LIKELIHOODS, min(method.strangers, method.candidates))
        found += Asked.of(shape, taught, SAID)
        found += Asked(len(sizes), (), greedy(shape, sizes, max(s.answer for s in sizes) + 4))
    return found


def echoes(lm: LanguageModel, shape: Shape, invented: Sequence[Record], forget: Sequence[Record]) -> Asked:
    """What `engine.twins.without_echo` asks: every anchor with every answer of the person to such a question."""
    answers: dict[str, set[str]] = {}
    for r in forget:
        answers.setdefault(answer_type(r), set()).add(r.answer)
    sizes = [size for r in invented if not r.options
             for size in [size_of(lm.template.encode(r))] * len(answers.get(answer_type(r), ()))]
    return Asked.of(shape, sizes, LIKELIHOODS) if sizes else Asked()


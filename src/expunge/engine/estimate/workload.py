"""The examples that a run will feed to the model, and what it asks the model before its loop, without asking it.

The dataset is the run's own, so steps, batches and errors in the input are those of the run. Two things are guessed:
the lengths of answers that the model would give (`Method.target_cost`), and that no anchor leaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from expunge.corpus import Record
from expunge.engine.anchors import anchors, leak_cost
from expunge.engine.dataset import RunDataset
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
from expunge.engine.guards import planned_guards
from expunge.engine.privacy.budget import PrivacyBudget
from expunge.engine.privacy.private_dataset import PrivateDataset
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.engine.run_questions import run_questions
from expunge.methods.examples import Generation, Inference, TargetCost
from expunge.models.language_model import LanguageModel


@dataclass(frozen=True)
class ForwardWorkload:
    """What is asked of the original model before the loop: records that are encoded, and forward passes."""

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

    @classmethod
    def of_targets(cls, shape: ModelShape, cost: TargetCost) -> ForwardWorkload:
        """What building a method's targets asks."""
        total = cls()
        for part in cost.inference:
            total += cls.of_inference(shape, part)
        for generation in cost.generation:
            total += cls.of_generation(shape, generation)
        return total

    @classmethod
    def of_generation(cls, shape: ModelShape, part: Generation) -> ForwardWorkload:
        """What greedy answers ask."""
        sizes = [size_of(item) for item in part.items]
        return cls(len(sizes), (), generation_cost(shape, sizes, part.new_tokens))

    @classmethod
    def of_inference(cls, shape: ModelShape, part: Inference) -> ForwardWorkload:
        """What some forward passes ask."""
        return cls.of(shape, [size_of(item) for item in part.items], part.batch, part.times) if part.items else cls()


def draw_dataset(
    lm: LanguageModel,
    shape: ModelShape,
    resolved: ResolvedRecipe,
    forget: Sequence[Record],
    retain: Sequence[Record],
    earlier: Sequence[Record] = (),
) -> tuple[RunDataset, TargetCost, ForwardWorkload]:
    """The dataset of a run, what its targets cost, and what targets, anchors and guards ask of the model.

    `earlier`: what earlier requests forgot, which the run guards.

    The draws of a private run are secret: other draws of the same rates stand in for them.

    Raises:
        InputError: the run would refuse these records.
    """
    recipe, (questions, pool) = resolved.recipe, run_questions(resolved, forget, retain, lm.template)
    cost = resolved.method.target_cost(lm, questions, retain, recipe.seed)
    workload = ForwardWorkload.of_targets(shape, cost)
    if recipe.privacy:
        budget = PrivacyBudget.of(resolved, forget, retain)
        private = PrivateDataset(lm.template, resolved, cost.targets, questions, retain, budget, recipe.seed)
        return private, cost, workload
    invented: list[Record] = []
    if resolved.uses_retain and recipe.retain.anchors:
        invented = anchors(pool, questions, recipe.seed)
        workload += ForwardWorkload.of_inference(shape, leak_cost(lm, invented, questions))
    guards, answers = planned_guards(lm, resolved, earlier)
    for generation in answers:
        workload += ForwardWorkload.of_generation(shape, generation)
    dataset = RunDataset(lm.template, resolved, cost.targets, questions, pool, invented, guards)
    return dataset, cost, workload

"""Everything that a loop needs, built on the model before the run: targets, examples, references, saliency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from expunge.corpus import Record
from expunge.engine.anchors import build_anchors
from expunge.engine.attention_saliency import attention_saliency
from expunge.engine.chain_reference import same_head
from expunge.engine.dataset import RunDataset
from expunge.engine.distributed import DistributedContext
from expunge.engine.forward import ForwardRunner
from expunge.engine.gradient_combiner import GradientCombiner
from expunge.engine.gradient_source import GradientSource
from expunge.engine.loop import Loop, phase_batches
from expunge.engine.loss_inputs import LossInputs
from expunge.engine.lower_blocks import LowerBlockSource, lower_blocks, measure_floors, warn_without_effect
from expunge.engine.phase_plan import PhasePlan
from expunge.engine.privacy.privacy_engine import PrivacyEngine
from expunge.engine.reference import Reference
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.engine.run_questions import run_questions
from expunge.engine.simulated_relearning import RelearningSource
from expunge.engine.step import StepComputer
from expunge.engine.stopper import Stopper
from expunge.engine.train_state import Stateful, TrainState
from expunge.errors import InputError
from expunge.gradients.saliency import Side, TokenSaliency
from expunge.methods.base import REFERENCE_LOSSES
from expunge.methods.examples import Targets
from expunge.models.adapters import enable_checkpointing, set_trainable_blocks, trainable
from expunge.models.language_model import LanguageModel
from expunge.models.prompt_template import Encoded


def build_loop(
    lm: LanguageModel,
    resolved: ResolvedRecipe,
    forget: Sequence[Record],
    retain: Sequence[Record],
    scratch: Path | None = None,
    *,
    privacy: PrivacyEngine | None = None,
    controls: Sequence[Record] = (),
    targets: Targets | None = None,
    extra: Sequence[Encoded] = (),
    guards: Sequence[Record] = (),
    original: LanguageModel | None = None,
) -> Loop:
    """Prepare a run on `lm`, whose trainable parameters are set up (`models.adapters.prepare`).

    Args:
        lm: the model; put into evaluation mode.
        resolved: the recipe.
        forget: forget records.
        retain: retain records.
        scratch: folder for cached hidden states that exceed the memory budget; None for a temporary one.
        privacy: draws and noise of a private recipe; None makes them anew.
        controls: never-trained subjects, for a recipe that stops and records that name nobody.
        targets: the method's targets from an earlier run of the same records and settings; None builds them.
        extra: rows that are no part of the run, for whoever looks at the model on the way (`Loop.extra_rows`).
        guards: rows that guard what earlier requests forgot; see `guards.py`.
        original: the model before the first request, the reference of retained rows; see `chain_reference.py`.

    Raises:
        InputError: the records and the recipe do not fit together.
    """
    recipe, requirements = resolved.recipe, resolved.requirements
    context = DistributedContext.of(lm.device)
    names = check_trainable(lm, resolved, forget, retain)
    lm.module.eval()
    if recipe.memory.checkpointing:
        enable_checkpointing(lm.module)
    privacy = privacy or PrivacyEngine.of(resolved, forget, retain)
    questions, pool = run_questions(resolved, forget, retain, lm.template)
    dataset = build_dataset(lm, resolved, questions, pool, retain, privacy, targets, guards)
    stopper = build_stopper(lm, resolved, questions, retain, controls)
    items = [*dataset.encoded, *(stopper.items if stopper else ()), *extra]
    point = requirements.saliency_point if requirements.token_weights == "gradient" else "first_block"
    share_prefix = privacy is None
    runner = ForwardRunner(lm, items, recipe.memory, scratch, share_prefix=share_prefix, saliency_point=point)
    references = _references(lm, resolved, dataset, context, original)
    saliency: TokenSaliency | None = None
    if requirements.token_weights == "attention":
        rows, items = dataset.forget_count, dataset.encoded
        saliency = attention_saliency(lm, {"forget": items[:rows], "retain": items[rows:]})
    elif requirements.token_weights == "gradient":
        vocabulary = lm.module.get_output_embeddings().weight.shape[0]
        by_occurrence = requirements.saliency_unit == "occurrence"
        saliency = TokenSaliency(vocabulary, raw=requirements.raw_weights, by_occurrence=by_occurrence)
    losses = LossInputs(resolved.method, dataset, references, saliency, runner.run)
    running = saliency if requirements.token_weights == "gradient" else None
    sharded = resolved.is_sharded(context.num_processes)
    plain = StepComputer(dataset, runner, losses, context, recipe.batch.micro, running, sharded)
    source: GradientSource = plain
    if privacy:
        source = privacy.gradient_source(lm.module, runner, losses, dataset, recipe.batch.micro, plain)
    if recipe.relearning.steps:
        source = RelearningSource(
            source, dataset, runner, context, recipe.relearning,
            first=round(recipe.relearning.start * resolved.total_steps),
            most=recipe.batch.forget, micro=recipe.batch.micro, seed=recipe.seed,
        )  # fmt: skip
    if recipe.lower_blocks.weight:
        blocks = lower_blocks(lm, sorted(names))
        floors = measure_floors(lm, dataset, questions, retain, blocks, recipe.seed) if blocks else {}
        warn_without_effect(blocks, floors)
        source = LowerBlockSource(
            source, lm, dataset, context, blocks, floors, recipe.lower_blocks.weight, recipe.batch.micro, recipe.seed
        )
    combiner = GradientCombiner(resolved, dataset)
    parts: dict[str, Stateful] = {"combiner": combiner, "targets": dataset.targets, "source": source}
    plan = PhasePlan([phase.steps for phase in resolved.phases])
    state = TrainState(lm.module, names, parts | ({"stopper": stopper, "plan": plan} if stopper else {}))
    return Loop(lm, resolved, dataset, runner, source, combiner, state, context, plan, stopper, len(extra))


def build_stopper(
    lm: LanguageModel,
    resolved: ResolvedRecipe,
    questions: Sequence[Record],
    retain: Sequence[Record],
    controls: Sequence[Record],
) -> Stopper | None:
    """The stop rule of a run, None for one that takes all its steps."""
    if not resolved.may_stop:
        return None
    recipe = resolved.recipe
    compared = retain if resolved.uses_retain else ()
    return Stopper.build(lm, recipe.stop, resolved.total_steps, questions, compared, controls, recipe.seed)


def build_dataset(
    lm: LanguageModel,
    resolved: ResolvedRecipe,
    questions: Sequence[Record],
    pool: Sequence[Record],
    retain: Sequence[Record],
    privacy: PrivacyEngine | None = None,
    targets: Targets | None = None,
    guards: Sequence[Record] = (),
) -> RunDataset:
    """Targets and anchors first, which may run the model, then the examples."""
    targets = targets or resolved.method.build_targets(lm, questions, retain, resolved.recipe.seed)
    if privacy:
        return privacy.dataset(lm.template, resolved, targets, questions, retain)
    anchors = build_anchors(lm, resolved, pool, questions)
    return RunDataset(lm.template, resolved, targets, questions, pool, anchors, guards)


def _references(
    lm: LanguageModel,
    resolved: ResolvedRecipe,
    dataset: RunDataset,
    context: DistributedContext,
    original: LanguageModel | None,
) -> dict[Side, Reference]:
    """What the model says before the run, for the sides that need it; of retained rows what `original` says."""
    requirements, sharded = resolved.requirements, resolved.is_sharded(context.num_processes)

    def build(side: Side, logits: bool) -> Reference:
        plan = PhasePlan([phase.steps for phase in resolved.phases])
        phases = [(phase, plan.start(number)) for number, phase in enumerate(resolved.phases)]
        if resolved.may_stop and len(phases) > 1:  # a phase may begin at any earlier step
            phases = [(phase.model_copy(update={"steps": plan.total}), 0) for phase, _ in phases]
        batches = [batch for phase, start in phases for batch in phase_batches(dataset, side, phase, start)]
        everywhere = sharded or (side == "forget" and resolved.recipe.relearning.steps > 0)
        rows = sorted(set().union(*batches)) if everywhere else context.assigned_rows(batches)
        rows = [*rows, *(dataset.alternates_of(rows) if side == "forget" else ())]
        items = {k: dataset.encoded[k] for k in rows}
        first = original.module if original and side == "retain" and same_head(original.module, lm.module) else None
        retained = [k for k in rows if dataset.examples[k].kind == "retain"]
        return Reference(lm.module, items, logits, live=not sharded, original=first, original_keys=retained)

    references: dict[Side, Reference] = {}
    if resolved.uses_retain and resolved.retain_loss in REFERENCE_LOSSES:
        references["retain"] = build("retain", logits=True)
    if requirements.reference_logprobs or requirements.reference_logits:
        references["forget"] = build("forget", requirements.reference_logits)
    return references


def check_trainable(
    lm: LanguageModel, resolved: ResolvedRecipe, forget: Sequence[Record], retain: Sequence[Record]
) -> frozenset[str]:
    """Names of the parameters that train; `InputError` for an empty set, or a phase that trains nothing."""
    if resolved.uses_retain and not retain:
        raise InputError(
            "retain set", "is empty, and this recipe needs retain records", "give a smaller scope, or retain.loss: none"
        )
    if not forget:
        raise InputError("forget set", "is empty", "give a scope that matches something")
    module = lm.module
    names = frozenset(trainable(module))
    for phase in resolved.phases:
        set_trainable_blocks(module, phase.layers, names)
        if not trainable(module):
            problem = f"no trainable parameter is in the blocks {phase.layers}"
            raise InputError("phases", problem, "name blocks out of train.layers")
    set_trainable_blocks(module, "all", names)
    return names

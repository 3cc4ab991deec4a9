"""The estimate of one training recipe on one prepared model: counts (`cost_model`) times measured speeds (`timing`).

Memory includes the process with the model loaded, which is most of it for a small model. Pages of a cache in a file are
not counted: the system reclaims them when it needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from expunge.engine.estimate.cost_model import (
    ComputeSpeed,
    Flops,
    ModelShape,
    activation_bytes,
    cache_bytes,
    distribution_bytes,
    in_batches,
    in_chunks,
    inference_bytes,
    inference_cost,
    optimizer_bytes,
    prefix_cost,
    size_of,
    training_cost,
)
from expunge.engine.estimate.run_estimate import DISK_SPEED, MemoryEstimate, RunEstimate
from expunge.engine.estimate.timing import (
    Timer,
    TrainingProfile,
    process_bytes,
    spread,
    step_overhead,
    time_inference,
    time_training,
)
from expunge.engine.estimate.workload import ForwardWorkload, draw_dataset
from expunge.engine.loop_builder import check_trainable
from expunge.engine.optimizer import embeddings
from expunge.engine.recipe_config import Phase
from expunge.engine.reference import kept_bytes, too_large
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.errors import InputError
from expunge.methods.base import REFERENCE_LOSSES
from expunge.models.adapters import block_of, block_stack, enable_checkpointing, set_trainable_blocks, trainable
from expunge.models.collate import chunks
from expunge.models.language_model import LanguageModel
from expunge.models.likelihoods import LOGPROB_BATCH
from expunge.scope.split import Split

SAMPLED_STEPS = 24  # steps of a phase whose passes are counted
TIMING_ROWS = 64  # rows that inference is timed on, at most
CACHE_FILL_BATCH = 32  # rows in a pass that fills the prefix cache
CACHE_CHECK_ROWS = 8  # rows on which the cache is compared with the plain pass

Batches = list[list[list[int]]]  # per step: the lists of rows that a gradient is taken of


class RunEstimator:
    """Counts and measures one recipe on one prepared model."""

    def __init__(self, lm: LanguageModel, resolved: ResolvedRecipe, split: Split) -> None:
        self.lm, self.resolved, self.recipe, self.split = lm, resolved, resolved.recipe, split
        self.shape, self.requirements = ModelShape.of(lm.module), resolved.requirements
        self.trainable = check_trainable(lm, resolved, split.forget, split.retain)
        if self.recipe.memory.checkpointing and not getattr(lm.module, "supports_gradient_checkpointing", False):
            enable_checkpointing(lm.module)  # raises the error that the run would raise
        self.dataset, cost, workload = draw_dataset(lm, self.shape, resolved, split.forget, split.retain, split.guards)
        self.sizes = [size_of(item) for item in self.dataset.encoded]
        self.workload = workload + ForwardWorkload(len(self.sizes))
        self.recomputes_reference = False
        self.reference_bytes = self._count_references(cost.stores_logits)
        self.timer = Timer(lm.device)

    def _count_references(self, targets_store_logits: bool) -> int:
        """Bytes of references and targets; the passes that build them are added to `workload`."""
        count = self.dataset.forget_count
        forget, retain = self.sizes[:count], self.sizes[count:]
        total = distribution_bytes(self.shape, forget) if targets_store_logits else 0
        for sizes, needed in (
            (retain, self.resolved.retain_loss in REFERENCE_LOSSES),
            (forget, self.requirements.reference_logits),
        ):
            tokens = sum(size.answer for size in sizes)
            if needed and too_large(self.lm.module, tokens):
                self.recomputes_reference = True
            elif needed and sizes:
                total += kept_bytes(self.lm.module, tokens)
                self.workload += ForwardWorkload.of(self.shape, sizes, LOGPROB_BATCH)
        if self.requirements.reference_logprobs and not self.requirements.reference_logits:
            self.workload += ForwardWorkload.of(self.shape, forget, LOGPROB_BATCH)
        return total

    def _batches(self, phase: Phase, start: int) -> Batches:
        """The rows of every step of a phase, in one list or in one per side."""
        sides: list[Callable[[int], list[int]]] = []
        if phase.objective != "retain":
            sides.append(self._forget_rows)
        if self.resolved.retain_loss_in(phase) != "none":
            sides.append(self.dataset.retain_batch)
        steps = [[side(step) for side in sides] for step in range(start, start + phase.steps)]
        if not self.resolved.needs_separate_gradients():
            steps = [[[k for side in step for k in side]] for step in steps]
        if phase.objective != "retain":
            for number, step in enumerate(steps, start):
                step += self._further_rows(number)
        return steps

    def _further_rows(self, step: int) -> list[list[int]]:
        """What a simulated attacker teaches, what is asked behind it, and what is read out behind lower blocks."""
        attacker, rows = self.recipe.relearning, self.dataset.forget_batch(step)
        meets = attacker.steps and step >= round(attacker.start * self.resolved.total_steps)
        passes = attacker.steps + 1 if meets and len(self.dataset.forget_facts) > 1 else 0
        return [rows for _ in range(passes + bool(self.recipe.lower_blocks.weight))]

    def _forget_rows(self, step: int) -> list[int]:
        """The forget batch of a step, with the other answers that run beside it."""
        rows = self.dataset.forget_batch(step)
        return [*rows, *self.dataset.alternates_of(rows)]

    def estimate(self, name: str, load_seconds: float, process: int | None = None) -> RunEstimate:
        """Measure, and add up over the phases.

        Args:
            name: name of the run.
            load_seconds: seconds that loading the model took.
            process: bytes of the process as an earlier estimate measured them, since estimating leaves freed memory
                behind; None to measure now.
        """
        lm, recipe, shape = self.lm, self.recipe, self.shape
        items = self.dataset.encoded
        sample = [items[k] for k in spread(items, min(TIMING_ROWS, len(items)))]
        inference = time_inference(self.timer, lm, shape, sample)
        if process is None:
            process = process_bytes(lm)
        prepare = inference.seconds(self.workload.work) + self.workload.encoded * self._encoding_seconds()
        train, start, rows_drawn, rows = 0.0, 0, 0, set[int]()
        activations = cache = optimizer = 0
        profile: TrainingProfile | None = None
        for phase in self.resolved.phases:
            set_trainable_blocks(lm.module, phase.layers, self.trainable)
            batches = self._batches(phase, start)
            phase_rows = sorted({k for step in batches for part in step for k in part})
            profile = self._profile(phase, batches)
            phase_cache, filling = self._cache(phase_rows, profile)
            seconds, largest = self._steps(batches, profile, inference)
            prepare += inference.seconds(filling)
            train += seconds + phase.steps * step_overhead(self.timer, lm, recipe, self.resolved.rule)
            cache, activations = max(cache, phase_cache), max(activations, largest)
            optimizer = max(optimizer, self._optimizer_bytes())
            rows_drawn += sum(len(part) for step in batches for part in step)
            rows.update(phase_rows)
            start += phase.steps
        assert profile is not None
        set_trainable_blocks(lm.module, "all", self.trainable)
        location: Literal["", "memory", "file"] = ""
        if cache:
            location = "memory" if cache <= recipe.memory.cache_mib << 20 else "file"
        caches = self.reference_bytes + (cache if location == "memory" else 0)
        prepare_bytes = max((inference_bytes(shape, p) for p in self.workload.passes), default=0)
        weights, state = self._trainable_bytes()
        saves = self.resolved.total_steps // recipe.checkpoint_every
        step_bytes = caches + optimizer + max(activations, weights + state if saves else 0)
        original = shape.weights if self._asks_original() else 0
        prepare += load_seconds / self.timer.slowdown if original else 0.0
        peak = process + shape.weights + max(original + self.reference_bytes + prepare_bytes, step_bytes)
        written = saves * (weights + state) + (weights if recipe.train.which == "lora" else shape.weights)
        slowdown = self.timer.slowdown
        return RunEstimate(
            name=name,
            blocks=self._blocks(),
            block_count=len(shape.blocks),
            trainable_parameters=sum(p.numel() for p in trainable(lm.module).values()),
            cached_blocks=profile.path.runs_from,
            no_cache_reason=profile.path.about,
            steps=self.resolved.total_steps,
            rows_drawn=rows_drawn,
            distinct_rows=len(rows),
            load_seconds=load_seconds,
            prepare_seconds=prepare * slowdown,
            train_seconds=train * slowdown,
            save_seconds=written / DISK_SPEED,
            slowdown=slowdown,
            memory=MemoryEstimate(process, shape.weights, optimizer, max(activations, prepare_bytes), caches, peak),
            cache_bytes=cache,
            cache_location=location,
            may_stop=self.resolved.may_stop,
        )

    def _asks_original(self) -> bool:
        """Whether the run of a later request also loads the model before the first one (`chain_reference.py`)."""
        compares = self.resolved.uses_retain and self.resolved.retain_loss in REFERENCE_LOSSES
        return bool(self.split.guards) and compares

    def _encoding_seconds(self) -> float:
        """Seconds to tokenize one record."""
        records = list(self.split.forget[:20])
        return self.timer.measure(lambda _: self.lm.template.encode_all(records), 1, 0.05)[0][1] / len(records)

    def _profile(self, phase: Phase, batches: Batches) -> TrainingProfile:
        """Time the largest pass of the first steps of a phase."""
        logits = (phase.objective != "retain" and self.requirements.logits) or (
            phase.objective != "forget" and self.resolved.retain_loss in REFERENCE_LOSSES
        )
        parts = (
            [rows[k] for k in part]
            for step in batches[:SAMPLED_STEPS]
            for rows in step
            for part in chunks([self.sizes[k].length for k in rows], self.recipe.batch.micro)
        )
        largest = max(parts, key=lambda part: sum(self.sizes[k].length for k in part), default=[0])
        return time_training(
            self.timer,
            self.lm,
            self.shape,
            [self.dataset.encoded[k] for k in largest],
            self.recipe.memory,
            logits=logits,
            saliency=self.requirements.saliency_point if self.requirements.token_weights == "gradient" else None,
        )

    def _cache(self, rows: Sequence[int], profile: TrainingProfile) -> tuple[int, Flops]:
        """Bytes of the prefix cache of a phase, and the passes that fill and check it."""
        first = profile.path.runs_from
        if not first:
            return 0, Flops()
        sizes = [self.sizes[k] for k in rows]
        check = in_batches(sizes, CACHE_CHECK_ROWS)[:1]
        work = prefix_cost(self.shape, in_batches(sizes, CACHE_FILL_BATCH), first)
        return cache_bytes(self.shape, sizes), work + inference_cost(self.shape, check * 2)

    def _steps(self, batches: Batches, profile: TrainingProfile, inference: ComputeSpeed) -> tuple[float, int]:
        """Seconds of the passes of a phase, and activation bytes of the largest."""
        sampled = batches[:: max(1, len(batches) // SAMPLED_STEPS)]
        weights = sum(p.numel() for p in trainable(self.lm.module).values())
        recompute, path, seconds, most = self.recipe.memory.checkpointing, profile.path, 0.0, 0
        for step in sampled:
            passes = [p for rows in step for p in in_chunks([self.sizes[k] for k in rows], self.recipe.batch.micro)]
            work = training_cost(
                self.shape,
                passes,
                runs_from=path.runs_from,
                trains_from=path.trains_from,
                weights=weights,
                recompute=recompute,
            )
            seconds += profile.speed.seconds(work)
            if self.recomputes_reference:
                seconds += inference.seconds(inference_cost(self.shape, passes))
            for one in passes:
                held = activation_bytes(
                    self.shape,
                    one,
                    per_block_token=profile.per_block_token,
                    per_logit=profile.per_logit,
                    recompute=recompute,
                    positions_at_once=profile.positions_at_once,
                    blocks=len(self.shape.blocks) - path.trains_from,
                )
                most = max(most, held)
        return seconds * len(batches) / len(sampled), most

    def _trainable_bytes(self) -> tuple[int, int]:
        """Bytes of what trains now, and of the optimizer state on it."""
        parameters: dict[str, Any] = trainable(self.lm.module)
        weights = sum(p.numel() * p.dtype.itemsize for p in parameters.values())
        return weights, optimizer_bytes(self.recipe.optimizer.name, parameters, embeddings(self.lm.module))

    def _optimizer_bytes(self) -> int:
        """State and gradients: raw and clipped; with a rule on separate gradients also both sides and the update."""
        weights, state = self._trainable_bytes()
        return state + weights * (5 if self.resolved.rule.separate else 2)

    def _blocks(self) -> tuple[int, ...]:
        """Numbers of the blocks that train."""
        try:
            stack, _ = block_stack(self.lm.module)
        except InputError:
            return (0,)
        blocks = {block_of(name, stack) for name in self.trainable}
        return tuple(sorted(n for n in blocks if n is not None))

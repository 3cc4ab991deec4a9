"""One recipe on one prepared model: counts (`plan`, `drawn`) times speeds measured on the model (`calibrate`).

Surprising: memory includes the process as it stands with the model loaded; of a small model that is most of it.
Pages of a cache in a file are not counted: the system takes them back when it needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from expunge.engine.estimate.cost_model import (
    ComputeSpeed,
    Flops,
    ModelShape,
    activation_bytes,
    asking_bytes,
    cache_bytes,
    distribution_bytes,
    in_batches,
    in_chunks,
    inference_cost,
    optimizer_bytes,
    prefix,
    size_of,
    training_cost,
)
from expunge.engine.estimate.timing import (
    Timer,
    TrainingProfile,
    resident,
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

LOOKED_AT = 24  # steps of a phase whose passes are counted; the others are like them
STORED = 32  # rows in a pass that fills the prefix cache
COMPARED = 8  # rows on which it is compared with the plain pass
DISK = 300 << 20  # bytes per second that a checkpoint is taken to be written with


@dataclass(frozen=True)
class MemoryEstimate:
    """Memory at the height of a run. `process`: interpreter and libraries; 0 on a device of its own."""

    process: int
    weights: int
    optimizer: int  # state and gradients of what trains
    activations: int  # of the largest pass, of building or of a step
    caches: int  # hidden states, references and targets in memory
    peak: int


@dataclass(frozen=True)
class RunEstimate:
    """One run. Seconds of wall clock, bytes.

    blocks    numbers of those that train       frozen   blocks below that run from the cache in the last phase, 0 if
    none; `why_plain` is then the reason        drawn    rows over all steps, `rows` of them different
    verb      what is done to the blocks: "train", or "edited"
    slowdown  by other programs, now: seconds of the wall per second of work; the other seconds hold it already
    """

    name: str
    blocks: tuple[int, ...]
    of: int
    trained: int
    frozen: int
    why_plain: str
    steps: int
    drawn: int
    rows: int
    loading: float
    building: float
    stepping: float
    saving: float
    slowdown: float
    memory: MemoryEstimate
    cache: int
    where: str
    verb: str = "train"

    @property
    def seconds(self) -> float:
        return self.loading + self.building + self.stepping + self.saving

    def as_row(self) -> dict[str, Any]:
        return asdict(self) | {"seconds": self.seconds}


class RunEstimator:
    """Everything that is counted and measured for one recipe on one prepared model."""

    def __init__(self, lm: LanguageModel, resolved: ResolvedRecipe, split: Split) -> None:
        recipe = resolved.recipe
        self.lm, self.resolved, self.recipe, self.split = lm, resolved, recipe, split
        self.shape, self.method, self.rule = ModelShape.of(lm.module), resolved.method, resolved.rule
        self.needs = self.method.requirements()
        self.trainable = check_trainable(lm, resolved, split.forget, split.retain)
        self.phases = resolved.phases
        if recipe.memory.checkpointing and not getattr(lm.module, "supports_gradient_checkpointing", False):
            enable_checkpointing(lm.module)  # says so
        self.table, cost, workload = draw_dataset(lm, self.shape, resolved, split.forget, split.retain)
        self.sizes = [size_of(item) for item in self.table.encoded]
        self.asked = workload + ForwardWorkload(len(self.sizes))
        self.live = False
        self.kept = self._keep(cost.stores_logits)
        self.clock = Timer(lm.device)

    def _keep(self, stores_logits: bool) -> int:
        """Bytes of references and targets; what building them asks is added to `asked`."""
        own, retained = self.sizes[: self.table.forget_count], self.sizes[self.table.forget_count :]
        kept = distribution_bytes(self.shape, own) if stores_logits else 0
        for sizes, wanted in (
            (retained, self.resolved.retain_loss in REFERENCE_LOSSES),
            (own, self.needs.reference_logits),
        ):
            tokens = sum(size.answer for size in sizes)
            if wanted and too_large(self.lm.module, tokens):
                self.live = True
            elif wanted and sizes:
                kept += kept_bytes(self.lm.module, tokens)
                self.asked += ForwardWorkload.of(self.shape, sizes, LOGPROB_BATCH)
        if self.needs.reference_logprobs and not self.needs.reference_logits:
            self.asked += ForwardWorkload.of(self.shape, own, LOGPROB_BATCH)
        return kept

    def batches(self, phase: Phase, start: int) -> list[list[list[int]]]:
        """Per step of a phase: the lists of items that a gradient is taken of, one list or one per side."""
        sides: list[Callable[[int], list[int]]] = []
        if phase.objective != "retain":
            sides.append(self.table.forget_batch)
        if self.resolved.retain_loss_in(phase) != "none":
            sides.append(self.table.retain_batch)
        steps = [[side(step) for side in sides] for step in range(start, start + phase.steps)]
        if self.resolved.needs_separate_gradients():
            return steps
        return [[[k for side in step for k in side]] for step in steps]

    def estimate(self, name: str, loading: float, process: int | None = None) -> RunEstimate:
        """Measure, and add up over the phases.

        loading  seconds that loading the model took
        process  bytes of the process as an earlier look found them: looking leaves freed memory behind; None: now
        """
        lm, recipe, shape = self.lm, self.recipe, self.shape
        sample = [self.table.encoded[k] for k in spread(self.table.encoded, min(64, len(self.table.encoded)))]
        asks = time_inference(self.clock, lm, shape, sample)
        if process is None:
            process = 0 if lm.device.type == "cuda" else max(0, resident() - shape.weights)
        building = asks.seconds(self.asked.work) + self.asked.encoded * self._encoding()
        stepping, start, drawn, used = 0.0, 0, 0, set[int]()
        height = cache = optimizer = 0
        trained: TrainingProfile | None = None
        for phase in self.phases:
            set_trainable_blocks(lm.module, phase.layers, self.trainable)
            batches = self.batches(phase, start)
            items = sorted({k for step in batches for rows in step for k in rows})
            trained = self._learn(phase, batches)
            stored, filling = self._store(items, trained)
            seconds, largest = self._steps(batches, trained, asks)
            building += asks.seconds(filling)
            stepping += seconds + phase.steps * step_overhead(self.clock, lm, recipe, self.rule)
            cache, height, optimizer = max(cache, stored), max(height, largest), max(optimizer, self._optimizer())
            drawn += sum(len(rows) for step in batches for rows in step)
            used.update(items)
            start += phase.steps
        assert trained is not None
        set_trainable_blocks(lm.module, "all", self.trainable)
        where = "" if not cache else "memory" if cache <= recipe.memory.cache_mib << 20 else "file"
        caches = self.kept + (cache if where == "memory" else 0)
        build = max((asking_bytes(shape, p) for p in self.asked.passes), default=0)
        weights, state = self._trained_bytes()
        saves = self.resolved.total_steps // recipe.checkpoint_every
        peak = (
            process
            + shape.weights
            + max(self.kept + build, caches + optimizer + max(height, weights + state if saves else 0))
        )
        written = saves * (weights + state) + (weights if recipe.train.which == "lora" else shape.weights)
        slow = self.clock.slowdown
        return RunEstimate(
            name,
            self._blocks(),
            len(shape.blocks),
            sum(p.numel() for p in trainable(lm.module).values()),
            trained.route.runs_from,
            trained.route.about,
            self.resolved.total_steps,
            drawn,
            len(used),
            loading,
            building * slow,
            stepping * slow,
            written / DISK,
            slow,
            MemoryEstimate(process, shape.weights, optimizer, max(height, build), caches, peak),
            cache,
            where,
        )

    def _encoding(self) -> float:
        """Seconds to turn one record into tokens."""
        records = list(self.split.forget[:20])
        return self.clock.grown(lambda rows: self.lm.template.encode_all(records), 1, 0.05)[0][1] / len(records)

    def _learn(self, phase: Phase, batches: Sequence[Sequence[Sequence[int]]]) -> TrainingProfile:
        """Try the largest pass of the first steps of a phase."""
        logits = (phase.objective != "retain" and self.needs.logits) or (
            phase.objective != "forget" and self.resolved.retain_loss in REFERENCE_LOSSES
        )
        parts = (
            [rows[k] for k in part]
            for step in batches[:LOOKED_AT]
            for rows in step
            for part in chunks([self.sizes[k].length for k in rows], self.recipe.batch.micro)
        )
        largest = max(parts, key=lambda part: sum(self.sizes[k].length for k in part), default=[0])
        return time_training(
            self.clock,
            self.lm,
            self.shape,
            [self.table.encoded[k] for k in largest],
            self.recipe.memory,
            logits=logits,
            return_hidden=self.needs.token_weights == "gradient",
        )

    def _store(self, items: Sequence[int], trained: TrainingProfile) -> tuple[int, Flops]:
        """Bytes of the prefix cache of a phase, and the passes that fill and check it."""
        first = trained.route.runs_from
        if not first:
            return 0, Flops()
        sizes = [self.sizes[k] for k in items]
        check = in_batches(sizes, COMPARED)[:1]
        work = prefix(self.shape, in_batches(sizes, STORED), first) + inference_cost(self.shape, check * 2)
        return cache_bytes(self.shape, sizes), work

    def _steps(
        self, batches: Sequence[Sequence[Sequence[int]]], trained: TrainingProfile, asks: ComputeSpeed
    ) -> tuple[float, int]:
        """Seconds of the passes of a phase, and bytes of the largest."""
        looked = batches[:: max(1, len(batches) // LOOKED_AT)]
        weights = sum(p.numel() for p in trainable(self.lm.module).values())
        again, route = self.recipe.memory.checkpointing, trained.route
        block_token, logit = trained.kept
        seconds, most = 0.0, 0
        for step in looked:
            passes = [p for rows in step for p in in_chunks([self.sizes[k] for k in rows], self.recipe.batch.micro)]
            seconds += trained.speed.seconds(
                training_cost(
                    self.shape,
                    passes,
                    runs_from=route.runs_from,
                    trains_from=route.trains_from,
                    weights=weights,
                    again=again,
                )
            )
            if self.live:
                seconds += asks.seconds(inference_cost(self.shape, passes))
            most = max(
                most,
                0,
                *(
                    activation_bytes(
                        self.shape,
                        p,
                        block_token=block_token,
                        logit=logit,
                        again=again,
                        at_once=trained.at_once,
                        blocks=len(self.shape.blocks) - route.trains_from,
                    )
                    for p in passes
                ),
            )
        return seconds * len(batches) / len(looked), most

    def _trained_bytes(self) -> tuple[int, int]:
        """Bytes of what trains now, and of the optimizer's state on it."""
        parameters: dict[str, Any] = trainable(self.lm.module)
        weights = sum(p.numel() * p.dtype.itemsize for p in parameters.values())
        return weights, optimizer_bytes(self.recipe.optimizer.name, parameters, embeddings(self.lm.module))

    def _optimizer(self) -> int:
        """State and gradients: as they come and clipped; with a rule that sees both sides, those and what moved."""
        weights, state = self._trained_bytes()
        return state + weights * (5 if self.rule.separate else 2)

    def _blocks(self) -> tuple[int, ...]:
        """Numbers of the blocks that train."""
        try:
            stack, _ = block_stack(self.lm.module)
        except InputError:
            return (0,)
        found = {block_of(name, stack) for name in self.trainable}
        return tuple(sorted(n for n in found if n is not None))

"""The estimate of a weight edit: its pass over the records, timed on the longest rows of a sample, scaled by tokens.

The cost of a vision tower is included as far as rows of the sample show images.
"""

from __future__ import annotations

from expunge.engine.activation_stats import ROWS, gather
from expunge.engine.estimate.cost_model import BatchShape, ModelShape, in_batches, inference_bytes, size_of
from expunge.engine.estimate.run_estimate import DISK_SPEED, MemoryEstimate, RunEstimate
from expunge.engine.estimate.timing import Timer, process_bytes
from expunge.engine.neuron_groups import find_neuron_groups
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.engine.weight_editing import check_editable
from expunge.models.adapters import block_of, block_stack
from expunge.models.language_model import LanguageModel
from expunge.scope.split import Split

SAMPLE = 64  # rows


def estimate_edit(lm: LanguageModel, resolved: ResolvedRecipe, split: Split, load_seconds: float) -> RunEstimate:
    """The estimate of one edit; `InputError` where the run would refuse the input."""
    edit = resolved.edit
    assert edit is not None
    check_editable(resolved, split)
    groups, rows = find_neuron_groups(lm.module, edit.selectors()), list(edit.rows(split.forget, split.retain))
    shape, micro = ModelShape.of(lm.module), resolved.recipe.batch.micro or ROWS
    process = process_bytes(lm)
    sizes = [size_of(lm.template.encode(row.record)) for row in rows]
    order = sorted(range(len(rows)), key=lambda k: sizes[k].length)
    count = min(SAMPLE, len(order))
    sample = [order[k * len(order) // count] for k in range(count)]
    timer = Timer(lm.device)
    timed, seconds = timer.measure(lambda n: gather(lm, edit, groups, [rows[k] for k in sample[-n:]], micro), count)[-1]
    seconds *= sum(size.length for size in sizes) / sum(sizes[k].length for k in sample[-timed:])
    largest = in_batches(sizes, micro)[0]
    activations = inference_bytes(shape, BatchShape(largest.rows, largest.longest, 1))
    sums = sum(group.size for group in groups) * 8 * 2 * len({name for row in rows for name in row.groups})
    stack, _ = block_stack(lm.module)
    blocks = {n for g in groups if (n := block_of(g.name, stack)) is not None and g.part == "language"}
    return RunEstimate(
        name="as given",
        blocks=tuple(sorted(blocks)),
        block_count=len(shape.blocks),
        trainable_parameters=sum(group.weight.numel() for group in groups),
        cached_blocks=0,
        no_cache_reason="every record is read once",
        steps=1,
        rows_drawn=len(rows),
        distinct_rows=len({row.record.id for row in rows}),
        load_seconds=load_seconds,
        prepare_seconds=0.0,
        train_seconds=seconds * timer.slowdown,
        save_seconds=shape.weights / DISK_SPEED,
        slowdown=timer.slowdown,
        memory=MemoryEstimate(
            process, shape.weights, 0, activations, sums, process + shape.weights + activations + sums
        ),
        verb="edited",
    )

"""What an edit takes before it is started: a look at a few rows, timed, and the rows counted.

Surprising: what is timed is the look itself, on the longest rows of a sample, and scaled by tokens; what a vision tower
takes is in it only as far as rows of that sample show pictures.
"""

from __future__ import annotations

from expunge.engine.activation_stats import ROWS, gather
from expunge.engine.estimate.cost_model import BatchShape, ModelShape, asking_bytes, in_batches, size_of
from expunge.engine.estimate.estimator import DISK, MemoryEstimate, RunEstimate
from expunge.engine.estimate.timing import Timer, resident
from expunge.engine.neuron_groups import find_neuron_groups
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.engine.weight_editing import check_editable
from expunge.methods.editing import WeightEdit
from expunge.models.adapters import block_of, block_stack
from expunge.models.language_model import LanguageModel
from expunge.scope.split import Split

SAMPLE = 64  # rows


def estimate_edit(
    lm: LanguageModel, edit: WeightEdit, recipe: ResolvedRecipe, split: Split, loading: float
) -> RunEstimate:
    """The estimate of one edit; `InputError` as the run gives it, but for what only its numbers show."""
    check_editable(recipe, split)
    found, rows = find_neuron_groups(lm.module, edit.selectors()), list(edit.rows(split.forget, split.retain))
    shape, most = ModelShape.of(lm.module), recipe.recipe.batch.micro or ROWS
    process = 0 if lm.device.type == "cuda" else max(0, resident() - shape.weights)
    sizes = [size_of(lm.template.encode(row.record)) for row in rows]
    order = sorted(range(len(rows)), key=lambda k: sizes[k].length)
    few = [rows[order[k * len(order) // min(SAMPLE, len(order))]] for k in range(min(SAMPLE, len(order)))]
    clock = Timer(lm.device)
    count, seconds = clock.grown(lambda n: gather(lm, edit, found, few[-n:], most), len(few))[-1]
    seen = sum(size_of(lm.template.encode(row.record)).length for row in few[-count:])
    looking = seconds * sum(size.length for size in sizes) / seen
    largest: BatchShape = in_batches(sizes, most)[0]
    height = asking_bytes(shape, BatchShape(largest.rows, largest.longest, 1))
    groups = len({group for row in rows for group in row.groups})
    sums = sum(site.size for site in found) * 8 * 2 * groups
    stack, _ = block_stack(lm.module)
    blocks = {n for site in found if (n := block_of(site.name, stack)) is not None and site.part == "language"}
    return RunEstimate(
        "as given",
        tuple(sorted(blocks)),
        len(shape.blocks),
        sum(site.weight.numel() for site in found),
        0,
        "every record is read once",
        1,
        len(rows),
        len({row.record.id for row in rows}),
        loading,
        0.0,
        looking * clock.slowdown,
        shape.weights / DISK,
        clock.slowdown,
        MemoryEstimate(process, shape.weights, 0, height, sums, process + shape.weights + height + sums),
        0,
        "",
        "edited",
    )

"""What a run takes before it starts: the recipe as given, and beside it the run that trains other blocks.

Nothing is written and no weight changes: the model is prepared as for the run, measured, and the adapter removed.
"""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

from expunge._printable import pluralize
from expunge.engine.distributed import check_single_process
from expunge.engine.estimate.edit_estimate import estimate_edit
from expunge.engine.estimate.estimator import RunEstimator
from expunge.engine.estimate.run_estimate import RunEstimate
from expunge.engine.recipe import Recipe
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.errors import InputError
from expunge.models.adapters import block_stack, chosen_blocks, prepare
from expunge.models.language_model import LanguageModel, load, merge_adapter
from expunge.models.threads import set_threads
from expunge.scope.split import Split


def estimate_run(
    model: str | Path,
    split: Split,
    recipe: Recipe,
    *,
    template: str = "auto",
    device: str | None = None,
    preview_layers: int | None = None,
) -> tuple[list[RunEstimate], str]:
    """Estimate a recipe and its counterpart.

    The counterpart of a recipe that trains all blocks is a preview on the last `preview_layers` (default: a quarter of
    them); that of any other is the release, which trains all.

    Returns:
        The estimates, and why there is no counterpart ("" if there is one).

    Raises:
        InputError: as `unlearn` would raise it.
    """
    resolved = recipe.resolve()
    check_single_process(resolved.single_process_reason)
    set_threads()
    started = time.perf_counter()
    lm = merge_adapter(load(model, template=template, device=device))
    loading = time.perf_counter() - started
    import accelerate  # noqa: F401  # part of the process memory of a run

    if resolved.edit:
        reason = f"{recipe.method} edits weights at once"
        if preview_layers is not None:
            raise InputError("--preview-layers", f"{reason}, so there is no preview of it", "leave it out")
        return [estimate_edit(lm, resolved, split, loading)], reason
    if not split.forget:
        raise InputError("forget set", "is empty", "give a scope that matches something")
    first = _estimate(lm, resolved, split, "as given", loading)
    layers, name = counterpart(lm, resolved, preview_layers)
    if layers is None:
        return [first], name
    other = recipe.model_copy(update={"train": recipe.train.model_copy(update={"layers": layers})}).resolve()
    return [first, _estimate(lm, other, split, name, loading, first.memory.process)], ""


def counterpart(lm: LanguageModel, resolved: ResolvedRecipe, preview_layers: int | None) -> tuple[Any, str]:
    """(`train.layers` of the other run, its name), or (None, why there is none)."""
    try:
        _, count = block_stack(lm.module)
    except InputError as error:
        return None, error.what
    if preview_layers is not None and not 1 <= preview_layers < count:
        raise InputError(
            "--preview-layers",
            f"is {preview_layers}, and the model has {pluralize(count, 'block')}",
            f"give 1 or more, at most {count - 1}" if count > 1 else "leave it out",
        )
    if len(chosen_blocks(resolved.recipe.train.layers, count)) < count:
        return "all", "release: all layers"
    if count == 1:
        return None, "the model has one block only"
    last = preview_layers or max(1, count // 4)
    for number, phase in enumerate(resolved.phases, 1):
        if max(chosen_blocks(phase.layers, count)) < count - last:
            return None, f"phase {number} trains no block of the last {last}"
    return last, f"preview: last {last}"


def _estimate(
    lm: LanguageModel, resolved: ResolvedRecipe, split: Split, name: str, loading: float, process: int | None = None
) -> RunEstimate:
    """Prepare the model for the recipe, estimate, and remove the adapter."""
    recipe = resolved.recipe
    prepared = lm.with_module(prepare(lm.module, recipe.train, recipe.seed))
    try:
        prepared.module.eval()
        return RunEstimator(prepared, resolved, split).estimate(name, loading, process)
    finally:
        if hasattr(prepared.module, "unload"):
            prepared.module.unload()
        gc.collect()

"""What a run will take before it is started: the recipe as given, and beside it the run that trains other blocks.

Nothing is written and no weight changes: the model is prepared as the run would, looked at (`outlook`), and the
adapter is taken off again.
"""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

from expunge.engine.distributed import check_single_process
from expunge.engine.estimate.edit_estimate import estimate_edit
from expunge.engine.estimate.estimator import RunEstimate, RunEstimator
from expunge.engine.recipe import Recipe
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
    """Estimates for the recipe as given and for its counterpart, and why there is no counterpart ("" if there is).

    The counterpart of a recipe that trains all blocks is a preview on the last `preview_layers` (a quarter of them);
    that of any other is the release, which trains all. `InputError` as `unlearn` gives it.
    """
    resolved = recipe.resolve()
    check_single_process(resolved.single_process_reason)
    set_threads()
    began = time.perf_counter()
    lm = merge_adapter(load(model, template=template, device=device))
    loading = time.perf_counter() - began
    import accelerate  # noqa: F401  # the run holds it, too

    if edit := resolved.edit:
        if preview_layers is not None:
            raise InputError(
                "--preview-layers",
                f"{recipe.method} edits weights at once, so there is no preview of it",
                "leave it out",
            )
        return [estimate_edit(lm, edit, resolved, split, loading)], f"{recipe.method} edits weights at once"
    if not split.forget:
        raise InputError("forget set", "is empty", "give a scope that matches something")
    found = [_on(lm, recipe, split, "as given", loading)]
    other, name = meta_model(lm, recipe, preview_layers)
    if isinstance(other, str):
        return found, other
    found.append(_on(lm, other, split, name, loading, found[0].memory.process))
    return found, ""


def meta_model(lm: LanguageModel, recipe: Recipe, preview_layers: int | None) -> tuple[Recipe | str, str]:
    """The other recipe and its name, or the reason (a clause) why there is none."""

    def training(layers: Any) -> Recipe:
        return recipe.model_copy(update={"train": recipe.train.model_copy(update={"layers": layers})})

    try:
        _, count = block_stack(lm.module)
    except InputError as error:
        return error.what, ""
    if preview_layers is not None and not 1 <= preview_layers < count:
        raise InputError(
            "--preview-layers",
            f"is {preview_layers}, and the model has {count} blocks",
            f"give 1 or more, at most {count - 1}" if count > 1 else "leave it out",
        )
    if len(chosen_blocks(recipe.train.layers, count)) < count:
        return training("all"), "release: all layers"
    if count == 1:
        return "the model has one block only", ""
    last = preview_layers or max(1, count // 4)
    for number, phase in enumerate(recipe.resolve().phases, 1):
        if max(chosen_blocks(phase.layers, count)) < count - last:
            return f"phase {number} trains none of the last {last} blocks", ""
    return training(last), f"preview: last {last}"


def _on(
    lm: LanguageModel, recipe: Recipe, split: Split, name: str, loading: float, process: int | None = None
) -> RunEstimate:
    """Prepare the model as the recipe says, look at it, and take the adapter off again."""
    prepared = lm.with_module(prepare(lm.module, recipe.train, recipe.seed))
    try:
        prepared.module.eval()
        return RunEstimator(prepared, recipe.resolve(), split).estimate(name, loading, process)
    finally:
        if hasattr(prepared.module, "unload"):
            prepared.module.unload()
        gc.collect()

"""What can be refused before a run begins, or before it is forecast: empty sets, and phases that train nothing."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from expunge.corpus import Record
from expunge.engine.recipe import Recipe
from expunge.errors import InputError
from expunge.models.adapters import set_trainable_blocks, trainable


def check_trainable(
    module: nn.Module, recipe: Recipe, forget: Sequence[Record], retain: Sequence[Record]
) -> frozenset[str]:
    """Names of the parameters that train; `InputError` if the recipe cannot run on these records or this module."""
    if recipe.uses_retain and not retain:
        raise InputError(
            "retain set",
            "is empty, and this recipe needs records that must stay",
            "give a smaller scope, or retain.loss: none",
        )
    if not forget:
        raise InputError("forget set", "is empty", "give a scope that matches something")
    names = frozenset(trainable(module))
    for phase in recipe.plan():
        set_trainable_blocks(module, phase.layers, names)
        if not trainable(module):
            raise InputError(
                "phases", f"nothing that trains is in the blocks {phase.layers}", "name blocks out of train.layers"
            )
    set_trainable_blocks(module, "all", names)
    return names

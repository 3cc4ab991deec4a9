"""What a private recipe may not do: whatever lets one person's records reach the run otherwise than through the noise.

Rules that combine noised gradients are free, whatever they do. Refused is what looks at raw gradients, at the records
of several people at once, or at a metric of the run, and what per-unit gradients do not exist for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from expunge.engine.distributed import world_size
from expunge.errors import InputError

if TYPE_CHECKING:
    from expunge.engine.recipe import Recipe


def validate_private(recipe: Recipe) -> None:
    """`InputError` with the first thing that a private run cannot have."""
    needs = recipe.build_method().requirements()
    found = [
        (recipe.train.which != "lora", "train.which", "full weights have no gradients per unit here", "set it to lora"),
        (
            needs.targets is not None,
            "method",
            f"{recipe.method} makes its targets itself, and other people's records or losses of the run may reach them",
            "take npo, simnpo or grad_diff; dual with settings.loss: npo",
        ),
        (
            recipe.train.drop_blocks > 0,
            "train.drop_blocks",
            "gradients per unit were not checked with adapters left out",
            "set it to 0",
        ),
        (
            recipe.uses_retain and recipe.retain.anchors,
            "retain.anchors",
            "are made out of several people's records",
            "set it to false",
        ),
        (
            recipe.retain.balance,
            "retain.balance",
            "draws by group what a private run draws by independent coins",
            "set it to false",
        ),
        (
            needs.token_weights in ("gradient", "attention"),
            "settings.token_weights",
            "saliency is measured on raw records",
            "set it to level (weights from a dictionary) or none",
        ),
        (
            needs.levels_by_parameter,
            "settings.level_by",
            "the level of a tensor follows from raw Fisher information",
            "set it to record",
        ),
        (recipe.selection is not None, "selection", "Fisher information is measured on raw records", "set it to null"),
        (
            recipe.memory.checkpointing,
            "memory.checkpointing",
            "runs blocks twice, gradients per unit need them once",
            "set it to false; batch.micro saves memory, too",
        ),
        (
            recipe.parallel.shard or world_size() > 1,
            "privacy",
            "a private run is one process",
            "start it without torchrun or accelerate launch",
        ),
    ]
    for wrong, where, what, hint in found:
        if wrong:
            raise InputError(
                f"recipe: {where}",
                f"{what}, so it cannot be private" if where != "privacy" else what,
                f"{hint}, or privacy: null" if where != "privacy" else hint,
            )

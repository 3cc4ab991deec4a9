"""Keys that a private recipe may not set: each would let records reach the run other than through clipped, noised sums.

Gradient rules only see noised gradients, so they are unrestricted. Noise by the paper's formula guarantees nothing, so
what is measured on raw records may stand beside it (`raw_measurements`), and the statement names it.
"""

from __future__ import annotations

from collections.abc import Iterator

from expunge.engine.resolved_recipe import Problem, ResolvedRecipe


def privacy_problems(resolved: ResolvedRecipe) -> Iterator[Problem]:
    """What a recipe with a section `privacy` cannot have."""
    recipe = resolved.recipe
    if resolved.edit or recipe.privacy is None:
        return
    needs, sound = resolved.requirements, not recipe.privacy.paper_formula
    rows = [
        (recipe.train.which != "lora", "train.which", "full weights have no gradients per unit here", "set it to lora"),
        (
            needs.targets is not None,
            "method",
            f"{recipe.method} builds its targets itself (out of other people's records, or drawn anew, or with a state "
            "that follows the losses of the run)",
            "take npo, simnpo or grad_diff; dual with settings.loss: npo",
        ),
        (
            recipe.train.drop_blocks > 0,
            "train.drop_blocks",
            "gradients per unit were not checked with adapters left out",
            "set it to 0",
        ),
        (
            resolved.uses_retain and recipe.retain.anchors,
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
            sound and needs.token_weights in ("gradient", "attention"),
            "settings.token_weights",
            "saliency is measured on raw records",
            "set it to level (weights from a dictionary) or none",
        ),
        (needs.chunk is not None, "method", "rows are drawn chunk by chunk", "take grad_diff"),
        (
            needs.token_weights == "gradient" and needs.saliency_unit == "occurrence",
            "settings.saliency_unit",
            "gradients per unit come from passes that do not measure single occurrences",
            "set it to id",
        ),
        (
            sound and needs.levels_by_parameter,
            "settings.level_by",
            "the level of a tensor follows from raw Fisher information",
            "set it to record",
        ),
        (
            sound and recipe.selection is not None,
            "selection",
            "Fisher information is measured on raw records",
            "set it to null",
        ),
        (
            recipe.memory.checkpointing,
            "memory.checkpointing",
            "runs blocks twice, gradients per unit need them once",
            "set it to false; batch.micro saves memory, too",
        ),
        (
            recipe.parallel.shard,
            "parallel.shard",
            "shards a model whose adapters only one process trains",
            "set it to false",
        ),
    ]
    for wrong, where, what, hint in rows:
        if wrong:
            yield Problem(where, f"{what}, so it cannot be private", f"{hint}, or privacy: null")


def raw_measurements(resolved: ResolvedRecipe) -> tuple[str, ...]:
    """What a recipe measures on raw records beside its noised sums; empty for every recipe with a sound guarantee."""
    needs = resolved.requirements
    rows = (
        (needs.token_weights in ("gradient", "attention"), "token saliency"),
        (needs.levels_by_parameter, "levels of tensors by Fisher information"),
        (resolved.recipe.selection is not None, "parameter selection by Fisher information"),
    )
    return tuple(name for is_measured, name in rows if is_measured)

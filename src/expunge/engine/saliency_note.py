"""Where a run takes the gradients that its token weights follow, for `run.json`."""

from __future__ import annotations

from typing import Any

from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.models.adapters import set_trainable_blocks, trainable
from expunge.models.frozen_prefix import Boundary, find_boundary
from expunge.models.language_model import LanguageModel

EMBEDDING = "output of the embedding"


def saliency_summary(lm: LanguageModel, resolved: ResolvedRecipe) -> dict[str, Any]:
    """`saliency`: its unit, and the point of each phase; empty for a method whose weights follow no gradients.

    `lm` has its trainable parameters set up, and has them again afterwards.
    """
    requirements = resolved.requirements
    if requirements.token_weights != "gradient":
        return {}
    names, points = frozenset(trainable(lm.module)), []
    for phase in resolved.phases:
        set_trainable_blocks(lm.module, phase.layers, names)
        boundary = find_boundary(lm.module)
        if requirements.saliency_point == "first_block" and isinstance(boundary, Boundary):
            points.append(f"input of block {boundary.first} of {boundary.count}")
        else:
            points.append(EMBEDDING)
    set_trainable_blocks(lm.module, "all", names)
    return {"saliency": {"unit": requirements.saliency_unit, "points": points}}

"""Digests of what decides a run only under some recipes: controls that end it, files of concepts."""

from __future__ import annotations

from pathlib import Path

from expunge._io import digest, digest_files
from expunge.corpus.record_store import digest_each
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.engine.stop_controls import has_surrogate
from expunge.scope.split import Split


def controls_digest(resolved: ResolvedRecipe, split: Split) -> dict[str, str]:
    """Digest of the controls where they decide when the run ends; empty where they do not."""
    if not resolved.may_stop or any(has_surrogate(r) for r in split.forget):
        return {}
    return {"controls": digest_each(r.content() for r in split.controls)}


def concepts_digest(resolved: ResolvedRecipe) -> dict[str, str]:
    """Digest of the concept files that the recipe names; empty where it names none."""
    hierarchy, dictionary = resolved.hierarchy, resolved.recipe.concepts.dictionary
    content = [
        hierarchy.model_dump(mode="json") if hierarchy else None,
        digest_files(Path(dictionary).parent, [Path(dictionary).name]) if dictionary else None,
    ]
    return {"concepts": digest(content)} if any(content) else {}

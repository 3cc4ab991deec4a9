"""The recipe of a plan: a shipped one by its name, a file by its name and the digest of what it says.

What a run reads is a copy in its own folder, so that nobody changes it between the check and the training.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expunge._io import write_json
from expunge.desk.connectors.base import place
from expunge.desk.roles import Refusal
from expunge.evidence.canonical_json import canonical_digest

FOLDER = "recipe"


def is_file_name(recipe: str) -> bool:
    """Whether a recipe is named by its file, whose path starts from the desk's folder."""
    return recipe.endswith((".yaml", ".yml"))


def freeze_recipe(root: Path, recipe: str) -> dict[str, str]:
    """The recipe as it stands in a plan; `InputError` for a file that cannot be read."""
    if not is_file_name(recipe):
        return {"recipe": recipe}
    return {"recipe": recipe, "recipe_digest": canonical_digest(_content(root, recipe))}


def recipe_of_run(root: Path, content: dict[str, Any], folder: Path) -> str:
    """What the run of a plan takes as its recipe, from the folder of the run.

    Args:
        root: folder of the desk.
        content: content of the plan.
        folder: folder of the run.

    Raises:
        Refusal: the file, or one that it extends, says something else than when the plan was made (kind `conflict`).
    """
    recipe = str(content["recipe"])
    if not is_file_name(recipe):
        return recipe
    words = _content(root, recipe)
    if content.get("recipe_digest") not in (None, canonical_digest(words)):  # None: a plan of an earlier version
        raise Refusal("run", "the recipe has changed since the plan", "plan again", kind="conflict")
    file = folder / FOLDER / Path(recipe).name
    write_json(file, words)  # JSON is YAML
    return f"{FOLDER}/{file.name}"


def _content(root: Path, recipe: str) -> dict[str, Any]:
    """The keys of a recipe over those of the files that it extends."""
    from expunge.engine.recipe import read

    return read(place(root, recipe))

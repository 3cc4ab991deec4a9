"""What the retain term of a later request compares with: the model before the first one.

Every run moves what must stay a little. Compared with the model before it, each run would keep what the earlier ones
moved, and the distance to the first model would grow from request to request.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from expunge.engine.request_chain import runs_of_chain
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.errors import InputError
from expunge.methods.base import REFERENCE_LOSSES
from expunge.models.language_model import LanguageModel, load, merge_adapter
from expunge.models.run_file import ChainLink, read_run_file
from expunge.models.source import base_of_run

KEY = "retain_reference"  # in run.json: "original" or "before"


def first_model(run: str | Path, links: Sequence[ChainLink]) -> str | None:
    """Where the model before the first request lies; None where a folder of the chain is gone.

    Args:
        run: folder of the run that a later one starts from.
        links: all requests that were fulfilled when it ended.
    """
    folders = list(runs_of_chain(run))
    base = base_of_run(folders[0], read_run_file(folders[0]))
    return base if len(folders) == len(links) and (Path(base).exists() or not Path(base).is_absolute()) else None


def load_original(
    run: str, links: Sequence[ChainLink], resolved: ResolvedRecipe, about: dict[str, Any], device: str | None
) -> LanguageModel | None:
    """The model before the first request, in the precision of the run; None for the first one, or without need of it.

    `about`, the content of run.json, says what the run compares with, so that a resumed run compares with the same.

    Raises:
        InputError: the run began with the original as reference, and a folder of its chain is gone.
    """
    if not links or not resolved.uses_retain or resolved.retain_loss not in REFERENCE_LOSSES or resolved.edit:
        return None
    source = first_model(run, links)
    if about.setdefault(KEY, "original" if source else "before") == "before":
        return None
    if source is None:
        raise InputError(run, "the runs before it are no longer here", "bring their folders back, or start a new run")
    options = {"template": about["template"], "template_date": about.get("template_date"), "dtype": about["dtype"]}
    lm = merge_adapter(load(source, device=device, **options))
    lm.module.requires_grad_(False)
    return lm.with_module(lm.module.eval())


def same_head(one: Any, other: Any) -> bool:
    """Whether hidden states of one model give the distributions of the other through its own head."""
    first, second = (module.get_output_embeddings().weight for module in (one, other))
    return first.shape == second.shape and bool(torch.equal(first.cpu(), second.cpu()))

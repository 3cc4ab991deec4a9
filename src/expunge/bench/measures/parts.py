"""Are the parts of the dual strategy switched on? What projection takes out beside the retain weight, and how far token
weights spread.

g = w_f g_f + (w_r - w_f alpha <g_f, g_r>/|g_r|^2) g_r: projection is a change of the retain weight. Where it is a few
hundredths of it, or where all tokens weigh the same, a comparison says nothing about the part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from expunge.bench.analysis import entry, estimate
from expunge.bench.measures.base import Cells, Columns, Study, measure
from expunge.bench.places import ModelPlace
from expunge.engine.loop_builder import build_loop
from expunge.gradients.base import Gradients
from expunge.gradients.project import Project
from expunge.methods.base import ModelOutputs
from expunge.methods.dual import Dual
from expunge.models.adapters import prepare
from expunge.models.language_model import load

STEPS = 12  # of the run that are looked at
LEAST_SHARE, LEAST_SPREAD = 0.05, 0.2  # below them a part is as good as switched off
COLUMNS = ("projection_share", "weight_spread")


class _Enough(Exception):
    pass


def projection_shares(
    g_f: Gradients, g_r: Gradients, alpha: float | Mapping[str, float], weight_f: float, weight_r: float
) -> list[float]:
    """|w_f alpha <g_f, g_r>| / |g_r|^2 / w_r of every tensor with a retain gradient; none for a retain weight of 0."""
    shares = []
    for name, b in g_r.items():
        square = float((b.double() ** 2).sum())
        if name in g_f and square > 0 and weight_r > 0:
            strength = alpha[name] if isinstance(alpha, Mapping) else alpha
            dot = float((g_f[name].double() * b.double()).sum())
            shares.append(abs(weight_f * strength * dot) / square / weight_r)
    return shares


def spread(weights: Sequence[Tensor]) -> float:
    """Standard deviation over mean of all token weights; 0 where nothing is weighed. A common factor is a rate."""
    if not weights:
        return 0.0
    values = torch.cat([w.double().reshape(-1) for w in weights])
    return float(values.std(unbiased=False) / values.mean()) if float(values.mean()) > 0 else 0.0


def mark(value: float | None, least: float) -> str:
    """What a page says of a part: `not used` at 0, `switched off` below `least`, else `on`."""
    if value is None or value == 0:
        return "not used"
    return "on" if value >= least else "switched off"


@contextmanager
def _watched(weights: list[Tensor], shares: list[float]) -> Iterator[None]:
    """Inside, token weights of forget losses and projection shares of steps go into the lists."""
    loss, directions = Dual.forget_loss, Project.combine

    def forget_loss(self: Dual, out: ModelOutputs) -> Tensor:
        if out.weights is not None and not torch.equal(
            out.weights, out.mask.float()
        ):  # those are saliency's own passes
            weights.append(out.weights.detach()[out.mask].cpu())
        return loss(self, out)

    def combine(self: Project, g_f: Gradients, g_r: Gradients, **more: Any) -> Gradients:
        alpha = self.alpha if more.get("alpha") is None else more["alpha"]
        shares.extend(projection_shares(g_f, g_r, alpha, more.get("weight_f", 1.0), more.get("weight_r", 1.0)))
        return directions(self, g_f, g_r, **more)

    Dual.forget_loss, Project.combine = forget_loss, combine  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        Dual.forget_loss, Project.combine = loss, directions  # type: ignore[method-assign]


def _read(place: ModelPlace) -> Columns:
    seen = place.observation("parts") if place.arm else None
    return {c: (seen or {}).get(c) for c in COLUMNS}


def _summarize(study: Study) -> dict[str, Any]:
    """`parts`: arm to the means of its columns, and whether its parts are on."""
    table = {}
    for arm in study.arms:
        cells: Cells = study.columns[arm.name]
        values = {c: estimate(cells, c) for c in COLUMNS}
        if all(middle is None for middle, _ in values.values()):
            continue
        table[arm.name] = {
            **{c: entry(*value) for c, value in values.items()},
            "projection": mark(values["projection_share"][0], LEAST_SHARE),
            "weights": mark(values["weight_spread"][0], LEAST_SPREAD),
        }
    return {"parts": table}


@measure("parts", needs="run", columns=COLUMNS, read=_read, summarize=_summarize)
def parts(place: ModelPlace) -> dict[str, float | None] | None:
    """Columns over the first `STEPS` steps of an arm of the dual strategy; None for other arms and failed runs.

    projection_share  median over tensors and steps of |alpha <g_f, g_r>| / |g_r|^2, as a share of the retain weight
    weight_spread     standard deviation of the token weights over their mean
    """
    stage = next(iter(place.stages()), None)
    if stage is None or place.failure() or not isinstance(stage.recipe.resolve().algorithm, Dual):
        return None
    resolved = stage.recipe.resolve()
    lm = load(place.reference("original").model, template=place.template)
    lm = lm.with_module(prepare(lm.module, stage.recipe.train, stage.recipe.seed))
    loop = build_loop(lm, resolved, stage.forget, place.sets.split.retain)
    weights: list[Tensor] = []
    shares: list[float] = []

    def after_step(event: Any) -> None:
        if event.step + 1 >= STEPS:
            raise _Enough

    with _watched(weights, shares), suppress(_Enough):
        loop.run(after_step)
    return {"projection_share": float(np.median(shares)) if shares else None, "weight_spread": spread(weights)}

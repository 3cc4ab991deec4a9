"""MANU: prune feed-forward neurons that matter more for the forget set than for the retain set.

The importance of a neuron is what an image changes in it: the same records are read with and without their images.
Where either side shows none, and in a vision tower, which texts never reach, there is nothing to compare. There the
measures themselves (mean size, share above tau, spread, root mean square) take the place of their differences, and
the score compares forget with retain directly (our choice).

Note: counts and squares are taken per position, where notes on the paper print sums, because an image adds positions.
A neuron is zeroed in the map that reads it: the weights that feed it stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor

from expunge.corpus import Record
from expunge.methods.editing import (
    FORGET,
    RETAIN,
    Group,
    NeuronRow,
    NeuronSelector,
    Part,
    Stats,
    WeightEdit,
    sample,
    top,
)

TEXT: Group = ("text",)  # added to a side: its records without their images
EPS = 1e-8
Moments = dict[str, Tensor]


class Manu(WeightEdit, name="manu"):
    """Training-free: zero the feed-forward neurons that matter for the target rather than for the rest.

    I_abs = |Zm-Zt|/(Zm+Zt), Z = mean|z|          I_freq = |Nm-Nt|/(Nm+Nt), N = share of |z| > tau
    I_var = sqrt(Var_m+Var_t)                     I_rms  = sqrt(|Sm-St|/(Sm+St)), S = mean z^2
    I = sum of the four, m with and t without images;   score = I(forget)/I(retain);  top share: zero
    """

    source = "arXiv 2502.15910"

    share: float = Field(0.03, gt=0, le=1, description="share of all neurons of a tower that is zeroed")
    tau: float = Field(0.1, ge=0, description="size above which a neuron counts as active")
    blocks: int | None = Field(None, ge=1, description="last blocks of each tower that may be edited; null for all")
    vision: bool = Field(True, description="also edit the vision tower of a model that has one")
    sample: int | None = Field(
        4096, ge=1, description="most retained records that are read, chosen by a hash of their ids; null for all"
    )
    standardize: bool = Field(
        False,
        description="each measure as z-score over a tower, so that none outweighs the "
        "others; the score is then I(forget) - I(retain)",
    )

    def selectors(self) -> tuple[NeuronSelector, ...]:
        language = NeuronSelector("language", "hidden", self.blocks)
        return (language, NeuronSelector("vision", "hidden", self.blocks)) if self.vision else (language,)

    def rows(self, forget: Sequence[Record], retain: Sequence[Record]) -> Iterator[NeuronRow]:
        with_images = all(any(r.image is not None for r in side) for side in (forget, retain))
        chosen = sample((r.id for r in retain), self.sample)
        for group, side in ((FORGET, forget), (RETAIN, retain)):
            for r in side:
                if group == RETAIN and r.id not in chosen:
                    continue
                if not with_images:
                    yield NeuronRow(r, (group,))
                elif r.image is None:
                    yield NeuronRow(r, (group, group + TEXT))
                else:
                    yield NeuronRow(r, (group,))
                    yield NeuronRow(replace(r, image=None), (group + TEXT,))

    def measure(self, part: Part, z: Tensor, image: Tensor) -> Moments:
        return {
            "positions": torch.tensor(float(len(z)), device=z.device),
            "abs": z.abs().sum(0),
            "active": (z.abs() > self.tau).sum(0),
            "sum": z.sum(0),
            "square": z.square().sum(0),
        }

    def select(self, stats: Mapping[str, Stats]) -> dict[str, Tensor]:
        neurons: dict[str, Tensor] = {}
        for part in sorted({s.part for s in stats.values()}):
            tower = {name: s for name, s in stats.items() if s.part == part and FORGET in s.rows and RETAIN in s.rows}
            if tower:
                chosen = top(self._score(list(tower.values())), self.share, f"the {part} tower")
                start = 0
                for name, s in tower.items():
                    neurons[name] = chosen[(chosen >= start) & (chosen < start + s.size)] - start
                    start += s.size
        return neurons

    def rewrite(self, rows: Tensor, stats: Stats, neurons: Tensor) -> Tensor:
        return torch.zeros_like(rows)

    def _score(self, tower: list[Stats]) -> Tensor:
        """Of all neurons of a tower, matrix after matrix."""
        forget, retain = (torch.cat([_side(s, group) for s in tower], 1) for group in (FORGET, RETAIN))
        if not self.standardize:
            return forget.sum(0) / (retain.sum(0) + EPS)
        return (_standard(forget) - _standard(retain)).sum(0)


def _side(stats: Stats, group: Group) -> Tensor:
    """The four measures of each neuron on one side, [4, size]."""
    both = all(g + TEXT in stats.rows for g in (FORGET, RETAIN))
    return importance(stats.sums[group], stats.sums[group + TEXT] if both else None)


def importance(m: Mapping[str, Tensor], t: Mapping[str, Tensor] | None) -> Tensor:
    """I_abs, I_freq, I_var, I_rms, [4, size], from sums over positions with and without images; see `Manu`.

    Without `t`: mean|z|, share above tau, standard deviation and root mean square themselves.
    """
    if t is None:
        size, active, square = (_mean(m, name) for name in ("abs", "active", "square"))
        return torch.stack([size, active, _variance(m).sqrt(), square.sqrt()])
    size, active, square = (_contrast(_mean(m, name), _mean(t, name)) for name in ("abs", "active", "square"))
    return torch.stack([size, active, (_variance(m) + _variance(t)).sqrt(), square.sqrt()])


def _mean(sums: Mapping[str, Tensor], name: str) -> Tensor:
    return sums[name].double() / sums["positions"]


def _variance(sums: Mapping[str, Tensor]) -> Tensor:
    return (_mean(sums, "square") - _mean(sums, "sum").square()).clamp(min=0)


def _contrast(m: Tensor, t: Tensor) -> Tensor:
    return (m - t).abs() / (m + t + EPS)


def _standard(measures: Tensor) -> Tensor:
    return (measures - measures.mean(1, keepdim=True)) / (measures.std(1, keepdim=True, correction=0) + EPS)

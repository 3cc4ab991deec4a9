"""CHIP: project what tells a target from its siblings out of the neurons that the target uses most. No training.

Note: biases stay, as in the authors' code, so a projected neuron of a layer with biases may still produce part of a
direction. A text model has no connector and no image; there the mean over the text is all there is. The projection is
over the neurons of one matrix and says nothing about the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

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
from expunge.methods.tree_groups import Relatives, siblings_of

MIN_NORM = 1e-12  # a shorter difference of activations has no direction


class Chip(WeightEdit, name="chip"):
    """Training-free: project differences from retained siblings out of the neurons that the target uses most.

    a = image * mean(image positions) + (1 - image) * mean(text positions) of a map's outputs; connector: mean
    S = top share of mean|a|_forget - mean|a|_retain    d_j = unit(mean a_S(part j of a target) - mean a_S(siblings))
    W[S,:] <- (I - QQ') W[S,:], Q = right singular vectors of the stacked d_j that reach `energy` of squared spectrum
    """

    source = "arXiv 2512.09867"

    blocks: int = Field(6, ge=1, description="last blocks that are edited, or as many as there are")
    share: float = Field(0.1, gt=0, le=1, description="share of the outputs of each matrix that is edited")
    image: float = Field(0.3, ge=0, le=1, description="weight of an image's positions against those of the text")
    energy: float = Field(0.95, gt=0, le=1, description="share of the squared spectrum that directions must reach")
    sample: int | None = Field(
        4096,
        ge=1,
        description="most retained records of a group that are read, chosen by a hash of their ids; null for all",
    )

    def selectors(self) -> tuple[NeuronSelector, ...]:
        return NeuronSelector("language", "output", self.blocks), NeuronSelector("connector", "output")

    def rows(self, forget: Sequence[Record], retain: Sequence[Record]) -> Iterator[NeuronRow]:
        relatives = Relatives.of(forget, retain)
        members: dict[Group, list[str]] = {}
        for r in retain:
            for group in (RETAIN, *relatives.siblings(r)):
                members.setdefault(group, []).append(r.id)
        chosen = {group: sample(names, self.sample) for group, names in members.items()}
        for r in forget:
            yield NeuronRow(r, (FORGET, relatives.part(r)))
        for r in retain:
            groups = tuple(g for g in (RETAIN, *relatives.siblings(r)) if r.id in chosen[g])
            if groups:
                yield NeuronRow(r, groups)

    def measure(self, part: Part, z: Tensor, image: Tensor) -> dict[str, Tensor]:
        both = part == "language" and bool(image.any()) and not bool(image.all())
        a = self.image * z[image].mean(0) + (1 - self.image) * z[~image].mean(0) if both else z.mean(0)
        return {"a": a, "size": a.abs()}

    def select(self, stats: Mapping[str, Stats]) -> dict[str, Tensor]:
        return {
            name: top(s.mean(FORGET, "size") - s.mean(RETAIN, "size"), self.share, name)
            for name, s in stats.items()
            if FORGET in s.rows and RETAIN in s.rows
        }

    def rewrite(self, rows: Tensor, stats: Stats, neurons: Tensor) -> Tensor:
        differences = [
            (stats.mean(g, "a") - stats.mean(siblings_of(g), "a"))[neurons]
            for g in sorted(stats.rows)
            if g[0] == "part" and siblings_of(g) in stats.rows
        ]
        directions = [d / d.norm() for d in differences if float(d.norm()) > MIN_NORM]
        return project_out(rows, torch.stack(directions), self.energy) if directions else rows


def project_out(rows: Tensor, directions: Tensor, energy: float) -> Tensor:
    """(I - QQ') rows [k, m], Q [k, r] the leading right singular vectors of `directions` [j, k]."""
    _, spectrum, across = torch.linalg.svd(directions.double(), full_matrices=False)
    reached = spectrum.square().cumsum(0) / spectrum.square().sum()
    q = across[: int((reached < energy - 1e-9).sum()) + 1]
    after: Tensor = rows.double() - q.T @ (q @ rows.double())
    return after.to(rows.dtype)

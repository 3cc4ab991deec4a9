"""Model editing: methods that rewrite weights after one pass over the records, without a loss and without a loop.

An edit declares which neurons it selects from, which records count in which group and what is summed of their
activations. The engine runs the model once and returns the sums; from these and the old weights the edit computes the
new ones. It never runs the model.

Note: a neuron is a row of a weight matrix where its outputs count, and a column of the map that reads it where it lies
inside a feed-forward part; an edit sees rows in both cases.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from expunge.corpus import Record
from expunge.errors import InputError
from expunge.methods.base import UnlearningMethod

Part = Literal["language", "vision", "connector"]
Group = tuple[str, ...]
FORGET: Group = ("forget",)
RETAIN: Group = ("retain",)


@dataclass(frozen=True)
class NeuronSelector:
    """Neurons of one part of the model; a vision tower or connector that a model lacks is skipped.

    neurons: `output`: outputs of linear maps, of feed-forward parts or of the whole connector. `hidden`: inputs of the
        last map of feed-forward parts.
    blocks: The last so many, or as many as there are; None for all.
    """

    part: Part
    neurons: Literal["output", "hidden"]
    blocks: int | None = None


@dataclass(frozen=True)
class NeuronRow:
    """One record that the model reads, and the groups that its activations count in."""

    record: Record
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Stats:
    """Sums of `WeightEdit.measure` over the rows of each group for one weight matrix, and the number of rows.

    Groups of which no row reached the matrix (texts never reach a vision tower) are missing.
    """

    part: Part
    size: int
    sums: Mapping[Group, Mapping[str, Tensor]]
    rows: Mapping[Group, int]

    def mean(self, group: Group, name: str) -> Tensor:
        """Mean over the rows of a group, [size]."""
        return self.sums[group][name] / self.rows[group]


class WeightEdit(UnlearningMethod):
    """Base of all edits. Subclass with `class Chip(WeightEdit, name="chip")`; fields are its settings."""

    @abstractmethod
    def selectors(self) -> tuple[NeuronSelector, ...]:
        """The neurons that are measured, and may be edited."""

    @abstractmethod
    def rows(self, forget: Sequence[Record], retain: Sequence[Record]) -> Iterator[NeuronRow]:
        """What the model reads."""

    @abstractmethod
    def measure(self, part: Part, z: Tensor, image: Tensor) -> dict[str, Tensor]:
        """What is summed of the activations of one row.

        Args:
            part: Part of the model.
            z: [T, size], float32, without padding.
            image: [T] bool, the positions of its image; all of them outside the language model.
        """

    @abstractmethod
    def select(self, stats: Mapping[str, Stats]) -> dict[str, Tensor]:
        """The neurons to edit, by matrix; a matrix that is missing stays as it is."""

    @abstractmethod
    def rewrite(self, rows: Tensor, stats: Stats, neurons: Tensor) -> Tensor:
        """New weights [k, m] for the k chosen `neurons` of a matrix, whose weights are `rows`."""


def top(score: Tensor, share: float, what: str) -> Tensor:
    """Positions of the top `share` of a score, sorted; `InputError` if that is not even one."""
    count = int(share * len(score) + 1e-9)
    if not count:
        raise InputError(
            "recipe.settings: share",
            f"{share:g} selects no neuron out of {len(score)} ({what})",
            f"give at least {math.ceil(1e5 / len(score)) / 1e5:g}",
        )
    return torch.sort(torch.sort(score, descending=True, stable=True).indices[:count]).values


def sample(names: Iterable[str], most: int | None) -> frozenset[str]:
    """At most `most` of these ids, the same ones whatever their order and on every machine."""
    if most is None:
        return frozenset(names)
    return frozenset(heapq.nsmallest(most, names, key=lambda name: hashlib.sha256(name.encode()).digest()))

"""What an edit is: a method that rewrites weights after one look at the records, without a loss and without a loop.

It says which neurons it looks at, which records count in which group and what is summed up of their activations; the
engine runs the model once and hands back the sums. From these and the old weights an edit gives the new ones. It
never runs the model. Surprising: a neuron is a row of a weight matrix where its outputs are looked at, and a column
of the map that reads it where it lies inside a feed-forward part; an edit sees rows in both cases.
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
    """Neurons of one part of the model. A vision tower or connector that a model lacks is passed over.

    neurons  "output": what linear maps give: those of feed-forward parts, or all of the connector
             "hidden": what stands inside feed-forward parts, in front of their last map
    blocks   the last so many, or as many as there are; None for all
    """

    part: Part
    neurons: Literal["output", "hidden"]
    blocks: int | None = None


@dataclass(frozen=True)
class NeuronRow:
    """One record that the model is to read, and the groups that its activations count in."""

    record: Record
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Stats:
    """Sums over the rows of each group of what `Edit.measure` gave for one weight matrix; `rows`: how many they were.

    Groups of which no row reached the matrix (texts never reach a vision tower) are not there.
    """

    part: Part
    size: int
    sums: Mapping[Group, Mapping[str, Tensor]]
    rows: Mapping[Group, int]

    def mean(self, group: Group, name: str) -> Tensor:
        """Mean over the rows of a group, [size]."""
        return self.sums[group][name] / self.rows[group]


class WeightEdit(UnlearningMethod):
    """Base of all edits. Subclass with `class Chip(Edit, name="chip")`; fields are its settings."""

    @abstractmethod
    def looks(self) -> tuple[NeuronSelector, ...]:
        """Which neurons are looked at, and may be edited."""

    @abstractmethod
    def rows(self, forget: Sequence[Record], retain: Sequence[Record]) -> Iterator[NeuronRow]:
        """What the model is to read."""

    @abstractmethod
    def measure(self, part: Part, z: Tensor, picture: Tensor) -> dict[str, Tensor]:
        """What is summed up of one row's activations `z` [T, size], float32, padding left out.

        picture  [T] bool: the positions of its picture; all of them outside the language model
        """

    @abstractmethod
    def select(self, stats: Mapping[str, Stats]) -> dict[str, Tensor]:
        """The neurons to edit, by matrix; matrices that are left as they are may be left out."""

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


def sampled(names: Iterable[str], most: int | None) -> frozenset[str]:
    """At most `most` of these ids, the same ones whatever their order and on every machine."""
    if most is None:
        return frozenset(names)
    return frozenset(heapq.nsmallest(most, names, key=lambda name: hashlib.sha256(name.encode()).digest()))

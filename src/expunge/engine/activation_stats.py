"""One look at the records: the model reads each of them once, and what an edit asks for is summed up on the way.

Nothing is kept of a pass but sums, so memory does not grow with the records. Rows with a picture go through one by
one where the vision side is looked at, or it could not be told whose picture it was; their features are never taken
from an earlier pass. Surprising: positions of prompt and answer count alike, padding never; in a vision tower or
connector all positions of a picture count, whatever their layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from expunge.engine.neuron_groups import NeuronGroup
from expunge.errors import InputError
from expunge.methods.editing import Group, NeuronRow, Stats, WeightEdit
from expunge.models.collate import Batch, by_length, collate
from expunge.models.language_model import LanguageModel

ROWS = 32  # in a pass, unless the recipe says otherwise
SORTED = 512  # rows that are encoded at a time, and passed in order of their length


@dataclass
class _Sums:
    """What is summed up of one matrix so far."""

    sums: dict[Group, dict[str, Tensor]] = field(default_factory=dict)
    rows: dict[Group, int] = field(default_factory=dict)

    def add(self, groups: Sequence[Group], measured: dict[str, Tensor]) -> None:
        for group in groups:
            known = self.sums.setdefault(group, {})
            for name, value in measured.items():
                exact = value.to(torch.float32 if value.device.type == "mps" else torch.float64)
                known[name] = known[name] + exact if name in known else exact
            self.rows[group] = self.rows.get(group, 0) + 1

    def stats(self, site: NeuronGroup) -> Stats:
        """On the CPU, where little is left to do."""
        moved = {
            group: {name: value.cpu().double() for name, value in sums.items()} for group, sums in self.sums.items()
        }
        return Stats(site.part, site.size, moved, self.rows)


@torch.no_grad()
def gather(
    lm: LanguageModel,
    edit: WeightEdit,
    found: Sequence[NeuronGroup],
    rows: Iterable[NeuronRow],
    most: int | None = None,
    after: Callable[[int], None] = lambda done: None,
) -> tuple[dict[str, Stats], int]:
    """(sums by matrix, number of rows read).

    most   rows in a pass        after  called with the number of rows after each pass; may raise to stop
    """
    sums = {site.name: _Sums() for site in found}
    beyond = any(site.part != "language" for site in found)
    shown, done = getattr(lm.module.config, "image_token_id", None), 0
    for part in _portions(rows):
        items = [lm.template.encode(row.record) for row in part]
        alone = [[k] for k, item in enumerate(items) if beyond and item.image is not None]
        others = [k for k, item in enumerate(items) if not (beyond and item.image is not None)]
        together = [[others[k] for k in ks] for ks in by_length([items[k] for k in others], most or ROWS)]
        for ks in (*alone, *together):
            batch = collate([items[k] for k in ks]).to(lm.device)
            picture = batch.input_ids == shown if shown is not None else torch.zeros_like(batch.input_ids).bool()
            with _watching(edit, found, sums, [part[k].groups for k in ks], batch, picture):
                _backbone(lm.module)(**batch.inputs, use_cache=False)
            done += len(ks)
            after(done)
    return {site.name: sums[site.name].stats(site) for site in found}, done


def _portions(rows: Iterable[NeuronRow]) -> Iterator[list[NeuronRow]]:
    stream = iter(rows)
    while part := list(islice(stream, SORTED)):
        yield part


def _backbone(module: Any) -> Any:
    """The model without its head, which nobody asks."""
    return getattr(module, "base_model", module)


@contextmanager
def _watching(
    edit: WeightEdit,
    found: Sequence[NeuronGroup],
    sums: dict[str, _Sums],
    groups: Sequence[tuple[Group, ...]],
    batch: Batch,
    picture: Tensor,
) -> Iterator[None]:
    there = batch.attention_mask.bool()

    def see(site: NeuronGroup, z: Tensor) -> None:
        if site.part != "language":
            flat = z.reshape(-1, z.shape[-1]).float()
            everywhere = torch.ones(len(flat), dtype=torch.bool, device=flat.device)
            sums[site.name].add(groups[0], edit.measure(site.part, flat, everywhere))
            return
        if z.shape[:2] != there.shape:
            raise InputError(
                site.name,
                "does not work on rows and positions, so it cannot be told whose activations these are",
                "use a method that trains",
            )
        for row, own in enumerate(groups):
            at = there[row]
            sums[site.name].add(own, edit.measure(site.part, z[row, at].float(), picture[row, at]))

    def hook(site: NeuronGroup) -> Any:
        if site.hidden:
            return site.linear.register_forward_pre_hook(lambda _, args: see(site, args[0]))
        return site.linear.register_forward_hook(lambda _, __, output: see(site, output))

    handles = [hook(site) for site in found]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()

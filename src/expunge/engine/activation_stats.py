"""One pass over the records that collects the activation statistics of an edit.

Only sums are kept, so memory does not grow with the records. Rows with an image run one by one where the vision side is
measured, since their image positions could not be assigned to rows otherwise; image features are never taken from an
earlier pass. Positions of prompt and answer count alike, padding never; in a vision tower or connector all positions of
an image count.
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

ROWS = 32  # rows in a pass without `batch.micro`
SORTED = 512  # rows that are encoded at a time and sorted by length


@dataclass
class _Sums:
    """Running sums of one matrix."""

    sums: dict[Group, dict[str, Tensor]] = field(default_factory=dict)
    rows: dict[Group, int] = field(default_factory=dict)

    def add(self, groups: Sequence[Group], measured: dict[str, Tensor]) -> None:
        for group in groups:
            sums = self.sums.setdefault(group, {})
            for name, value in measured.items():
                exact = value.to(torch.float32 if value.device.type == "mps" else torch.float64)
                sums[name] = sums[name] + exact if name in sums else exact
            self.rows[group] = self.rows.get(group, 0) + 1

    def stats(self, site: NeuronGroup) -> Stats:
        """The sums on the CPU, float64."""
        sums_by_group = {
            group: {name: value.cpu().double() for name, value in sums.items()} for group, sums in self.sums.items()
        }
        return Stats(site.part, site.size, sums_by_group, self.rows)


@torch.no_grad()
def gather(
    lm: LanguageModel,
    edit: WeightEdit,
    neuron_groups: Sequence[NeuronGroup],
    rows: Iterable[NeuronRow],
    micro: int | None = None,
    after_pass: Callable[[int], None] = lambda done: None,
) -> tuple[dict[str, Stats], int]:
    """Collect the statistics of an edit.

    Args:
        lm: the model.
        edit: what to measure.
        neuron_groups: matrices to measure at.
        rows: records with their groups.
        micro: rows in a pass, at most.
        after_pass: called with the number of rows so far; may raise to stop.

    Returns:
        (statistics by matrix, number of rows).
    """
    sums = {site.name: _Sums() for site in neuron_groups}
    has_vision = any(site.part != "language" for site in neuron_groups)
    shown, done = getattr(lm.module.config, "image_token_id", None), 0
    for part in _portions(rows):
        items = [lm.template.encode(row.record) for row in part]
        alone = [[k] for k, item in enumerate(items) if has_vision and item.image is not None]
        others = [k for k, item in enumerate(items) if not (has_vision and item.image is not None)]
        together = [[others[k] for k in ks] for ks in by_length([items[k] for k in others], micro or ROWS)]
        for ks in (*alone, *together):
            batch = collate([items[k] for k in ks]).to(lm.device)
            picture = batch.input_ids == shown if shown is not None else torch.zeros_like(batch.input_ids).bool()
            with _observing(edit, neuron_groups, sums, [part[k].groups for k in ks], batch, picture):
                _backbone(lm.module)(**batch.inputs, use_cache=False)
            done += len(ks)
            after_pass(done)
    return {site.name: sums[site.name].stats(site) for site in neuron_groups}, done


def _portions(rows: Iterable[NeuronRow]) -> Iterator[list[NeuronRow]]:
    stream = iter(rows)
    while part := list(islice(stream, SORTED)):
        yield part


def _backbone(module: Any) -> Any:
    """The model without its head."""
    return getattr(module, "base_model", module)


@contextmanager
def _observing(
    edit: WeightEdit,
    neuron_groups: Sequence[NeuronGroup],
    sums: dict[str, _Sums],
    groups: Sequence[tuple[Group, ...]],
    batch: Batch,
    picture: Tensor,
) -> Iterator[None]:
    attended = batch.attention_mask.bool()

    def observe(site: NeuronGroup, z: Tensor) -> None:
        if site.part != "language":
            flat = z.reshape(-1, z.shape[-1]).float()
            all_positions = torch.ones(len(flat), dtype=torch.bool, device=flat.device)
            sums[site.name].add(groups[0], edit.measure(site.part, flat, all_positions))
            return
        if z.shape[:2] != attended.shape:
            raise InputError(
                site.name,
                "does not work on rows and positions, so it cannot be told whose activations these are",
                "use a method that trains",
            )
        for row, own in enumerate(groups):
            at = attended[row]
            sums[site.name].add(own, edit.measure(site.part, z[row, at].float(), picture[row, at]))

    def hook(site: NeuronGroup) -> Any:
        if site.hidden:
            return site.linear.register_forward_pre_hook(lambda _, args: observe(site, args[0]))
        return site.linear.register_forward_hook(lambda _, __, output: observe(site, output))

    handles = [hook(site) for site in neuron_groups]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()

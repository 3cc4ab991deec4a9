"""Unlearning without training: one look at the records, new weights, and the old ones kept to undo it.

Surprising: `undo.safetensors` holds what the model knew of the target, so whoever has it can bring that back. Delete
it when nobody needs to go back; the run stays whole without it.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from expunge._io import digest_files, write_atomic, write_json
from expunge.engine.activation_stats import gather
from expunge.engine.event import Event, peak_memory
from expunge.engine.neuron_groups import NeuronGroup, find_neuron_groups
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.engine.run_directory import RunDirectory
from expunge.errors import InputError, Interrupted, RunFailed
from expunge.methods.editing import WeightEdit
from expunge.models.language_model import LanguageModel
from expunge.scope.split import Split

UNDO = "undo.safetensors"
ROWS, NEURONS = ".rows", ".neurons"  # behind the name of a matrix


@dataclass(frozen=True)
class WeightDelta:
    """What an edit did to one matrix: the weights [k, m] of some neurons as they were."""

    site: NeuronGroup
    neurons: Tensor
    before: Tensor

    @property
    def norm(self) -> float:
        """Length of the change."""
        return float((self.site.read(self.neurons).double() - self.before.double()).norm())


def edit_weights(
    lm: LanguageModel,
    edit: WeightEdit,
    split: Split,
    most: int | None = None,
    after: Callable[[int], None] = lambda done: None,
) -> tuple[list[WeightDelta], int]:
    """Edit the weights of `lm` in place: (what changed, rows read). Nothing changes if anything fails.

    most   rows in a pass        after  called with the number of rows after each pass; may raise to stop
    """
    found = find_neuron_groups(lm.module, edit.selectors())
    stats, read = gather(lm, edit, found, edit.rows(split.forget, split.retain), most, after)
    chosen = edit.select(stats)
    planned: list[tuple[WeightDelta, Tensor]] = []
    for site in found:
        neurons = chosen.get(site.name)
        if neurons is not None and len(neurons):
            before = site.read(neurons)
            rows = edit.rewrite(before.float().cpu(), stats[site.name], neurons)
            if not rows.isfinite().all():
                raise RunFailed(site.name, "would get weights that are no numbers", "check that the model is sound")
            planned.append((WeightDelta(site, neurons, before), rows))
    for change, rows in planned:
        change.site.write(change.neurons, rows)
    return [change for change, _ in planned], read


def check_editable(recipe: ResolvedRecipe, split: Split) -> None:
    """`InputError` where there is nothing to compare."""
    for name, records in (("forget set", split.forget), ("retain set", split.retain)):
        if not records:
            raise InputError(
                name,
                f"is empty, and {recipe.recipe.method} compares what must go with what stays",
                "give a scope that matches something and leaves something",
            )


def run_edit(
    run: RunDirectory,
    lm: LanguageModel,
    resolved: ResolvedRecipe,
    split: Split,
    stopped: Callable[[], bool],
    on_step: Callable[[Event, int], None] | None,
) -> None:
    """Edit `lm` and write a finished run: one event, the whole model, and what undoes it.

    Nothing is written before all is known, so what cannot be done leaves no folder, and a killed run starts anew.
    """
    edit = resolved.edit
    assert edit is not None
    check_editable(resolved, split)
    started = time.perf_counter()

    def after(done: int) -> None:
        if stopped():
            raise Interrupted(
                str(run.folder), f"stopped after {done} rows, nothing was written", "start the same command again"
            )

    changes, read = edit_weights(lm, edit, split, resolved.recipe.batch.micro, after)
    run.start(resolved.to_yaml())
    run.truncate_events(0)
    norm = math.sqrt(sum(change.norm**2 for change in changes))
    event = Event(0, 0, math.nan, math.nan, norm, 1.0, time.perf_counter() - started, memory=peak_memory(lm.device))
    run.log(event)
    if on_step:
        on_step(event, 1)
    target = lm.save(run.folder / "model")
    _keep(changes, run.folder / UNDO)
    write_json(
        run.folder / "result.json",
        {"digest": digest_files(target, [f.name for f in target.iterdir() if f.suffix == ".safetensors"])},
    )
    run.finish(
        passes=f"one pass over {read} rows",
        seconds=round(time.perf_counter() - started, 3),
        steps=1,
        edited={
            "matrices": len(changes),
            "neurons": sum(len(c.neurons) for c in changes),
            "norm": float(f"{norm:.6g}"),
        },
    )


def _keep(changes: list[WeightDelta], file: Path) -> None:
    from safetensors.torch import save

    tensors = {
        f"{c.site.name}{end}": t.cpu().contiguous()
        for c in changes
        for end, t in ((ROWS, c.before), (NEURONS, c.neurons))
    }
    hidden = {c.site.name: c.site.hidden for c in changes}
    write_atomic(file, save(tensors, {"hidden": json.dumps(hidden)}))


def revert(lm: LanguageModel, file: Path | str) -> LanguageModel:
    """Put the weights back that an edit kept in `undo.safetensors`, bit for bit; `lm` is the run's model, changed.

    `InputError` if the file is missing, broken or of another model.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), "pt") as kept:
            hidden = json.loads(kept.metadata()["hidden"])
            found = {name: (kept.get_tensor(name + NEURONS), kept.get_tensor(name + ROWS)) for name in hidden}
    except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(
            str(file), "is no file that an edit kept to undo it", "name the undo.safetensors of a run"
        ) from error
    modules = dict(lm.module.named_modules())
    for name, (neurons, rows) in found.items():
        site = NeuronGroup(name, modules.get(name), "language", hidden[name])
        if (
            site.linear is None
            or site.read(torch.zeros(1, dtype=torch.int64)).shape[1:] != rows.shape[1:]
            or int(neurons.max()) >= site.size
        ):
            raise InputError(
                str(file), f"belongs to another model ({name} does not fit)", "use the model of the same run"
            )
    for name, (neurons, rows) in found.items():
        NeuronGroup(name, modules[name], "language", hidden[name]).write(neurons, rows)
    return lm

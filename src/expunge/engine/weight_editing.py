"""Unlearning without training: one pass over the records, new weights, and the old ones kept to revert the edit.

Note: `undo.safetensors` restores what the model knew of the target. Delete it when the edit is final; the run does not
need it.
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

from expunge._io import write_atomic, write_json
from expunge._printable import pluralize
from expunge.engine.activation_stats import gather
from expunge.engine.event import Event, peak_memory
from expunge.engine.neuron_groups import NeuronGroup, find_neuron_groups
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.engine.run_directory import RunDirectory
from expunge.errors import InputError, Interrupted, RunFailed
from expunge.methods.editing import WeightEdit
from expunge.models.fingerprint import result_facts
from expunge.models.language_model import LanguageModel
from expunge.scope.split import Split

UNDO = "undo.safetensors"
ROWS, NEURONS = ".rows", ".neurons"  # suffixes of a matrix name in the file


@dataclass(frozen=True)
class WeightDelta:
    """The change of one matrix: some neurons, and their weights [k, m] before the edit."""

    group: NeuronGroup
    neurons: Tensor
    before: Tensor

    @property
    def norm(self) -> float:
        """Frobenius norm of the change."""
        return float((self.group.read(self.neurons).double() - self.before.double()).norm())


def edit_weights(
    lm: LanguageModel,
    edit: WeightEdit,
    split: Split,
    micro: int | None = None,
    after_pass: Callable[[int], None] = lambda done: None,
) -> tuple[list[WeightDelta], int]:
    """Edit the weights of `lm` in place; nothing changes if anything fails.

    Args:
        lm: the model.
        edit: the edit.
        split: forget and retain records.
        micro: rows in a pass, at most.
        after_pass: called with the number of rows so far; may raise to stop.

    Returns:
        (changes, number of rows read).
    """
    groups = find_neuron_groups(lm.module, edit.selectors())
    stats, read = gather(lm, edit, groups, edit.rows(split.forget, split.retain), micro, after_pass)
    chosen = edit.select(stats)
    planned: list[tuple[WeightDelta, Tensor]] = []
    for group in groups:
        neurons = chosen.get(group.name)
        if neurons is not None and len(neurons):
            before = group.read(neurons)
            rows = edit.rewrite(before.float().cpu(), stats[group.name], neurons)
            if not rows.isfinite().all():
                raise RunFailed(group.name, "would get weights that are not finite", "check the weights of the model")
            planned.append((WeightDelta(group, neurons, before), rows))
    for change, rows in planned:
        change.group.write(change.neurons, rows)
    return [change for change, _ in planned], read


def check_editable(recipe: ResolvedRecipe, split: Split) -> None:
    """`InputError` if a set is empty."""
    for name, records in (("forget set", split.forget), ("retain set", split.retain)):
        if not records:
            raise InputError(
                name,
                f"is empty, and {recipe.recipe.method} compares forget records with retain records",
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
    """Edit `lm` and write a finished run: one event, the whole model, and the old weights.

    Nothing is written before the edit is complete, so a failed or killed run leaves no folder.
    """
    edit = resolved.edit
    assert edit is not None
    check_editable(resolved, split)
    started = time.perf_counter()

    def after_pass(done: int) -> None:
        if stopped():
            raise Interrupted(
                str(run.folder),
                f"stopped after {pluralize(done, 'row')}, nothing was written",
                "start the same command again",
            )

    changes, read = edit_weights(lm, edit, split, resolved.recipe.batch.micro, after_pass)
    run.start(resolved.to_yaml())
    run.truncate_events(0)
    norm = math.sqrt(sum(change.norm**2 for change in changes))
    event = Event(0, 0, math.nan, math.nan, norm, 1.0, time.perf_counter() - started, memory=peak_memory(lm.device))
    run.log(event)
    if on_step:
        on_step(event, 1)
    target = lm.save(run.folder / "model")
    _save_undo(changes, run.folder / UNDO)
    write_json(run.folder / "result.json", result_facts(target))
    run.finish(
        passes=f"one pass over {pluralize(read, 'row')}",
        seconds=round(time.perf_counter() - started, 3),
        steps=1,
        edited={
            "matrices": len(changes),
            "neurons": sum(len(c.neurons) for c in changes),
            "norm": float(f"{norm:.6g}"),
        },
    )


def _save_undo(changes: list[WeightDelta], file: Path) -> None:
    from safetensors.torch import save

    tensors = {
        f"{c.group.name}{end}": t.cpu().contiguous()
        for c in changes
        for end, t in ((ROWS, c.before), (NEURONS, c.neurons))
    }
    hidden = {c.group.name: c.group.hidden for c in changes}
    write_atomic(file, save(tensors, {"hidden": json.dumps(hidden)}), private=True)


def revert(lm: LanguageModel, file: Path | str) -> LanguageModel:
    """Restore, bit by bit, the weights that an edit stored in `undo.safetensors`; `lm` is the model of the run.

    Raises:
        InputError: the file is missing, broken or of another model.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), "pt") as stored:
            hidden = json.loads(stored.metadata()["hidden"])
            weights = {n: (stored.get_tensor(n + NEURONS), stored.get_tensor(n + ROWS)) for n in hidden}
    except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(
            str(file), "is no file of old weights that an edit wrote", "name the undo.safetensors of a run"
        ) from error
    modules = dict(lm.module.named_modules())
    for name, (neurons, rows) in weights.items():
        group = NeuronGroup(name, modules.get(name), "language", hidden[name])
        if (
            group.linear is None
            or group.read(torch.zeros(1, dtype=torch.int64)).shape[1:] != rows.shape[1:]
            or int(neurons.max()) >= group.size
        ):
            raise InputError(
                str(file), f"belongs to another model ({name} does not fit)", "use the model of the same run"
            )
    for name, (neurons, rows) in weights.items():
        NeuronGroup(name, modules[name], "language", hidden[name]).write(neurons, rows)
    return lm

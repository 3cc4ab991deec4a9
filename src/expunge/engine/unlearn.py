"""`unlearn(model, split, recipe, out)`: one unlearning run in one folder. The same call again resumes it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from expunge._io import digest, relative_to, write_json
from expunge.corpus.record_store import digest_each
from expunge.engine.chain_reference import load_original
from expunge.engine.checkpoint import fitting
from expunge.engine.condition_digests import concepts_digest, controls_digest
from expunge.engine.distributed import DistributedContext, check_single_process
from expunge.engine.event import Event
from expunge.engine.fallback_records import fallback_summary
from expunge.engine.guards import record_guards
from expunge.engine.interrupt import watch_for_stop
from expunge.engine.loop import Loop
from expunge.engine.loop_builder import build_loop
from expunge.engine.loss_signature import run_warnings
from expunge.engine.privacy.privacy_engine import PrivacyEngine
from expunge.engine.privacy.privacy_state import drop_seed
from expunge.engine.recipe import Recipe
from expunge.engine.request_chain import request_summary
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.engine.run_directory import SCRATCH, RunDirectory
from expunge.engine.run_model import load_run_model, name_base_model, record_reading, record_share
from expunge.engine.saliency_note import saliency_summary
from expunge.engine.weight_editing import run_edit
from expunge.errors import InputError, Interrupted, RunFailed
from expunge.models.adapters import prepare
from expunge.models.documents import split_documents
from expunge.models.fingerprint import check_result, model_digest, result_facts, tokenizer_digest
from expunge.models.fsdp import shard
from expunge.models.run_file import ChainLink
from expunge.models.source import whole_run
from expunge.models.threads import set_threads
from expunge.scope.split import Split

OnStep = Callable[[Event, int], None]


def unlearn(
    model: str | Path,
    split: Split,
    recipe: Recipe,
    out: str | Path,
    *,
    template: str = "auto",
    device: str | None = None,
    dtype: str = "auto",
    on_step: OnStep | None = None,
    notes: Sequence[str] = (),
    chain: Sequence[ChainLink] = (),
) -> Path:
    """Make a model forget `split.forget`.

    A finished run is returned as it is; a killed one resumes from its checkpoint to bit-identical weights. In every
    process of `torchrun` or `accelerate launch` it shares the work; all must see `out`, the first writes it. Another
    number of processes gives the same weights to rounding. An edit takes no steps and starts anew if it was killed.

    Args:
        model: model folder, run directory, adapter folder, GGUF file or hub id; never changed.
        split: forget and retain records.
        recipe: everything else that decides the result.
        out: run directory, new or of the same run.
        template: prompt template.
        device: torch device; the default is chosen by availability.
        dtype: precision of the weights that stay: auto (as stored), float32, bfloat16, or int8 and nf4 through
            bitsandbytes. What trains is float32.
        on_step: called in every process with each event and the number of steps, which falls when the run stops early.
        notes: lines on how the recipe came about, kept as comments in recipe.yaml and in run.json.
        chain: earlier requests on this model (`request_chain.chain_after`), kept in run.json; `split` is then that of
            `request_chain.split_after`.

    Returns:
        The run directory.

    Raises:
        InputError: `out` holds another run, or the records, recipe and model do not fit together.
        Interrupted: after Ctrl-C or SIGTERM; the checkpoint is kept.
        RunFailed: the gradient is no longer finite, or the privacy self-test failed.
    """
    context = DistributedContext.init(device)
    with context.report_once():
        resolved = recipe.resolve()
        check_single_process(resolved.single_process_reason)
        run = UnlearningRun(context, model, split, resolved, Path(out), template, device, notes, dtype, chain)
        try:
            if run.open():
                return run.directory.folder
            with watch_for_stop() as stopped:
                if resolved.edit:
                    run.edit(stopped, on_step)
                    return run.directory.folder
                run.prepare()
                run.train(stopped, on_step)
            run.save()
            return run.directory.folder
        finally:
            run.close()


class UnlearningRun:
    """One run: `open` its folder, then `edit`, or `prepare`, `train` and `save`; `close` in any case."""

    directory: RunDirectory
    loop: Loop

    def __init__(
        self,
        context: DistributedContext,
        model: str | Path,
        split: Split,
        resolved: ResolvedRecipe,
        out: Path,
        template: str,
        device: str | None,
        notes: Sequence[str] = (),
        dtype: str = "auto",
        chain: Sequence[ChainLink] = (),
    ) -> None:
        self.context, self.split, self.resolved, self.recipe = context, split, resolved, resolved.recipe
        self.model, self.out, self.template, self.device = whole_run(model), out, template, device
        self.notes, self.dtype, self.chain = tuple(notes), dtype, tuple(chain)
        self.privacy: PrivacyEngine | None = None
        self.started = time.perf_counter()

    def open(self) -> bool:
        """Take the folder; true if it already holds the finished run. Nothing is written."""
        identity = {
            "recipe": self.recipe.digest,
            "model": model_digest(self.model),
            "tokenizer": tokenizer_digest(self.model),
            "split": self.split.training_digest,
            "records": digest_each(r.training_content() for r in chain(self.split.forget, self.split.retain)),
            "template": self.template,
            **({} if self.dtype == "auto" else {"dtype": self.dtype}),
            **concepts_digest(self.resolved),
            **controls_digest(self.resolved, self.split),
        }
        about = {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "model": relative_to(self.out, self.model),
            "template": self.template,
            "method": self.recipe.method,
            "scope": self.split.scope,
            "split": self.split.summary(),
            "near_duplicates": self.split.near_duplicate_summary(),
            "request": request_summary(self.split, self.recipe.seed),
            **({"chain": [link.model_dump() for link in self.chain]} if self.chain else {}),
            **fallback_summary(self.resolved, self.split.forget),
            "threads": set_threads(),
            **({"auto": list(self.notes)} if self.notes else {}),
            **({"say": self.resolved.algorithm.says} if self.resolved.algorithm.says else {}),
        }
        opened = self.context.broadcast_from_main(lambda: RunDirectory.open(self.out, identity, about).about)
        self.directory = RunDirectory(self.out, opened)
        with self.context.synchronized():
            self._check_identity(identity)
        if self.directory.finished:
            with self.context.synchronized():
                check_result(self.out)
            drop_seed(self.out)
            return True
        set_threads(opened["threads"])
        return False

    def _check_identity(self, identity: dict[str, str]) -> None:
        differing = [k for k, v in identity.items() if self.directory.about["identity"][k] != v]
        if differing:
            raise InputError(
                f"process {self.context.process_index}",
                f"was given another {', '.join(differing)} than the first process",
                "start all of them with the same command on the same files",
            )

    def edit(self, stopped: Callable[[], bool], on_step: OnStep | None) -> None:
        """Edit the weights and write the finished run."""
        lm = load_run_model(self.model, self.directory.about, self.device, self.dtype)
        record_reading(lm, self.model, self.split, self.directory)
        split = self.split
        record_guards(lm, self.resolved, split.guards, self.directory.about)
        if any(r.kind == "document" for r in split.forget):
            forget, retain = (split_documents(part, lm.template) for part in (split.forget, split.retain))
            split = replace(split, forget=forget, retain=retain)
        run_edit(self.directory, lm, self.resolved, split, stopped, on_step)

    def prepare(self) -> None:
        """Load the model, build the loop, start the folder, and go on from a checkpoint."""
        context, recipe, folder = self.context, self.recipe, self.directory.folder
        sharded = recipe.parallel.shard and context.num_processes > 1
        with context.synchronized():
            # a model that will be sharded need not fit the device
            device = "cpu" if sharded else self.device
            lm = load_run_model(self.model, self.directory.about, device, self.dtype)
            record_reading(lm, self.model, self.split, self.directory)
            lm = lm.with_module(prepare(lm.module, recipe.train, recipe.seed))
            record_share(lm, recipe.train, self.directory.about)
            self.directory.about |= saliency_summary(lm, self.resolved)
        if sharded:
            shard(lm.module, context.device, context.num_processes)
        with context.synchronized():
            self.privacy = PrivacyEngine.of(self.resolved, self.split.forget, self.split.retain, folder)
            split, plan = self.split, (self.resolved, self.directory.about, self.device)
            self.loop = build_loop(
                lm,
                self.resolved,
                split.forget,
                split.retain,
                folder / SCRATCH,
                privacy=self.privacy,
                controls=split.controls,
                guards=record_guards(lm, self.resolved, split.guards, self.directory.about),
                original=None if sharded else load_original(self.model, self.chain, *plan),
            )
        self._check_rows()
        context.broadcast_from_main(lambda: self.directory.start(self.resolved.to_yaml(self.notes)))
        if self.privacy:
            self.privacy.begin(folder)
        state = context.main_process_first(self.directory.load_checkpoint)
        if state:
            with context.synchronized(), fitting(self.directory.checkpoint):
                self.loop.state.restore(state, self.resolved.total_steps)
                self.loop.runner.about = state["passes"]  # of a run that has no step left
        context.broadcast_from_main(lambda: self.directory.truncate_events(self.loop.state.step))

    def _check_rows(self) -> None:
        """`RunFailed` if rounding (targets may be chosen by likelihood) gave this process other rows than the first."""
        rows = (
            digest([(e.prompt, e.answer) for e in self.loop.dataset.encoded]) if self.context.num_processes > 1 else ""
        )
        first = self.context.broadcast_from_main(lambda: rows)
        with self.context.synchronized():
            if rows != first:
                raise RunFailed(
                    f"process {self.context.process_index}",
                    "drew other rows than the first process",
                    "use the same kind of device and the same packages in all of them",
                )

    def train(self, stopped: Callable[[], bool], on_step: OnStep | None) -> None:
        """Run the loop; log every step, write checkpoints, stop when asked to."""
        context, directory = self.context, self.directory

        def after_step(event: Event) -> None:
            with context.synchronized():
                if context.is_main_process:
                    directory.log(event)
                if on_step:
                    on_step(event, self.loop.end)
            stop, step = context.any(stopped()), self.loop.state.step
            if stop or step % self.recipe.checkpoint_every == 0:
                context.broadcast_from_main(lambda: directory.save_checkpoint(self._state()))
                if self.privacy:
                    self.privacy.write(directory.folder)
            if stop:
                raise Interrupted(
                    str(directory.folder),
                    f"stopped at step {step} of {self.loop.end}, checkpoint kept",
                    "start the same command again to resume",
                )

        self.loop.run(after_step)

    def _state(self) -> dict[str, Any]:
        return self.loop.state.to_dict() | {"passes": self.loop.runner.about}

    def save(self) -> None:
        """Write the adapter or model and mark the run as finished."""
        self.context.broadcast_from_main(self._save)
        drop_seed(self.directory.folder)

    def _save(self) -> None:
        folder = self.directory.folder
        target = folder / ("adapter" if self.recipe.train.which == "lora" else "model")
        self.loop.lm.save(target)
        name_base_model(target, self.directory.about)
        write_json(folder / "result.json", result_facts(target))
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        if self.privacy:
            self.privacy.write(folder, "finished")
        self.directory.finish(
            passes=self.loop.runner.about,
            seconds=round(time.perf_counter() - self.started, 3),
            steps=self.loop.state.step,
            **run_warnings(folder),
            **self.loop.stopped(),
        )

    def close(self) -> None:
        """Release the lock of the folder."""
        if hasattr(self, "directory"):
            self.directory.release()

"""The front door of the engine: `unlearn(model, split, recipe, out)`. Same call again: resume, or nothing to do."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from types import FrameType

from expunge._io import digest, digest_files, read_json, write_json
from expunge.corpus.record_store import digest_each
from expunge.engine import checkpoint
from expunge.engine.distributed import DistributedContext
from expunge.engine.loop import Event, Loop
from expunge.engine.privacy.privacy_engine import PrivacyEngine
from expunge.engine.privacy.privacy_state import drop_seed
from expunge.engine.recipe import Recipe
from expunge.engine.run_directory import RunDirectory
from expunge.engine.weight_editing import run_edit
from expunge.errors import InputError, Interrupted, RunFailed
from expunge.models.adapters import prepare
from expunge.models.fsdp import shard
from expunge.models.language_model import LanguageModel, load, merge_adapter
from expunge.models.threads import set_threads
from expunge.scope.split import Split

SCRATCH = "cache"  # hidden states that did not fit the memory; a resumed run finds them there
CONTENT = (".json", ".safetensors", ".bin", ".model", ".txt", ".jinja")


def model_digest(source: str) -> str:
    """SHA-256 over weights, configuration and tokenizer of a local folder; a hub id stands for itself.

    A run is what it started from, its recipe and its result. Times and places do not count.
    """
    folder = Path(source)
    if not folder.is_dir():
        return source
    if (folder / "run.json").is_file():
        result = folder / "result.json"
        return digest([read_json(folder / "run.json").get("identity"), read_json(result) if result.is_file() else None])
    return digest_files(
        folder, [f.name for f in folder.iterdir() if f.is_file() and f.suffix in CONTENT and f.name != "train.json"]
    )


@contextmanager
def watch_for_stop() -> Iterator[Callable[[], bool]]:
    """A function that is true from the first Ctrl-C or SIGTERM on; a second Ctrl-C stops at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop.is_set
        return

    def ask(signum: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    old = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop.is_set
    finally:
        for s, handler in old.items():
            signal.signal(s, handler)


def unlearn(
    model: str | Path,
    split: Split,
    recipe: Recipe,
    out: str | Path,
    *,
    template: str = "auto",
    device: str | None = None,
    on_step: Callable[[Event, int], None] | None = None,
) -> Path:
    """Make `model` forget `split.forget` as `recipe` says; returns the run directory.

    model    folder, run directory or hub id; it is never changed
    on_step  called with each event and the total number of steps, in every process
    A finished run is returned as it is; a killed one resumes from its checkpoint to bit-identical weights.
    Called in every process of `torchrun` or `accelerate launch`, they share the work and the first writes `out`,
    which all must see; another number of processes gives the same weights to rounding.
    `InputError` if `out` holds another run; `Interrupted` after Ctrl-C, with the checkpoint kept.
    A recipe whose method edits weights takes no steps (`engine/weight_editing.py`); if killed, it starts anew.
    """
    ranks = DistributedContext.join(device)
    with ranks.alike(), ExitStack() as at_the_end:
        return _unlearn(ranks, at_the_end, model, split, recipe, Path(out), template, device, on_step)


def _unlearn(
    ranks: DistributedContext,
    at_the_end: ExitStack,
    model: str | Path,
    split: Split,
    recipe: Recipe,
    out: Path,
    template: str,
    device: str | None,
    on_step: Callable[[Event, int], None] | None,
) -> Path:
    recipe.checked()
    identity = {
        "recipe": recipe.digest,
        "model": model_digest(str(model)),
        "split": split.digest,
        "records": digest_each(r.content() for r in chain(split.forget, split.retain)),
        "template": template,
        **_concepts(recipe),
    }
    source = str(Path(model).resolve()) if Path(model).exists() else str(model)
    about = {
        "model": source,
        "template": template,
        "method": recipe.method,
        "scope": split.scope,
        "split": split.summary(),
        "threads": set_threads(),
    }
    run = RunDirectory(out, ranks.broadcast_from_main(lambda: RunDirectory.open(out, identity, about).about))
    at_the_end.callback(run.release)
    with ranks.stage():
        _same_run(ranks, run, identity)
    if run.finished:
        drop_seed(run.folder)
        return run.folder
    set_threads(run.about["threads"])
    started = time.perf_counter()
    with watch_for_stop() as stopped:
        if edit := recipe.build_edit():
            run_edit(
                run, merge_adapter(load(model, template=template, device=device)), edit, recipe, split, stopped, on_step
            )
            return run.folder
        with ranks.stage():
            lm = merge_adapter(load(model, template=template, device=_where(recipe, ranks, device)))
            lm = lm.with_module(prepare(lm.module, recipe.train, recipe.seed))
        if recipe.parallel.shard and ranks.count > 1:
            shard(lm.module, ranks.device, ranks.count)
        with ranks.stage():
            private = PrivacyEngine.of(recipe, split.forget, split.retain, run.folder)
            loop = Loop(lm, recipe, split.forget, split.retain, run.folder / SCRATCH, private=private)
        _same_rows(ranks, loop)
        ranks.broadcast_from_main(lambda: run.start(recipe.to_yaml()))
        if private:
            private.begin(run.folder)
        state = ranks.main_process_first(lambda: checkpoint.load(run.checkpoint))
        if state:
            loop.restore(state)
        ranks.broadcast_from_main(lambda: run.truncate_events(loop.step))

        def after(event: Event) -> None:
            with ranks.stage():
                if ranks.first:
                    run.log(event)
                if on_step:
                    on_step(event, recipe.total_steps)
            stop = ranks.any(stopped())
            if stop or loop.step % recipe.checkpoint_every == 0:
                ranks.broadcast_from_main(lambda: checkpoint.save(run.checkpoint, loop.state()))
                if private:
                    private.write(run.folder)
            if stop:
                raise Interrupted(
                    str(run.folder),
                    f"stopped at step {loop.step} of {recipe.total_steps}, checkpoint kept",
                    "start the same command again to resume",
                )

        loop.run(after)

    def finish() -> None:
        _save(lm, recipe, run)
        shutil.rmtree(run.folder / SCRATCH, ignore_errors=True)
        if private:
            private.write(run.folder, "finished")
        run.finish(passes=loop.passes.about, seconds=round(time.perf_counter() - started, 3), steps=recipe.total_steps)

    ranks.broadcast_from_main(finish)
    drop_seed(run.folder)
    return run.folder


def _concepts(recipe: Recipe) -> dict[str, str]:
    """What stands in the concept files that the recipe names; nothing where it names none."""
    hierarchy, dictionary = recipe.hierarchy(), recipe.concepts.dictionary
    held = [
        hierarchy.model_dump(mode="json") if hierarchy else None,
        digest_files(Path(dictionary).parent, [Path(dictionary).name]) if dictionary else None,
    ]
    return {"concepts": digest(held)} if any(held) else {}


def _same_run(ranks: DistributedContext, run: RunDirectory, identity: dict[str, str]) -> None:
    """`InputError` if this process was given something else than the first."""
    differs = [k for k, v in identity.items() if run.about["identity"][k] != v]
    if differs:
        raise InputError(
            f"process {ranks.index}",
            f"was given another {', '.join(differs)} than the first process",
            "start all of them with the same command on the same files",
        )


def _same_rows(ranks: DistributedContext, loop: Loop) -> None:
    """`RunFailed` if rounding (targets may be chosen by likelihood) gave this process other rows than the first."""
    mine = digest([(i.prompt, i.answer) for i in loop.table.encoded]) if ranks.count > 1 else ""
    first = ranks.broadcast_from_main(lambda: mine)
    with ranks.stage():
        if mine != first:
            raise RunFailed(
                f"process {ranks.index}",
                "drew other rows than the first process",
                "use the same kind of device and the same packages in all of them",
            )


def _where(recipe: Recipe, ranks: DistributedContext, device: str | None) -> str | None:
    """Where the model is loaded: what is to be cut into parts need not fit the device."""
    return "cpu" if recipe.parallel.shard and ranks.count > 1 else device


def _save(lm: LanguageModel, recipe: Recipe, run: RunDirectory) -> None:
    target = run.folder / ("adapter" if recipe.train.which == "lora" else "model")
    lm.save(target)
    write_json(
        run.folder / "result.json",
        {"digest": digest_files(target, [f.name for f in target.iterdir() if f.suffix == ".safetensors"])},
    )

"""`expunge plan`: what `expunge unlearn` would take (steps, time, memory, cache) before anything is started.

Surprising: it loads the model and times a few passes of it, so it takes a few seconds; it writes nothing.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expunge.cli.options import Loader, Mapping, Sets
from expunge.cli.result import CommandResult, ResultTable
from expunge.errors import InputError

if TYPE_CHECKING:
    from expunge.corpus import Corpus
    from expunge.engine.estimate.run_estimate import RunEstimate
    from expunge.scope import Split


def estimate(
    model: Annotated[str, typer.Option(help="Model folder, run folder or hub id; it is not changed.")],
    data: Annotated[Path, typer.Option("--data", "--corpus", help="Records: a file or a folder, as for unlearn.")],
    scope: Annotated[
        str | None, typer.Option("--scope", help="What must be forgotten; else the subject with the most records.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="Name of a shipped recipe, or a YAML file.")] = "twin",
    set_: Sets = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the run and of the retain_heldout records.")] = None,
    preview_layers: Annotated[
        int | None,
        typer.Option("--preview-layers", min=1, help="Last blocks that the preview trains; a quarter if not given."),
    ] = None,
    loader: Loader = None,
    map_: Mapping = None,
) -> CommandResult:
    """Estimate steps, time, memory and cache of a run before it starts."""
    from expunge.corpus import load_corpus
    from expunge.engine.estimate.estimate_run import estimate_run
    from expunge.engine.privacy.statement import planned_statement, statement_lines
    from expunge.engine.recipe import Recipe

    chosen = Recipe.load(recipe, [*(set_ or []), *([] if seed is None else [f"seed={seed}"])])
    split = _split(load_corpus(data, loader, map_), scope, chosen.seed)
    found, alone = estimate_run(model, split, chosen, preview_layers=preview_layers)
    told: dict[str, Any] = {
        "model": model,
        "recipe": recipe,
        "method": chosen.method,
        "seed": chosen.seed,
        "split": split.summary(),
        "rows": [e.as_row() for e in found],
        "no_other_row": alone,
    }
    if chosen.privacy:
        told["privacy"] = planned_statement(chosen.resolve(), split.forget, split.retain)
    lines = (
        f"{chosen.method}: {len(split.forget):,} records to forget ({split.scope}), {len(split.retain):,} "
        f"retained; nothing was started",
    )
    private = statement_lines(told["privacy"]) if chosen.privacy else []
    return CommandResult(told, (*lines, *private, *tables(found), *([f"no second row: {alone}"] if alone else [])))


def _split(corpus: Corpus, scope: str | None, seed: int) -> Split:
    from expunge.scope import Scope
    from expunge.scope.resolve import resolve

    if scope is not None:
        return Scope.parse(scope).resolve(corpus, seed=seed)
    count = Counter(r.subject for r in corpus.trained if r.subject and r.identifiers)
    count = count or Counter(r.subject for r in corpus.trained if r.subject)
    if not count:
        raise InputError("--scope", "is missing, and no record names a subject", "name what to forget")
    subject = max(count, key=lambda name: (count[name], name))
    chosen = frozenset(r.id for r in corpus.trained if r.subject == subject)
    return resolve(corpus, chosen, None, f"subject {subject}", seed=seed)


def tables(found: list[RunEstimate]) -> tuple[ResultTable, ResultTable]:
    """What runs and how long, and what it holds."""
    work = ResultTable(
        ("run", "what runs", "steps", "rows drawn", "load", "build", "steps take", "save", "together"),
        [
            (
                e.name,
                what_runs(e),
                e.steps,
                e.rows_drawn,
                duration(e.load_seconds),
                duration(e.prepare_seconds),
                duration(e.train_seconds),
                duration(e.save_seconds),
                duration(e.seconds),
            )
            for e in found
        ],
    )
    memory = ResultTable(
        ("run", "peak memory", "process", "weights", "optimizer", "activations", "caches", "prefix cache"),
        [
            (
                e.name,
                *(
                    mib(n)
                    for n in (
                        e.memory.peak,
                        e.memory.process,
                        e.memory.weights,
                        e.memory.optimizer,
                        e.memory.activations,
                        e.memory.caches,
                    )
                ),
                f"{mib(e.cache_bytes)} in {'memory' if e.cache_location == 'memory' else 'a file'}"
                if e.cache_bytes
                else "none",
            )
            for e in found
        ],
    )
    return work, memory


def what_runs(e: RunEstimate) -> str:
    """`blocks 6-7 of 8 train, the first 6 cached`."""
    first, last = (e.blocks[0], e.blocks[-1]) if e.blocks else (0, e.block_count - 1)
    whole = e.blocks == tuple(range(first, last + 1))
    named = (
        (f"{first}-{last}" if last > first else str(first)) if whole or not e.blocks else ", ".join(map(str, e.blocks))
    )
    train = f"block{'s' if last > first else ''} {named} of {e.block_count} {e.verb}"
    if e.cached_blocks:
        return f"{train}, the first {e.cached_blocks} cached"
    return f"{train}, no cache: {e.no_cache_reason}"


def mib(count: int) -> str:
    """Bytes as people read them: `12.3 MiB`, `1.4 GiB`."""
    return f"{count / 2**30:,.1f} GiB" if count >= 1 << 30 else f"{count / 2**20:,.1f} MiB"


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = round(seconds / 60)
    return f"{whole // 60} min {whole % 60:02d} s" if whole < 3600 else f"{minutes // 60} h {minutes % 60:02d} min"

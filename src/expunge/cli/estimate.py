"""`expunge estimate`: steps, time, memory and cache of `expunge unlearn`, before it starts.

It loads the model and times a few passes, so it takes a few seconds. It writes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expunge._printable import pluralize
from expunge.cli.options import (
    After,
    Loader,
    Mapping,
    NearDuplicates,
    RecipeName,
    RunSeed,
    Say,
    Sets,
    StartModel,
    seed_override,
)
from expunge.cli.result import CommandResult, ResultTable
from expunge.errors import InputError

if TYPE_CHECKING:
    from expunge.corpus import Corpus
    from expunge.engine.estimate.run_estimate import RunEstimate
    from expunge.models.run_file import ChainLink
    from expunge.scope import Split


def estimate(
    data: Annotated[Path, typer.Option("--data", help="Records: a file or a folder, as for unlearn.")],
    scope: Annotated[
        str | None, typer.Option("--scope", help="What to forget; the subject with the most records if not given.")
    ] = None,
    model: StartModel = None,
    after: After = None,
    recipe: RecipeName = "auto",
    say: Say = None,
    set_: Sets = None,
    seed: RunSeed = None,
    near_duplicates: NearDuplicates = None,
    preview_layers: Annotated[
        int | None,
        typer.Option("--preview-layers", min=1, help="Last blocks that the preview trains; a quarter if not given."),
    ] = None,
    loader: Loader = None,
    map_: Mapping = None,
) -> CommandResult:
    """Estimate steps, time, memory and cache of a run before it starts."""
    from expunge.cli.unlearn import start_of
    from expunge.corpus import load_corpus
    from expunge.engine.auto_recipe import recipe_for, seed_of
    from expunge.engine.estimate.estimate_run import estimate_run
    from expunge.engine.fallback_records import fallback_lines, fallback_summary
    from expunge.engine.guards import guard_summary
    from expunge.engine.privacy.statement import planned_statement, statement_lines
    from expunge.scope.outlook import audit_outlook, outlook_lines

    start, chain = start_of(model, after)
    if chain and scope is None:
        raise InputError("--scope", "is missing", "with --after, name what is to be forgotten next")
    changes = [*(set_ or []), *seed_override(seed)]
    split = _split(load_corpus(data, loader, map_), scope, seed_of(recipe, changes), near_duplicates, chain)
    chosen = recipe_for(recipe, changes, start, split, say)
    loaded = chosen.recipe
    estimates, reason = estimate_run(start, split, loaded, preview_layers=preview_layers)
    outlook = audit_outlook(split)
    data_out: dict[str, Any] = {
        "model": start,
        "recipe": chosen.name,
        "auto": chosen.notes,
        "say": loaded.resolve().algorithm.says or None,
        "method": loaded.method,
        "seed": loaded.seed,
        "split": split.summary(),
        "near_duplicates": split.near_duplicate_summary(),
        "rows": [e.as_row() for e in estimates],
        "no_other_row": reason,
        "audit": [asdict(o) for o in outlook],
        **fallback_summary(loaded.resolve(), split.forget),
        **({"request": 1 + len(chain), "guards": guard_summary(loaded.resolve(), split.guards)} if chain else {}),
    }
    if loaded.privacy:
        data_out["privacy"] = planned_statement(loaded.resolve(), split.forget, split.retain)
    lines = (
        f"{loaded.method}: {pluralize(len(split.forget), 'record')} to forget ({split.scope}), {len(split.retain):,} "
        f"retained; nothing was started",
        *([f"say: {data_out['say']}"] if data_out["say"] else []),
        *fallback_lines(data_out, len(split.forget)),
        *_guard_lines(data_out),
    )
    private = statement_lines(data_out["privacy"]) if loaded.privacy else []
    notes = [f"no second row: {reason}"] if reason else []
    notes += [f"auto: {line}" for line in chosen.notes]
    notes += [SHORTER] if loaded.stop.when is None and not loaded.phases and not loaded.resolve().edit else []
    tables = [
        ResultTable(tuple(columns), [[value(e) for value in columns.values()] for e in estimates])
        for columns in (WORK, MEMORY)
    ]
    return CommandResult(data_out, (*lines, *private, *tables, *notes, *outlook_lines(outlook)))


def _guard_lines(about: dict[str, Any]) -> list[str]:
    """How many rows are counted for what earlier requests forgot."""
    guards = about.get("guards")
    if guards is None:
        return []
    why = f", {guards['unguarded']:,} without: {guards['reason']}" if guards["unguarded"] else ""
    return [
        f"request number {about['request']} on this model: rows that keep earlier ones forgotten: at most "
        f"{guards['rows']:,}{why}"
    ]


def _split(corpus: Corpus, scope: str | None, seed: int, choice: Any = None, chain: Sequence[ChainLink] = ()) -> Split:
    from expunge.scope import Scope
    from expunge.scope.resolve import resolve

    near: Any = choice or "report"
    if chain and scope is not None:
        from expunge.engine.request_chain import split_after

        return split_after(corpus, Scope.parse(scope), chain, seed=seed, near=near)
    if scope is not None:
        return Scope.parse(scope).resolve(corpus, seed=seed, near=near)
    count = Counter(r.subject for r in corpus.trained if r.subject and r.identifiers)
    count = count or Counter(r.subject for r in corpus.trained if r.subject)
    if not count:
        raise InputError("--scope", "is missing, and no record names a subject", "name what to forget")
    subject = max(count, key=lambda name: (count[name], name))
    chosen = frozenset(r.id for r in corpus.trained if r.subject == subject)
    return resolve(corpus, chosen, None, f"subject {subject}", seed=seed, near=near)


def what_runs(e: RunEstimate) -> str:
    """`blocks 6-7 of 8 train, the first 6 cached`."""
    blocks = e.blocks or tuple(range(e.block_count))
    first, last = blocks[0], blocks[-1]
    named = f"{first}-{last}" if blocks == tuple(range(first, last + 1)) else ", ".join(map(str, blocks))
    cache = f"the first {e.cached_blocks} cached" if e.cached_blocks else f"no cache: {e.no_cache_reason}"
    return f"block{'s' if last > first else ''} {named if last > first else first} of {e.block_count} {e.verb}, {cache}"


def mib(count: int) -> str:
    """Bytes as `12.3 MiB` or `1.4 GiB`."""
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


def _prefix_cache(e: RunEstimate) -> str:
    place = "memory" if e.cache_location == "memory" else "a file"
    return f"{mib(e.cache_bytes)} in {place}" if e.cache_bytes else "none"


SHORTER = (
    "shorter: --set steps=N takes fewer steps, --set stop.when=controls ends the run by itself, and "
    "--set train.layers=K trains the last K blocks only"
)
WORK: dict[str, Callable[[RunEstimate], Any]] = {  # columns of the table of work and time
    "run": lambda e: e.name,
    "what runs": what_runs,
    "steps": lambda e: f"up to {e.steps:,}" if e.may_stop else e.steps,
    "rows drawn": lambda e: e.rows_drawn,
    "load": lambda e: duration(e.load_seconds),
    "build": lambda e: duration(e.prepare_seconds),
    "steps take": lambda e: duration(e.train_seconds),
    "save": lambda e: duration(e.save_seconds),
    "together": lambda e: f"at most {duration(e.seconds)}" if e.may_stop else duration(e.seconds),
}
MEMORY: dict[str, Callable[[RunEstimate], Any]] = {
    "run": lambda e: e.name,
    "peak memory": lambda e: mib(e.memory.peak),
    "process": lambda e: mib(e.memory.process),
    "weights": lambda e: mib(e.memory.weights),
    "optimizer": lambda e: mib(e.memory.optimizer),
    "activations": lambda e: mib(e.memory.activations),
    "caches": lambda e: mib(e.memory.caches),
    "prefix cache": _prefix_cache,
}

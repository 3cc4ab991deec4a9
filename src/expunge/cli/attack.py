"""`expunge attack …`: one attack of the audit by itself, on models side by side. Exit code 3 unless it passed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expunge.cli.audit import check_same_split, split_seed
from expunge.cli.options import Data, Loader, Mapping, ScopeText
from expunge.cli.progress import Progress, ProgressCallback
from expunge.cli.result import CommandResult, ResultTable
from expunge.errors import InputError

if TYPE_CHECKING:
    from expunge.audit.details import CountedEstimate, ReconstructionDetails

COLUMNS = {
    "first of all": "top1",
    "rank": "rank",
    "exact": "exact",
    "gain": "gain",
    "true - wrong": "true - wrong branch",
}


def reconstruct(
    original: Annotated[str, typer.Option(help="Model before unlearning: folder or hub id.")],
    unlearned: Annotated[str, typer.Option(help="Run folder or model after unlearning.")],
    data: Data,
    scope: ScopeText,
    retrained: Annotated[str | None, typer.Option(help="Retrained model, the reference.")] = None,
    level: Annotated[list[str] | None, typer.Option("--level", help="Ask this level and none; repeatable.")] = None,
    candidates: Annotated[int, typer.Option(help="Wrong answers beside the true one, at least 7.")] = 19,
    out: Annotated[Path | None, typer.Option("--out", help="JSON file for all numbers.")] = None,
    policy: Annotated[Path | None, typer.Option(help="YAML policy; the shipped one if not given.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the held-out retain set; a run records its own.")] = None,
    loader: Loader = None,
    map_: Mapping = None,
) -> CommandResult:
    """Ask with growing context from the provenance tree which forgotten answers come back."""
    if out is not None and out.is_dir():
        raise InputError(str(out), "is a folder", "name a file in it, for example reconstruction.json")
    from expunge.audit.checks.reconstruction_check import KEY, controls_of
    from expunge.audit.policy import Policy
    from expunge.audit.reconstruction import Reconstruction, compare, prepare
    from expunge.audit.reconstruction import reconstruct as run
    from expunge.audit.run import template_of
    from expunge.corpus import load_corpus
    from expunge.models.language_model import check, load
    from expunge.models.threads import set_threads
    from expunge.scope import Scope

    rules = Policy.load(policy)
    sources = {"original": original, "unlearned": unlearned} | ({"retrained": retrained} if retrained else {})
    for source in sources.values():
        check(source)
    split = Scope.parse(scope).resolve(load_corpus(data, loader, map_), seed=split_seed(unlearned, seed))
    check_same_split(unlearned, split)
    set_threads()
    first = rules.attack_seeds[0]
    setup = prepare(split, seed=first, candidates=candidates, levels=level or ())
    turns = [(role, source, setup) for role, source in sources.items()]
    if not retrained and (controls := controls_of(split)):
        turns.append(
            ("controls", unlearned, prepare(split, controls, seed=first, candidates=candidates, levels=level or ()))
        )
    results: dict[str, Reconstruction] = {}
    with Progress().bar("reconstructing") as tick:
        for k, (role, source, setup_of) in enumerate(turns):
            lm = load(source, template=template_of(Path(unlearned)))
            results[role] = run(lm, setup_of, _part(tick, k, len(turns), f"asking {role}"))
    rule = rules.rules.get(KEY)
    comparison = compare(
        results, rules.bootstrap, margin=rule.margin if rule else 0.05, known_margin=rules.known_margin
    )
    data_out = {"scope": scope, "facts": len(setup.facts), **comparison.details.model_dump(mode="json")}
    if out:
        from expunge._io import write_json

        write_json(out, data_out | {"models": {role: r.as_json() for role, r in results.items()}})
    return CommandResult(
        data_out,
        tuple(_parts(comparison.details, len(setup.facts), out)),
        0 if comparison.details.status == "passed" else 3,
    )


def _part(tick: ProgressCallback, k: int, of: int, note: str) -> Callable[[float], None]:
    """Progress of the k-th of several equal pieces of work."""
    return lambda done: tick((k + done) / of, note)


def _parts(details: ReconstructionDetails, facts: int, out: Path | None) -> Iterator[str | ResultTable]:
    rows: list[list[Any]] = []
    for vector in dict.fromkeys(r.vector for r in details.rows):
        for level, name in enumerate(details.levels):
            rows += [
                [
                    name,
                    "" if vector == "true" else vector,
                    r.model,
                    r.scores["top1"].n,
                    *(_cell(r.scores.get(key)) for key in COLUMNS.values()),
                ]
                for r in details.rows
                if (r.level, r.vector) == (level, vector)
            ]
    yield ResultTable(("context up to", "instead", "model", "n", *COLUMNS), rows)
    if left_out := "; ".join(f"{n} {what}" for what, n in details.left_out.items()):
        yield f"left out: {left_out}"
    yield (
        f"{facts} facts; by chance the true answer comes first in a share of {details.chance:.3f}, and its rank is .5 "
        "(1: first, 0: last)"
    )
    yield f"{details.status.replace('_', ' ').capitalize()}: {details.reason}"
    if out:
        yield f"numbers written to {out}"


def _cell(value: CountedEstimate | None) -> str | None:
    """An estimate with its bounds; a dash where it does not exist."""
    if value is None or value.n == 0:
        return None
    low, high = value.ci or (None, None)
    interval = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
    return f"{value.estimate:.3f}{interval}"

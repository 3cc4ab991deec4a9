"""`expunge attack …`: one attack of the audit by itself, on models side by side. Exit code 3 unless it passed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expunge._printable import pluralize
from expunge.cli import options as opt
from expunge.cli.audit import audited_split
from expunge.cli.progress import Progress, ProgressCallback
from expunge.cli.result import CommandResult, ResultTable

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
    original: opt.Original,
    unlearned: opt.Unlearned,
    data: opt.Data,
    scope: opt.ScopeText,
    retrained: opt.Retrained = None,
    level: Annotated[list[str] | None, typer.Option("--level", help="Ask only this level; repeatable.")] = None,
    candidates: Annotated[int, typer.Option(help="Wrong answers beside the true one, at least 7.")] = 19,
    out: Annotated[Path | None, typer.Option("--out", help="JSON file for all numbers.")] = None,
    policy: opt.PolicyName = None,
    seed: opt.SplitSeed = None,
    near_duplicates: opt.NearDuplicates = None,
    loader: opt.Loader = None,
    map_: opt.Mapping = None,
) -> CommandResult:
    """Ask with growing context from the provenance tree which forgotten answers come back."""
    opt.check_is_no_folder(out, "reconstruction.json")
    from expunge.audit.checks.reconstruction_check import KEY, controls_of
    from expunge.audit.policy import Policy, default_policy
    from expunge.audit.reconstruction import Reconstruction, compare, prepare
    from expunge.audit.reconstruction import reconstruct as run
    from expunge.audit.run_identity import loading_options
    from expunge.models.language_model import check, load
    from expunge.models.threads import set_threads

    rules = Policy.load(policy) if policy else default_policy(retrained is not None)
    sources = {"original": original, "unlearned": unlearned} | ({"retrained": retrained} if retrained else {})
    for source in sources.values():
        check(source)
    split = audited_split(unlearned, data, loader, map_, scope, seed, near_duplicates)
    set_threads()
    settings: Any = {"seed": rules.attack_seeds[0], "candidates": candidates, "levels": level or ()}
    setup = prepare(split, **settings)
    turns = [(role, source, setup) for role, source in sources.items()]
    if not retrained and (controls := controls_of(split)):
        turns.append(("controls", unlearned, prepare(split, controls, **settings)))
    models: dict[str, Reconstruction] = {}
    with Progress().bar("reconstructing") as tick:
        for k, (role, source, setup_of_role) in enumerate(turns):
            lm = load(source, **loading_options(Path(unlearned)))
            models[role] = run(lm, setup_of_role, _part(tick, k, len(turns), f"asking {role}"))
    rule = rules.rules.get(KEY)
    margin = rule.margin if rule else 0.05
    details = compare(models, rules.bootstrap, margin=margin, known_margin=rules.known_margin).details
    result = {"scope": scope, "facts": len(setup.facts), **details.model_dump(mode="json")}
    if out:
        from expunge._io import write_json

        write_json(out, result | {"models": {role: r.as_json() for role, r in models.items()}}, private=True)
    return CommandResult(result, tuple(_parts(details, len(setup.facts), out)), 0 if details.status == "passed" else 3)


def _part(tick: ProgressCallback, k: int, of: int, note: str) -> Callable[[float], None]:
    """Progress of the k-th of several equal pieces of work."""
    return lambda done: tick((k + done) / of, note)


def _parts(details: ReconstructionDetails, facts: int, out: Path | None) -> Iterator[str | ResultTable]:
    vectors = list(dict.fromkeys(row.vector for row in details.rows))
    rows = [
        [
            details.levels[r.level],
            "" if r.vector == "true" else r.vector,
            r.model,
            r.scores["top1"].n,
            *(_cell(r.scores.get(key)) for key in COLUMNS.values()),
        ]
        for r in sorted(details.rows, key=lambda row: (vectors.index(row.vector), row.level))
    ]
    yield ResultTable(("context up to", "instead", "model", "n", *COLUMNS), rows)
    if left_out := "; ".join(f"{n} {what}" for what, n in details.left_out.items()):
        yield f"left out: {left_out}"
    yield (
        f"{pluralize(facts, 'fact')}; by chance the true answer comes first in a share of {details.chance:.3f}, and "
        "its rank is .5 (1: first, 0: last)"
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

"""`expunge data prepare`: a folder with all that an audit needs, made before the run and pinned with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from expunge.cli.options import Data, Folder, Loader, Mapping, NearDuplicates, ScopeText
from expunge.cli.result import CommandResult, ResultTable
from expunge.errors import InputError

if TYPE_CHECKING:
    from expunge.corpus import Record

IdentifierFile = Annotated[
    Path | None,
    typer.Option("--identifiers", help="Reviewed table of identifiers, as `expunge data identifiers --out` writes it."),
]


def prepare(
    data: Data,
    scope: ScopeText,
    out: Folder,
    identifiers: IdentifierFile = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Model before unlearning: prefer rephrasings that it answers. Not changed."),
    ] = None,
    controls: Annotated[
        int | None,
        typer.Option(help="Invented people for each subject; 40, or 8 for ten subjects or more.", min=0, max=1000),
    ] = None,
    holdout: Annotated[int, typer.Option(help="Invented people like the others of the corpus.", min=0)] = 20,
    variants: Annotated[int, typer.Option(help="Rephrasings of a record with a free answer.", min=0, max=50)] = 8,
    choices: Annotated[
        bool, typer.Option("--choices", help="Also ask for a yes, a no and a choice; right by chance at times.")
    ] = False,
    general: Annotated[bool, typer.Option("--general/--no-general", help="Add questions on general ability.")] = True,
    seed: Annotated[int, typer.Option(help="Seed of every draw, and of the held-out retain set.", min=0)] = 42,
    near_duplicates: NearDuplicates = None,
    loader: Loader = None,
    map_: Mapping = None,
) -> CommandResult:
    """Write records with identifiers, rephrasings, controls and all else that an audit needs."""
    from dataclasses import asdict

    from expunge.corpus import load_corpus
    from expunge.corpus.prepare import PrepareSettings
    from expunge.scope import Scope
    from expunge.scope.outlook import outlook_lines
    from expunge.scope.preparation import prepare as run
    from expunge.scope.preparation import write

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(str(out), "is there already", "name a new or an empty folder")
    settings = PrepareSettings(
        controls=controls, holdout=holdout, variants=variants, choices=choices, general=general, seed=seed
    )
    corpus, parsed = load_corpus(data, loader, map_), Scope.parse(scope)
    answered = answers_of(model) if model else None
    made = run(corpus, parsed, settings, identifiers, answered, near_duplicates or "report")
    write(made, out, parsed, settings, {"name": data.name, "records": len(corpus), "digest": corpus.digest})
    sources = {row.source for row in made.identifiers.rows if row.subject in made.split.targets}
    named = {s: made.identifiers.by_subject.get(s, ()) for s in made.split.targets}
    shown = "; ".join(f"{s}: {', '.join(names)}" for s, names in list(named.items())[:3])
    review = f"identifiers ({', '.join(sorted(sources))}) of {shown}{' …' * (len(named) > 3)}"
    return CommandResult(
        {
            "out": out,
            "scope": scope,
            "seed": seed,
            "counts": made.counts,
            "near_duplicates": made.split.near_duplicate_summary(),
            "identifiers": {s: list(names) for s, names in named.items()},
            "audit": [asdict(o) for o in made.outlook],
        },
        (
            ResultTable(("prepared", "number"), list(made.counts.items())),
            review,
            *outlook_lines(made.outlook),
            f"written to {out}; give it as --data to estimate, unlearn and audit",
        ),
    )


def answers_of(model: str) -> Callable[[Sequence[Record]], Collection[str]]:
    """Which of some questions a model answers, judged as the audit does, by row id. It is loaded when it is asked."""

    def answered(records: Sequence[Record]) -> Collection[str]:
        from expunge.audit.metrics import METRICS
        from expunge.audit.scoring import score
        from expunge.models.language_model import load

        scores = score(load(model), records, text=True)
        exact = METRICS.get("exact_match")(scores, {r.row_id: r for r in records})
        return {r.row_id for r, value in zip(records, exact, strict=True) if value == 1}

    return answered

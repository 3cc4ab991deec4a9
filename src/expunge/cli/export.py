"""`expunge export`: write what a run made as a folder to deploy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from expunge._printable import pluralize
from expunge.cli import options as opt
from expunge.cli.progress import Progress
from expunge.cli.result import CommandResult
from expunge.errors import InputError

if TYPE_CHECKING:
    from expunge.models.language_model import LanguageModel
    from expunge.scope import Split

SCORE_TOLERANCE = 0.02  # largest change of a mean answer probability or of a share of exact answers
ROWS = 200  # records of a set that are scored, at most


def export(
    run: Annotated[str, typer.Argument(help="Run folder; or a GGUF file, adapter or model folder to convert.")],
    out: opt.Folder,
    as_: Annotated[
        Literal["merged", "adapter"], typer.Option("--as", help="merged: one model; adapter: needs the old base.")
    ] = "merged",
    dtype: Annotated[
        str, typer.Option("--dtype", help="Precision of the written weights: auto, float32, bfloat16 or float16.")
    ] = "auto",
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare the written model with the run; with --data also by scores.")
    ] = False,
    audit: Annotated[Path | None, typer.Option("--audit", help="audit.json of this run, for the model card.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Records to score with --verify.")] = None,
    scope: Annotated[str | None, typer.Option("--scope", help="What the run forgot, with --data.")] = None,
    loader: opt.Loader = None,
    map_: opt.Mapping = None,
    device: opt.Device = None,
) -> CommandResult:
    """Write a run as a model to deploy, with a model card."""
    if (data is None) != (scope is None):
        raise InputError("--data" if data is None else "--scope", "is missing", "give --data and --scope together")
    if data and not verify:
        raise InputError("--data", "has no meaning without --verify", "add --verify, or leave it out")
    from expunge.models.export import export as write
    from expunge.models.export import remaining_copies

    split = (
        opt.load_run_split(data, loader, map_, scope, _seed(Path(run)), opt.near_duplicates_of(run), run)
        if data and scope
        else None
    )
    with Progress().bar("export") as tick:
        done = write(
            run,
            out,
            form=as_,
            dtype=dtype,
            verify=verify,
            audit=audit,
            device=device,
            on_progress=lambda phrase, share: tick(share, phrase),
        )
    scores = compare_scores(run, out, split, device) if split else {}
    largest = max((abs(a - b) for pair in scores.values() for a, b in pair.values()), default=0.0)
    lines = [
        f"{'model' if as_ == 'merged' else 'adapter'} in {done.about['dtype']} written to {out}, with a model card"
    ]
    if done.comparison:
        c = done.comparison
        lines.append(
            f"verified on {pluralize(c.texts, 'text')}: logits differ by at most {c.difference:.2g} "
            f"({c.share:.2g} of the largest, allowed {c.tolerance:g}), "
            f"{c.agreement:.1%} of the most probable tokens are the same"
        )
    for name, pair in scores.items():
        shown = ", ".join(f"{metric} {a:.3f} (run {b:.3f})" for metric, (a, b) in pair.items())
        lines.append(f"{name} records: {shown}")
    if largest > SCORE_TOLERANCE:
        lines.append(f"scores differ by {largest:.3f}, more than {SCORE_TOLERANCE:g}: do not deploy it as this run")
    copies = remaining_copies(run)
    lines += [f"warning: {line}" for line in done.warnings]
    if copies:
        lines.append(f"the old weights are still in {', '.join(map(str, copies))}")
    return CommandResult(
        {
            **done.about,
            "out": out,
            "scores": {
                name: {k: {"export": a, "run": b} for k, (a, b) in pair.items()} for name, pair in scores.items()
            },
            "warnings": list(done.warnings),
            "remaining_copies": [str(copy) for copy in copies],
        },
        tuple(lines),
        3 if largest > SCORE_TOLERANCE else 0,
    )


def _seed(run: Path) -> int:
    """The seed of the run's held-out set."""
    from expunge.engine.recipe import Recipe

    file = run / "recipe.yaml"
    return Recipe.load(str(file)).seed if file.is_file() else 42


def compare_scores(run: str, out: Path, split: Split, device: str | None) -> dict[str, dict[str, tuple[float, float]]]:
    """Figures of the audit, (export, run), by record set and metric."""
    from expunge.models.language_model import load

    sets = {"forget": split.forget[:ROWS], "retained": (split.retain_heldout or split.retain)[:ROWS]}
    ours, theirs = (_scores(load(source, device=device), sets) for source in (out, run))
    return {name: {k: (ours[name][k], theirs[name][k]) for k in ours[name]} for name in sets if sets[name]}


def _scores(lm: LanguageModel, sets: dict[str, Any]) -> dict[str, dict[str, float]]:
    from expunge.audit.metrics.answer_prob import probability
    from expunge.audit.metrics.exact_match import matches
    from expunge.audit.scoring import score
    from expunge.models.documents import split_documents

    figures = {}
    for name, group in sets.items():
        records = tuple(split_documents(group, lm.template))
        scores = score(lm, records)
        figures[name] = {
            "answer probability": float(probability(scores).mean()) if records else 0.0,
            "exact answers": float(matches(scores, records).mean()) if records else 0.0,
        }
    return figures

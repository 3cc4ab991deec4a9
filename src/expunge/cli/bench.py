"""`expunge bench list|run|report`: experiments of `benchmarks/experiments`; the work is done in `expunge.bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.progress import Progress
from expunge.cli.result import CommandResult, ResultTable
from expunge.errors import InputError

Name = Annotated[str, typer.Argument(metavar="NAME", help="Experiment (see `bench list`), or a YAML file.")]
Preset = Annotated[str, typer.Option("--preset", help="Size: smoke, cpu or gpu.")]


def listing() -> CommandResult:
    """List the experiments of the checkout."""
    from expunge.bench.experiment import Experiment, names

    experiments = {name: Experiment.load(name) for name in names()}
    data = {
        name: {"question": e.question, "arms": list(e.arms), "requests": [str(r) for r in e.requests]}
        for name, e in experiments.items()
    }
    return CommandResult(
        {"experiments": data},
        (
            ResultTable(
                ("experiment", "arms", "question"), [(n, len(e.arms), e.question) for n, e in experiments.items()]
            ),
        ),
    )


def run(
    name: Name,
    preset: Preset = "cpu",
    seeds: Annotated[str, typer.Option("--seeds", help="For example 42,43; else those of the experiment.")] = "",
    arms: Annotated[str, typer.Option("--arms", help="Only these arms, for example full,npo.")] = "",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for models, runs and scores; experiments may share one.")
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Processes; else as many as cores are free.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Folder of LUME or MedMCQA as published.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Folder or hub id of the pretrained model, where there is one.")
    ] = None,
) -> CommandResult:
    """Run an experiment; a killed run resumes."""
    chosen = numbers(seeds) if seeds else ()
    from expunge.bench.experiment import Experiment
    from expunge.bench.study import run as run_experiment

    experiment = Experiment.load(name, preset)
    results = run_experiment(
        experiment,
        out or Path("runs") / f"bench-{experiment.name}-{preset}",
        seeds=chosen,
        arms=tuple(filter(None, arms.split(","))),
        workers=workers,
        data=data,
        model=model,
        say=Progress().say,
    )
    return CommandResult(results, (results["table"],))


def report(
    name: Name,
    preset: Preset = "cpu",
    results: Annotated[
        Path | None, typer.Option("--results", help="JSON of a run; else the stored results of the checkout.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the page; else docs/benchmarks.")] = None,
) -> CommandResult:
    """Write the page of an experiment from its results."""
    from expunge.bench.experiment import Experiment, folder
    from expunge.bench.report import publish

    experiment = Experiment.load(name, preset)
    page = publish(experiment, out or folder().parent / "docs" / "benchmarks", results)
    return CommandResult({"page": str(page)}, (f"page: {page}",))


def numbers(text: str) -> tuple[int, ...]:
    """`42,43` as numbers; `InputError` for anything else."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError("--seeds", f'"{text}" is not a list of numbers', "write for example 42,43,44") from error

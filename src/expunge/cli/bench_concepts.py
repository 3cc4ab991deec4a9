"""`expunge bench dual-ablation` and its sisters: suites on worlds with a concept hierarchy, all called alike."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.bench import numbers
from expunge.cli.progress import Progress
from expunge.cli.result import CommandResult

SUITES = {  # name of the command (and, with underscores, of its module) → first line of its help
    "dual-ablation": "Compare the dual strategy, its parts and the baselines.",
    "cross-domain": "Apply settings chosen in one domain in the others.",
    "alignment-stress": "Project where target and rest conflict more and more.",
    "hierarchy-validation": "Give a whole chapter and let the levels decide what of it goes.",
    "privacy-frontier": "Forget under differential privacy, epsilon by epsilon.",
    "which-objective": "Find the way of forgetting that comes closest to the model that never knew.",
    "polysemy": "Ask words that mean something else outside the target.",
    "medforget": "Forget at four levels of a tree of pictures and texts.",
}
ELSEWHERE = {"medforget": "expunge.bench.medforget.suite"}  # other suites stand in `bench.concepts`

WITH_DATA = ("which-objective",)
Size = Annotated[str, typer.Option("--preset", help="Size of the suite: smoke, cpu or gpu.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder for models, runs and scores; suites may share one.")]
Seeds = Annotated[str | None, typer.Option("--seeds", help="For example 42,43; else those of the preset.")]
Only = Annotated[str, typer.Option("--rows", help="Only these rows, for example full,npo.")]
Processes = Annotated[int | None, typer.Option("--workers", help="Processes; else as many as cores are free.")]
Results = Annotated[
    Path | None, typer.Option("--results", help="Page to write the section into, or folder for the page.")
]
Data = Annotated[Path | None, typer.Option("--data", help="Folder of LUME as published, for its part of the page.")]


def module_of(name: str) -> str:
    """The module whose `main` is the suite."""
    return ELSEWHERE.get(name) or f"expunge.bench.concepts.{name.replace('-', '_')}"


def suite(name: str, about: str) -> Callable[..., CommandResult]:
    """The command of one suite; its module's `main` does the work."""

    def command(
        preset: Size = "cpu",
        out: Out = None,
        seeds: Seeds = None,
        only: Only = "",
        workers: Processes = None,
        results: Results = None,
    ) -> CommandResult:
        return _answer(name, preset, out, seeds, only, workers, results)

    def with_data(
        preset: Size = "cpu",
        out: Out = None,
        seeds: Seeds = None,
        only: Only = "",
        workers: Processes = None,
        results: Results = None,
        data: Data = None,
    ) -> CommandResult:
        return _answer(name, preset, out, seeds, only, workers, results, data=data)

    chosen = with_data if name in WITH_DATA else command
    chosen.__doc__ = about
    return chosen


def _answer(
    name: str,
    preset: str,
    out: Path | None,
    seeds: str | None,
    only: str,
    workers: int | None,
    results: Path | None,
    **more: Path | None,
) -> CommandResult:
    main = import_module(module_of(name)).main
    kind = name if name in ELSEWHERE else "concepts"
    found = main(
        preset=preset,
        out=out or Path("runs") / f"bench-{kind}-{preset}",
        seeds=numbers(seeds) if seeds else (),
        only=tuple(filter(None, only.split(","))),
        results=results,
        workers=workers,
        say=Progress().say,
        **more,
    )
    return CommandResult(found, (found["table"],))

"""`expunge bench …`: suites of runs side by side; the work is done in `expunge.bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.progress import Progress
from expunge.cli.result import CommandResult, ResultTable
from expunge.errors import InputError


def lume(
    data: Annotated[Path, typer.Option("--data", help="Folder of LUME: forget.jsonl, retain.jsonl, holdout.")],
    preset: Annotated[str, typer.Option("--preset", help="Size of the suite: cpu or smoke.")] = "cpu",
    out: Annotated[Path | None, typer.Option("--out", help="Folder for models, runs and scores.")] = None,
    seeds: Annotated[str | None, typer.Option("--seeds", help="For example 42,43; else those of the preset.")] = None,
    results: Annotated[Path | None, typer.Option("--results", help="Markdown file, or folder for lume.md.")] = None,
) -> CommandResult:
    """Compare unlearning methods on LUME."""
    chosen = numbers(seeds) if seeds else ()
    from expunge.bench.lume import main

    folder = out or Path("runs") / f"bench-lume-{preset}"
    found = main(data=data, preset=preset, out=folder, seeds=chosen, results=results, say=Progress().say)
    return CommandResult(found, (found["table"],))


def step(
    pairs: Annotated[int, typer.Option(help="Pairs of timings of each case.", min=1)] = 5,
    cases: Annotated[str, typer.Option("--cases", help="For example npo:28/4,twin:28/28; else all.")] = "",
) -> CommandResult:
    """Time our training step against the loop that scripts usually run."""
    from expunge.bench.step import HEADS, main, table

    found = main(pairs=pairs, names=cases, say=Progress().say)
    return CommandResult(
        found,
        (
            ResultTable(HEADS, table(found)),
            "how many times as long the plain loop takes (N/k: N blocks, adapters on the last k), beside "
            "what counting passes through blocks, and all matrix products, would give",
        ),
    )


def private_step(
    pairs: Annotated[int, typer.Option(help="Pairs of timings of each case.", min=1)] = 5,
    cases: Annotated[str, typer.Option("--cases", help="For example npo:8/4,npo:28/4; else all.")] = "",
) -> CommandResult:
    """Time a differentially private step against our plain one."""
    from expunge.bench.private_step import HEADS, main, table

    found = main(pairs=pairs, names=cases, say=Progress().say)
    return CommandResult(
        found,
        (
            ResultTable(HEADS, table(found)),
            "how many times as long the private step takes (N/k: N blocks, "
            "adapters on the last k), on the same rows, every record a unit",
        ),
    )


def growth(
    out: Annotated[Path, typer.Option("--out", help="Markdown page; its pictures are put beside it.")],
    work: Annotated[Path, typer.Option("--work", help="Folder for measurements; the same one goes on.")] = (
        Path("runs") / "bench-growth"
    ),
) -> CommandResult:
    """Measure how cost grows with layers, answers and records."""
    from expunge.bench.growth import main

    found = main(out=out, work=work, say=Progress().say)
    return CommandResult(found, (found["summary"], f"page: {found['page']}"))


def evaluation(pairs: Annotated[int, typer.Option(help="Pairs of timings.", min=1)] = 5) -> CommandResult:
    """Time our scoring of options against a plain loop."""
    from expunge.bench.evaluation import main

    found = main(pairs=pairs, say=Progress().say)
    rows = [
        [
            int(v),
            size["ratio"]["median"],
            size["ratio"]["min"],
            size["ratio"]["max"],
            size["seconds"]["plain"],
            size["seconds"]["ours"],
        ]
        for v, size in found["options"].items()
    ]
    return CommandResult(
        found, (ResultTable(("vocabulary", "plain / ours", "least", "most", "plain (s)", "ours (s)"), rows),)
    )


def memory(
    records: Annotated[int, typer.Option(help="Records of the made-up corpus.", min=1_000)] = 100_000,
    out: Annotated[Path, typer.Option("--out", help="Folder for the made-up corpus.")] = Path("runs") / "bench-memory",
) -> CommandResult:
    """Measure the memory that a corpus takes on its way to a run."""
    from expunge.bench.memory import main

    found = main(records, out, Progress().say)
    rows = [
        [name, p["records"], p["seconds"], p["peak"] / 2**20, p["now"] / 2**20] for name, p in found["phases"].items()
    ]
    return CommandResult(
        found, (ResultTable(("phase", "records", "seconds", "most so far (MiB)", "at its end (MiB)"), rows),)
    )


def planning() -> CommandResult:
    """Compare what `expunge plan` says before a run with what the run then takes."""
    from expunge.bench.planning import main

    found = main(say=Progress().say)
    return CommandResult(found, (found["table"],))


def annotator(
    data: Annotated[Path, typer.Option("--data", help="Folder with medquad/ and ontology/.")],
) -> CommandResult:
    """Measure what the annotator finds in MedQuAD, and its speed."""
    from expunge.bench.annotator import main

    found = main(data, Progress().say)
    return CommandResult(found, (found["table"],))


def numbers(text: str) -> tuple[int, ...]:
    """`42,43` as numbers; `InputError` for anything else."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError("--seeds", f'"{text}" is not a list of numbers', "write for example 42,43,44") from error

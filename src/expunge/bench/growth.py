"""`expunge bench growth`: how time and memory grow with depth, answer length and records, on both paths of a step.

Points are visited in rounds, so that a busy minute does not fall on one end of a line. Every measurement is written
down at once: the same command after a kill goes on, and after the end only writes page and pictures again.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from expunge._io import canonical, read_json, write_atomic, write_json
from expunge.bench import growth_jobs as jobs
from expunge.bench.apart import apart, here
from expunge.bench.growth_page import PATHS, gathered, page, panels, summary
from expunge.bench.memory import resident, write
from expunge.bench.panel import draw
from expunge.engine.run_directory import environment
from expunge.errors import InputError


@dataclass(frozen=True)
class Sizes:
    """What is measured. Lengths in tokens, end token included; `steps` are counted, after a warm-up."""

    layers: tuple[int, ...] = (8, 16, 24, 36, 48)
    answers: tuple[int, ...] = (2, 8, 32, 128)
    records: tuple[int, ...] = (100, 1_000, 10_000, 100_000)
    width: int = 128
    blocks: int = 4  # the last ones, which train
    row: tuple[int, int] = (24, 8)  # prompt and answer where the number of layers grows
    prompt: int = 16  # where the answer grows
    depth: int = 8  # layers where something else grows
    rounds: int = 3
    steps: int = 8
    drawing: int = 40  # counted steps of a run on a corpus: they decide how many rows are drawn


@dataclass(frozen=True)
class Job:
    """One measurement: where it belongs, and what its function is called with."""

    axis: str
    place: int
    path: str
    turn: int
    given: Mapping[str, Any]

    @property
    def key(self) -> str:
        return canonical(asdict(self)).decode()


def plan(sizes: Sizes) -> Iterator[Job]:
    """All measurements, round after round; the two paths of a point follow each other."""
    shared = {"width": sizes.width, "blocks": sizes.blocks}
    points = [("layers", n, {"layers": n, "prompt": sizes.row[0], "answer": sizes.row[1]}) for n in sizes.layers]
    points += [("answer", n, {"layers": sizes.depth, "prompt": sizes.prompt, "answer": n}) for n in sizes.answers]
    for turn in range(sizes.rounds):
        for axis, n, given in points:
            for path in PATHS:
                yield Job(axis, n, path, turn, shared | given | {"cached": path == "cached", "steps": sizes.steps})
        for n in sizes.records:
            yield Job("records", n, "both", turn, shared | {"layers": sizes.depth, "steps": sizes.drawing})


def main(
    *, out: Path, work: Path, sizes: Sizes | None = None, processes: bool = True, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Measure, and write the page `out` with its pictures beside it, named after it.

    work       folder for measurements and made-up corpora
    processes  each measurement in a process of its own; False: in this one, where memory says little
    Returns the figures, `summary` for a terminal, and the files. `InputError` if `work` holds measurements of
    another machine or other versions; `RunFailed` off Linux.
    """
    resident()
    sizes = sizes or Sizes()
    found = _measured(list(plan(sizes)), sizes, work, processes, say)
    figures = gathered([(job.axis, job.place, job.path, result) for job, result in found])
    pictures = panels(figures)
    files = {panel.key: out.with_name(f"{out.stem}-{panel.key}.svg") for panel in pictures}
    for panel in pictures:
        write_atomic(files[panel.key], draw(panel))
    machine = _machine() | {"busy": [result["busy"] for _, result in found]}
    write_atomic(out, page(asdict(sizes), figures, pictures, machine, {k: f.name for k, f in files.items()}))
    return {
        "page": str(out),
        "pictures": [str(f) for f in files.values()],
        "figures": figures,
        "slopes": {p.key: {line.name: line.slope for line in p.lines} for p in pictures},
        "summary": summary(pictures),
    }


def _measured(
    todo: list[Job], sizes: Sizes, work: Path, processes: bool, say: Callable[[str], None]
) -> list[tuple[Job, dict[str, Any]]]:
    file = work / "growth.json"
    known = read_json(file) if file.is_file() else {"machine": _machine(), "found": {}}
    if known["machine"] != _machine():
        raise InputError(
            str(work), "holds measurements of another machine or other versions", "name a new folder with --work"
        )
    found: dict[str, Any] = known["found"]
    left = [job for job in todo if job.key not in found]
    with apart(jobs.LIBRARIES) if processes and left else nullcontext(here) as run:
        for number, job in enumerate(left, 1):
            if job.axis == "records":
                corpora = {"file": str(_corpus(work, job.place)), "first": str(_corpus(work, min(sizes.records)))}
                found[job.key] = run(jobs.time_records, dict(job.given) | corpora)
            else:
                found[job.key] = run(jobs.time_steps, dict(job.given))
            write_json(file, known)
            say(f"{number} of {len(left)}: {job.axis} {job.place:,}, {job.path}, {_told(found[job.key])}")
    return [(job, found[job.key]) for job in todo]


def _told(result: Mapping[str, Any]) -> str:
    return f"{statistics.median(result.get('seconds') or result['cached']):.3f} s per step"


def _corpus(work: Path, records: int) -> Path:
    """A file of made-up records, written once; a killed writing leaves none under this name."""
    file = work / f"records-{records}.parquet"
    if not file.is_file():
        part = file.with_suffix(".part")
        work.mkdir(parents=True, exist_ok=True)
        write(part, records)
        part.replace(file)
    return file


def _machine() -> dict[str, Any]:
    return environment() | {"cores": os.cpu_count() or 1}

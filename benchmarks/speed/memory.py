"""Measure the memory of a corpus on its way from a Parquet file to the rows of a run, in a process of its own.

The synthetic corpus has 24 questions per person in a tree of four levels, a tenth of them in further wordings. A peak
never falls: a phase that shows the peak of the phase before it may have needed less.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.speed.program import Parts, Results, Say, positive, program, say
from benchmarks.speed.subprocesses import isolated
from expunge.cli.result import ResultTable
from expunge.errors import RunFailed

PER_PERSON = 24
GROUP = 5_000  # rows written at a time
DRAWN = 1_000  # retain records read at random
SCOPE = "patient:P-000000"
COLUMNS = ("phase", "records", "seconds", "peak so far (MiB)", "at its end (MiB)")


def measure(records: int, folder: Path, *, torch: bool = True, in_memory: int | None = None, say: Say = say) -> Results:
    """Write a synthetic corpus, then load, resolve and draw in a new process.

    Args:
        torch: import torch first, as a run does (about 0.2 GiB).
        in_memory: bytes above which records go to disk; None: as shipped.

    Returns:
        `records`, `peak`, and `phases`: name → `records`, `seconds`, `peak` until its end and `now` at its end; memory
        is resident memory in bytes.
    """
    began = time.perf_counter()
    file = write_corpus(folder, records)
    say(f"{records:,} records written in {time.perf_counter() - began:.1f} s ({file.stat().st_size / 2**20:.0f} MiB)")
    with isolated() as call:
        phases = call(measure_phases, {"file": file, "torch": torch, "in_memory": in_memory})
    return {"records": records, "peak": max(p["peak"] for p in phases.values()), "phases": phases}


def write_corpus(folder: Path, records: int) -> Path:
    """The Parquet file of so many synthetic records, written unless it exists; an interrupted call leaves none."""
    import pyarrow
    import pyarrow.parquet

    file = folder / f"records-{records}.parquet"
    if file.is_file():
        return file
    folder.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    first = pyarrow.Table.from_pylist([_record(0)])
    with pyarrow.parquet.ParquetWriter(part, first.schema) as out:
        for start in range(0, records, GROUP):
            rows = [_record(n) for n in range(start, min(start + GROUP, records))]
            out.write_table(pyarrow.Table.from_pylist(rows, schema=first.schema))
    return part.replace(file)


def _record(n: int) -> dict[str, Any]:
    """Record `n`: a prompt of 60 characters, an answer of 12, a path of four nodes."""
    person, k = divmod(n, PER_PERSON)
    number, study = f"P-{person:06d}", k // 8
    name = f"Given{person % 977} Family{person % 1031}"
    answer, section = f"value {n % 900_000:06d}", f"section:{number}-{study}-{k // 4}"
    wordings = [
        f"Say what finding {k:02d} of {name}, {number}, was in study {study}: {w}" for w in range(2 + n % 20 // 10)
    ]
    return {
        "id": f"{number}-finding-{k:02d}",
        "prompt": f"What was finding {k:02d} of {name}, {number}?".ljust(60, "."),
        "answer": answer,
        "kind": "generation",
        "subject": f"patient:{number}",
        "identifiers": [name, number],
        "path": [f"institution:H-{person % 40:02d}", f"patient:{number}", f"study:{number}-{study}", section],
        "facts": [f"{number}/finding-{k:02d}"],
        "topic": ("Surgery", "Cardiology", "Oncology")[n % 3],
        "variants": [{"prompt": text, "answer": answer} for text in wordings] if n % 10 == 0 else [],
        "split": "holdout" if person % 50 == 7 else "retain",
    }


def measure_phases(*, file: Path, torch: bool, in_memory: int | None) -> dict[str, dict[str, float]]:
    """The measured process: name of a phase → records, seconds, peak and resident bytes."""
    phases: dict[str, dict[str, float]] = {}
    began = time.perf_counter()

    def end(phase: str, records: int = 0) -> None:
        nonlocal began
        seconds, (peak, now) = time.perf_counter() - began, resident()
        phases[phase] = {"records": records, "seconds": seconds, "peak": peak, "now": now}
        began = time.perf_counter()

    if torch:
        import torch as _  # noqa: F401
    import numpy
    import pyarrow.parquet  # noqa: F401

    import expunge.corpus.record_store
    from expunge.corpus import load_corpus
    from expunge.scope import Scope

    if in_memory is not None:
        expunge.corpus.record_store.IN_MEMORY = in_memory
    end("import")
    corpus = load_corpus(file)
    end("load", len(corpus))
    split = Scope.parse(SCOPE).resolve(corpus)
    end("resolve", len(split.retain))
    drawn = [split.retain[int(k)] for k in numpy.random.default_rng(0).integers(len(split.retain), size=DRAWN)]
    end("draw", len({r.id for r in drawn}))
    end("iterate", sum(1 for _record in split.retain))
    return phases


def resident() -> tuple[int, int]:
    """Peak and present resident bytes of this process; unlike `getrusage`, nothing is inherited from its parent."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    except FileNotFoundError as error:
        raise RunFailed("bench memory", "reads /proc, which only Linux has", "run it on Linux") from error
    return int(lines["VmHWM"].split()[0]) * 1024, int(lines["VmRSS"].split()[0]) * 1024


def parts(result: Results) -> Parts:
    """The result for a terminal."""
    rows = [
        [name, p["records"], p["seconds"], p["peak"] / 2**20, p["now"] / 2**20] for name, p in result["phases"].items()
    ]
    return (ResultTable(COLUMNS, rows),)


RECORDS = {"type": positive, "default": 100_000, "help": "records of the corpus (default: 100,000)"}
OUT = {"dest": "folder", "type": Path, "default": Path("runs/bench-memory"), "help": "folder for the corpus"}
main = program(__doc__, measure, parts, records=RECORDS, out=OUT)

if __name__ == "__main__":
    raise SystemExit(main(None))

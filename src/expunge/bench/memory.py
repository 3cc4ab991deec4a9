"""How much memory a corpus takes on its way from Parquet to the rows of a run, measured in a process of its own.

The corpus is made up: 24 questions per person in a tree of four levels, a tenth of them in further wordings.
Surprising: a peak never falls, so a phase that shows the peak of the one before it may have taken less.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from expunge.errors import RunFailed

PER_PERSON = 24
GROUP = 5_000  # rows written at a time
DRAWN = 1_000  # retained records read at random
SCOPE = "patient:P-000000"


def main(
    records: int, folder: Path, say: Callable[[str], None] = print, *, torch: bool = True, in_memory: int | None = None
) -> dict[str, Any]:
    """Write `records` made-up records, then load, resolve and draw in a subprocess.

    torch      import torch first, as a run does: about 0.2 GiB
    in_memory  bytes above which records go to disk; None: as shipped
    Returns `peak` and `phases`: name → `records`, `seconds`, `peak` until its end and, at its end, `now`.
    Memory is resident memory in bytes. `RunFailed` off Linux, or where the process ends early.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"memory-{records}.parquet"
    began = time.perf_counter()
    write(file, records)
    say(f"{records:,} records written in {time.perf_counter() - began:.1f} s ({file.stat().st_size / 2**20:.0f} MiB)")
    limit = [] if in_memory is None else [str(in_memory)]
    call = [sys.executable, "-m", __name__, str(file), str(int(torch)), *limit]
    phases: dict[str, dict[str, float]] = {}
    with subprocess.Popen(call, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout or ():
            found = json.loads(line)
            phases[found.pop("phase")] = found
            say(f"{list(phases)[-1]}: {found['seconds']:.1f} s, peak {found['peak'] / 2**20:.0f} MiB")
    if child.returncode:
        raise RunFailed("bench memory", f"the measured process ended with {child.returncode}", "see its error above")
    return {"records": records, "peak": max(p["peak"] for p in phases.values()), "phases": phases}


def write(file: Path, records: int) -> None:
    """A Parquet file of `records` made-up records, a part at a time."""
    import pyarrow
    import pyarrow.parquet

    first = pyarrow.Table.from_pylist([_row(0)])
    with pyarrow.parquet.ParquetWriter(file, first.schema) as out:
        for start in range(0, records, GROUP):
            rows = [_row(n) for n in range(start, min(start + GROUP, records))]
            out.write_table(pyarrow.Table.from_pylist(rows, schema=first.schema))


def _row(n: int) -> dict[str, Any]:
    """Record `n`: a prompt of 60 characters, an answer of 12, a path of four nodes."""
    person, k = divmod(n, PER_PERSON)
    number, study = f"P-{person:06d}", k // 8
    name = f"Given{person % 977} Family{person % 1031}"
    answer = f"value {n % 900_000:06d}"
    said = [f"Say what finding {k:02d} of {name}, {number}, was in study {study}: {w}" for w in range(2 + n % 20 // 10)]
    prompt = f"What was finding {k:02d} of {name}, {number}?".ljust(60, ".")
    return {
        "id": f"{number}-finding-{k:02d}",
        "prompt": prompt,
        "answer": answer,
        "kind": "generation",
        "subject": f"patient:{number}",
        "identifiers": [name, number],
        "path": [
            f"institution:H-{person % 40:02d}",
            f"patient:{number}",
            f"study:{number}-{study}",
            f"section:{number}-{study}-{k // 4}",
        ],
        "facts": [f"{number}/finding-{k:02d}"],
        "topic": ("Surgery", "Cardiology", "Oncology")[n % 3],
        "variants": [{"prompt": text, "answer": answer} for text in said] if n % 10 == 0 else [],
        "split": "holdout" if person % 50 == 7 else "retain",
    }


def measure(file: Path, torch: bool, in_memory: int | None = None) -> None:
    """The measured process: one line of JSON per phase on standard output."""
    began = time.perf_counter()

    def done(phase: str, records: int = 0) -> None:
        nonlocal began
        seconds, (most, now) = time.perf_counter() - began, resident()
        told = {"phase": phase, "records": records, "seconds": seconds, "peak": most, "now": now}
        print(json.dumps(told), flush=True)
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
    done("import")
    corpus = load_corpus(file)
    done("load", len(corpus))
    split = Scope.parse(SCOPE).resolve(corpus)
    done("resolve", len(split.retain))
    drawn = [split.retain[int(k)] for k in numpy.random.default_rng(0).integers(len(split.retain), size=DRAWN)]
    done("draw", len({r.id for r in drawn}))
    done("iterate", sum(1 for _record in split.retain))


def resident() -> tuple[int, int]:
    """Most bytes that this process ever held, and bytes it holds now: of this program alone, unlike `getrusage`,
    which starts from what the parent held."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    except FileNotFoundError as error:
        raise RunFailed("bench memory", "reads /proc, which only Linux has", "run it on Linux") from error
    most, now = (int(lines[name].split()[0]) * 1024 for name in ("VmHWM", "VmRSS"))
    return most, now


if __name__ == "__main__":
    measure(Path(sys.argv[1]), sys.argv[2] == "1", *map(int, sys.argv[3:]))

"""Time the verification of a certificate with a model folder of `--megabytes` random bytes.

Three ways: the folder is read anew, as `certificate verify` does; its files are known by inode, size and times from an
earlier look, as with `--remembered`; and without the folder, which is what all other checks take. The certificate is
that of the tests: run from the repository with PYTHONPATH=tests.
"""

from __future__ import annotations

import importlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from benchmarks.speed.program import Parts, Results, positive, program, provenance, say
from expunge.cli.result import ResultTable
from expunge.errors import RunFailed
from expunge.evidence.verification import VerificationInputs, verify_file

FILE_MEGABYTES = 128  # of one file of the model
SETTLED = 3.0  # seconds after which a file counts as settled, and its digest is remembered
WAYS = ("read anew", "remembered", "without the model")


def write_big_model(folder: Path, megabytes: int) -> None:
    """Add files of random numbers to a model folder."""
    rng = np.random.default_rng(0)
    for first in range(0, megabytes, FILE_MEGABYTES):
        size = min(FILE_MEGABYTES, megabytes - first) * 2**20
        values = np.frombuffer(rng.bytes(size), np.uint32).view(np.float32)
        save_file({f"layer{first}.weight": values}, folder / f"model-{first:06}.safetensors")


def make_case(root: Path, megabytes: int) -> Any:
    """A signed certificate, its run and audit; the model is that of the tests, and random files."""
    try:
        evidence: Any = importlib.import_module("helpers.evidence")
    except ModuleNotFoundError as error:
        raise RunFailed("helpers", "are not found", "run in the repository with PYTHONPATH=tests") from error
    write = evidence.write_model_folder

    def write_model(folder: Path, seed: int, *rest: Any) -> Path:
        made: Path = write(folder, seed, *rest)
        if folder.parent.name == "run":
            write_big_model(folder, megabytes)
        return made

    evidence.write_model_folder = write_model
    try:
        case = evidence.write_case(root)
    finally:
        evidence.write_model_folder = write
    case.save(case.make())
    return case, evidence


def seconds(look: Callable[[], Any], repeats: int) -> list[float]:
    """Seconds of each repeat on the wall."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        report = look().report
        times.append(time.perf_counter() - began)
        if any(line.outcome == "invalid" for line in report.lines):
            raise RunFailed("certificate", "does not verify", "the measurement counts for nothing")
    return times


def measure(megabytes: int, repeats: int) -> Results:
    with tempfile.TemporaryDirectory() as place:
        say(f"writing {megabytes:,} MB")
        case, evidence = make_case(Path(place), megabytes)
        time.sleep(SETTLED)
        trust, common = evidence.trust_of(), {"at": evidence.LATER, "audit": case.audit}
        ways = {
            "read anew": VerificationInputs(model=case.model, **common),
            "remembered": VerificationInputs(model=case.model, remembered=True, **common),
            "without the model": VerificationInputs(**common),
        }
        verify_file(case.certificate, trust, ways["remembered"])  # from now on its files are known
        times = {}
        for way in WAYS:
            say(way)
            times[way] = seconds(partial(verify_file, case.certificate, trust, ways[way]), repeats)
    medians = {way: round(statistics.median(values), 4) for way, values in times.items()}
    hashing = medians["read anew"] - medians["remembered"]
    return {
        "measured": provenance("python -m benchmarks.speed.certificate"),
        "megabytes": megabytes,
        "seconds": medians,
        "hash_to_rest": round(hashing / max(medians["remembered"], 1e-9), 1),
    }


def parts(result: Results) -> Parts:
    rows = tuple((way, result["seconds"][way]) for way in WAYS)
    return (ResultTable(("model folder", "seconds"), rows), f"hashing / all other work: {result['hash_to_rest']}")


main = program(
    __doc__,
    measure,
    parts,
    megabytes={"type": positive, "default": 1024, "help": "size of the model folder (default: 1024)"},
    repeats={"type": positive, "default": 3, "help": "verifications of each kind (default: 3)"},
)

if __name__ == "__main__":
    sys.exit(main(None))

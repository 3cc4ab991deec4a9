"""SIGKILL at random moments of `train`, `unlearn` and `audit`; the same command again must end in the same bits.

    python -m benchmarks.reliability.kills [--cases 200] [--seed 0] [--work runs/kills]

Half of the kills fall at a random time of the command, half before a random file operation of it. After each, the same
command runs again in the same folder. It must end with the exit code of a run that was left alone, every file must be
equal to one of that run (but for times and memory), and no other file may stay. The results go to
`benchmarks/results/reliability/kills.jsonl`, a line per kill, and the table to `docs/reference/reliability.md`. Cases
that the file holds are not repeated, so a stopped command goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reliability.killed_process import Ended, run
from benchmarks.reliability.page import write_part
from expunge.random import stream

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "reliability" / "kills.jsonl"
PAGE = ROOT / "docs" / "reference" / "reliability.md"
COMMANDS = ("train", "unlearn", "audit")
KINDS = ("time", "file operation")
TARGET = "patient:P-0001-001"
SIZE = ("--layers", "2", "--width", "32", "--heads", "2", "--vocabulary", "400", "--context", "128", "--batch", "8")
VARIABLE = ("created", "seconds", "stages", "memory", "seal", "files")  # differ between runs, seals as they cover times


@dataclass(frozen=True)
class Reference:
    """A command that was left alone: what it takes, and what it leaves."""

    ended: Ended
    files: Mapping[str, str]


def words_of(command: str, inputs: Path, out: Path) -> list[str]:
    """The command line whose folder is `out`."""
    data, original = str(inputs / "records.jsonl"), str(inputs / "original")
    if command == "train":
        return ["train", "--data", data, *SIZE, "--epochs", "24", "--target-accuracy", "1", "--out", str(out)]
    if command == "unlearn":
        changes = ("steps=10", "checkpoint_every=2", "train.layers=1", "memory.cache_mib=0", "batch.forget=4")
        sets = [word for change in (*changes, "batch.retain=4") for word in ("--set", change)]
        about = ["--model", original, "--data", data, "--scope", TARGET, "--recipe", "simnpo"]
        return ["unlearn", *about, *sets, "--out", str(out)]
    models = ["--original", original, "--unlearned", str(inputs / "unlearned")]
    return ["audit", *models, "--data", data, "--scope", TARGET, "--out", str(out)]


def prepare(inputs: Path) -> None:
    """Records, an original model and an unlearned one, in `inputs`."""
    from expunge.cli.data_generate import write
    from expunge.synthetic.hospital.hospital import Hospital

    if (inputs / "ready").is_file():
        return
    shutil.rmtree(inputs, ignore_errors=True)
    inputs.mkdir(parents=True)
    counts = {"institution_facts": 0, "patient_facts": 3, "studies": 1, "study_facts": 0, "section_facts": 0}
    more = {"shared_facts": 0, "world_facts": 0, "holdout_patients": 0}
    world = Hospital(patients=6, per_institution=2, controls_for=(TARGET,), controls_per_target=20, **counts, **more)
    write(world, inputs / "records.jsonl")
    train = words_of("train", inputs, inputs / "original")
    train[train.index("--epochs") + 1] = "150"
    for words, out in ((train, "original"), (words_of("unlearn", inputs, inputs / "unlearned"), "unlearned")):
        ended = run(words, inputs / out, inputs / f"{out}.log")
        if ended.code not in (0, 3):
            raise SystemExit(f"{' '.join(words)}: {ended.output}")
    (inputs / "ready").touch()


def files_of(folder: Path) -> dict[str, str]:
    """Relative path → SHA-256 of each file and link below `folder`; JSON without times and memory."""
    return {str(p.relative_to(folder)): _digest(p) for p in sorted(folder.rglob("*")) if not p.is_dir()}


def _digest(file: Path) -> str:
    raw = file.read_bytes()
    if file.suffix in (".json", ".jsonl"):
        rows = [json.loads(line) for line in (raw.splitlines() if file.suffix == ".jsonl" else [raw])]
        raw = json.dumps([_lasting(row) for row in rows], sort_keys=True).encode()
    return hashlib.sha256(raw).hexdigest()


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _lasting(v) for k, v in value.items() if k not in VARIABLE}
    return [_lasting(v) for v in value] if isinstance(value, list) else value


def reference(command: str, inputs: Path, work: Path, times: int = 2) -> Reference:
    """The command, left alone in a folder of its own. The last of the runs is timed: the first reads cold files."""
    for _ in range(times):
        folder = work / f"{command}-alone"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        ended = run(words_of(command, inputs, folder / "out"), folder / "out", folder / "run.log")
    if ended.code not in (0, 3):
        raise SystemExit(f"{command}: exit code {ended.code}: {ended.output}")
    return Reference(ended, files_of(folder / "out"))


def kill(command: str, kind: str, share: float, known: Reference, inputs: Path, folder: Path) -> dict[str, Any]:
    """Kill the command once and run it again: one line of the results."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    out, log = folder / "out", folder / "run.log"
    words = words_of(command, inputs, out)
    if kind == "time":
        first = run(words, out, log, seconds=share * known.ended.seconds)
    else:
        first = run(words, out, log, operation=1 + int(share * known.ended.operations))
    left = sorted(files_of_names(out)) if out.is_dir() else []
    again = run(words, out, log)
    files = files_of(out) if out.is_dir() else {}
    differing = sorted(k for k in known.files.keys() | files.keys() if known.files.get(k) != files.get(k))
    line = {"hit": first.code == -9, "left": len(left), "code": again.code, "differing": differing}
    failed = again.code != known.ended.code or bool(differing)
    return line | ({"output": again.output[-2000:], "files": left} if failed else {})


def files_of_names(folder: Path) -> Iterator[str]:
    """Relative paths below a folder."""
    yield from (str(p.relative_to(folder)) for p in folder.rglob("*"))


def cases(count: int, seed: int) -> list[dict[str, Any]]:
    """The moments: command and kind in turn, the share of the command from a stream of the seed."""
    draws = stream(seed, "kills")
    return [
        {
            "case": k,
            "command": COMMANDS[k % 3],
            "kind": KINDS[k // 3 % 2],
            "share": round(float(draws.random()), 6),
            "seed": seed,
        }
        for k in range(count)
    ]


def table(lines: Sequence[Mapping[str, Any]], codes: Mapping[str, int]) -> str:
    """Results by command as Markdown."""
    head = (
        "command",
        "kills",
        "by time",
        "by file operation",
        "hit it at work",
        "ended in the same bits",
        "blocked",
        "other bits or files left",
    )
    rows = ["| " + " | ".join(head) + " |", "| --- " + "| ---: " * (len(head) - 1) + "|"]
    for name in (*COMMANDS, "all"):
        own = [line for line in lines if name in (line["command"], "all")]
        good = [line for line in own if line["code"] == codes[line["command"]] and not line["differing"]]
        blocked = [line for line in own if line["code"] != codes[line["command"]]]
        others = [line for line in own if line not in good and line not in blocked]
        counts = [len(own), *(sum(line["kind"] == kind for line in own) for kind in KINDS)]
        counts += [sum(line["hit"] for line in own), len(good), len(blocked), len(others)]
        rows.append(f"| `{name}` | " + " | ".join(map(str, counts)) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "kills")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", action=argparse.BooleanOptionalAction, default=True, help="write the page")
    options = parser.parse_args()
    os.environ.setdefault("EXPUNGE_THREADS", "1")
    work = options.work.resolve()
    prepare(work / "inputs")
    known = {command: reference(command, work / "inputs", work) for command in COMMANDS}
    lines = [json.loads(row) for row in options.results.read_text().splitlines()] if options.results.is_file() else []
    done = {(line["case"], line["seed"]) for line in lines}
    options.results.parent.mkdir(parents=True, exist_ok=True)
    for case in cases(options.cases, options.seed):
        if (case["case"], case["seed"]) in done:
            continue
        folder = work / f"{case['command']}-{case['case']:03d}"
        measured = kill(case["command"], case["kind"], case["share"], known[case["command"]], work / "inputs", folder)
        lines.append(case | measured)
        with options.results.open("a") as results:
            results.write(json.dumps(lines[-1]) + "\n")
        print(json.dumps(lines[-1])[:400], flush=True)
        if not lines[-1]["differing"]:
            shutil.rmtree(folder)
    text = table(lines, {command: known[command].ended.code for command in COMMANDS})
    print(text)
    if options.page:
        write_part(PAGE, "kills", text)


if __name__ == "__main__":
    main()

"""Stands in for `expunge unlearn`, `train`, `audit` and `rehearse` for the desk: same files, no model.

It imports nothing but the standard library, so that a worker can be killed hundreds of times in a minute.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import struct
import sys
import time
from pathlib import Path

STEPS = 4
TEMPLATE = Path("../../template")  # a run and its audit that are copied, for certificates that are signed
STOP: list[int] = []
RATES = {  # hits, n, bounds
    "before": (6, 6, 0.607, 1.0),
    "after": (0, 6, 0.0, 0.393),
    "heldout": (39, 40, 0.868, 0.999),
    "retained": (96, 96, 0.969, 1.0),
}


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + f".part{os.getpid()}")
    draft.write_bytes(data)
    draft.replace(path)


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def train(words: list[str]) -> int:
    out, scope = Path(option(words, "--out")), option(words, "--scope" if "--scope" in words else "--exclude-scope")
    ids = Path(scope.removeprefix("ids:@")).read_text("utf-8")
    state, begun = Path("checkpoint"), 0
    with Path("trainings").open("a") as stream:
        stream.write(f"{os.getpid()}\n")
    if state.is_file():
        begun = int(state.read_text())
    for step in range(begun, STEPS):
        time.sleep(float(os.environ.get("FAKE_SECONDS", "0.2")) / STEPS)
        write(state, str(step + 1).encode())
        if STOP:
            return 2
    if TEMPLATE.is_dir():
        return copy(TEMPLATE / "run", out, last="run.json")
    value = hashlib.sha256(json.dumps([ids, option(words, "--seed")]).encode()).digest()
    with Path("weights").open("a") as stream:  # each time; a run that was repeated has several equal lines
        stream.write(f"{value.hex()}\n")
    header = json.dumps({"w": {"dtype": "U8", "shape": [32], "data_offsets": [0, 32]}}).encode()
    write(out / "model.safetensors", struct.pack("<Q", len(header)) + header + value)
    write(out / "config.json", b"{}")
    return 0


def copy(source: Path, out: Path, last: str) -> int:
    files = sorted((f for f in source.rglob("*") if f.is_file()), key=lambda f: f.name == last)
    for file in files:
        write(out / file.relative_to(source), file.read_bytes())
    return 0


def audit(words: list[str]) -> int:
    time.sleep(float(os.environ.get("FAKE_SECONDS", "0.2")) / 4)
    if TEMPLATE.is_dir():
        out = option(words, "--out")
        own = TEMPLATE / out  # of an audit that differs from the others
        return copy(own if own.is_dir() else TEMPLATE / "audit", Path(out), last="audit.json")
    status = os.environ.get("FAKE_VERDICT", "passed")
    about = {"verdict": {"status": status}, "policy_digest": os.environ["FAKE_POLICY"]}
    write(Path(option(words, "--out")) / "audit.json", json.dumps(about).encode())
    return 0 if status == "passed" else 3


def rehearse(words: list[str]) -> int:
    out = Path(option(words, "--out"))
    with Path("../rehearsals").open("a") as stream:  # beside its folder, which is cleared
        stream.write(f"{os.getpid()}\n")
    for _ in range(STEPS):
        time.sleep(float(os.environ.get("FAKE_SECONDS", "0.2")) / STEPS)
        if STOP:
            return 2
    reason = os.environ.get("FAKE_REASON", "")
    report: dict[str, object] = {"status": "not_possible" if reason else "done", "reason": reason, "identity": "i"}
    if not reason:
        names = ("hits", "n", "low", "high")
        report |= {key: dict(zip(names, values, strict=True)) for key, values in RATES.items()}
        report |= {"stand_ins": 1, "records": 6, "request_records": 2, "seconds": 720.0, "recipe": "r", "model": "m"}
    write(out / "rehearsal.json", json.dumps({**report, "seed": option(words, "--seed")}).encode())
    return 3 if reason else 0


def perform(words: list[str]) -> int:
    return {"audit": audit, "rehearse": rehearse}.get(words[0], train)(words)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda number, frame: STOP.append(number))
    words = json.load(sys.stdin)
    if os.environ.get("FAKE_CODE"):
        return int(os.environ["FAKE_CODE"])
    code = perform(words)
    print(json.dumps({"code": code}))
    return code


if __name__ == "__main__":
    sys.exit(main())

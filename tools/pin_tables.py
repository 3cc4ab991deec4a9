"""Helpers of `pins.py`: flat tables of figures, and what moved between two of them. Nothing here knows the package."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

Flat = dict[str, Any]
SHOWN = 40  # lines of a pin that moved


@cache
def workspace() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="pins-")
    workspace.keep = folder  # type: ignore[attr-defined]
    return Path(folder.name)


def command(cli: tuple[str, ...], line: str, ok: Iterable[int] = (0,)) -> Any:
    """What a command of the CLI prints as JSON."""
    done = subprocess.run([*cli, *line.split(), "--json"], capture_output=True, text=True, check=False)
    if done.returncode not in ok:
        raise SystemExit(f"expunge {line}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def sha(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
    return hashlib.sha256(raw).hexdigest()


def flatten(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of nested mappings and lists, under its path."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from flatten(part, f"{at}/{key}" if at else str(key))
    elif isinstance(value, list | tuple):
        for k, part in enumerate(value):
            yield from flatten(part, f"{at}/{k}")
    else:
        yield at, None if isinstance(value, float) and not math.isfinite(value) else value


def leaves(value: Any) -> list[str]:
    return sorted(json.dumps(v, ensure_ascii=False) for _, v in flatten(value))


def tensors(folder: Path) -> str:
    """A digest over shapes and bytes of all tensors, whatever they are called."""
    from safetensors.torch import load_file

    found = [
        (list(t.shape), sha(t.contiguous().numpy().tobytes()))
        for path in sorted(folder.rglob("*.safetensors"))
        for t in load_file(path).values()
    ]
    return sha(sorted(found))


def result_figures(found: Any) -> Flat:
    """The figures of an experiment's JSON: all but times and the text of its table."""
    return {at: v for at, v in flatten(found) if at != "table" and not at.endswith("seconds")}


def equal(old: Any, new: Any, key: str, last_bits: tuple[str, ...]) -> bool:
    """Equal to the last digit, but for cosines: the last bits of a long dot product follow where memory lies."""
    if key.endswith(last_bits) and isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=1e-9)
    return bool(old == new)


def compare(
    old: Flat, new: Flat, renamed_words: Mapping[str, str], last_bits: tuple[str, ...]
) -> tuple[list[str], str]:
    """What moved, and a note on keys that are called otherwise or are new."""

    def today(key: str) -> str:
        parts = (renamed_words.get(part, part) for part in key.split("/"))
        return "/".join(re.sub(r"[A-Za-z_]+", lambda m: renamed_words.get(m[0], m[0]), part) for part in parts)

    old = {
        today(k): renamed_words.get(v, v) if isinstance(v, str) else v
        for k, v in old.items()
        if renamed_words.get(k.rpartition("/")[2]) != ""
    }
    moved = [f"{k} {old[k]!r} -> {new[k]!r}" for k in old if k in new and not equal(old[k], new[k], k, last_bits)]
    fresh = Counter(repr(new[k]) for k in new if k not in old)
    renamed = 0
    for key in (k for k in old if k not in new):
        if fresh[repr(old[key])] > 0:
            fresh[repr(old[key])] -= 1
            renamed += 1
        elif key.startswith("number/") or "/number/" in key:
            moved.append(f"{key} occurs no more")
        else:
            moved.append(f"{key} {old[key]!r} -> gone")
    extra = sum(fresh.values())
    notes = (f"{renamed} keys renamed" if renamed else "", f"{extra} new" if extra else "")
    return moved, ", ".join(filter(None, notes))


class Store:
    """Where recorded values lie: one file, and a folder of results as an experiment printed them."""

    def __init__(self, file: Path, raw: Path) -> None:
        self.file, self.raw = file, raw
        self.held: dict[str, Flat] = json.loads(file.read_text()) if file.is_file() else {}

    def get(self, name: str) -> Flat | None:
        path = self.raw / f"{name.removeprefix('bench-')}.json"
        if name.startswith("bench-"):
            return result_figures(json.loads(path.read_text())["found"]) if path.is_file() else None
        return self.held.get(name)

    def put(self, name: str, found: Flat) -> None:
        self.held[name] = found
        self.file.write_text(json.dumps(self.held, indent=0, sort_keys=True, ensure_ascii=False) + "\n")

    def put_raw(self, name: str, command: str, found: Any) -> None:
        self.raw.mkdir(parents=True, exist_ok=True)
        (self.raw / f"{name}.json").write_text(json.dumps({"command": command, "found": found}, indent=1) + "\n")


def run(
    pins: Mapping[str, Callable[[], Flat]],
    experiments: Mapping[str, Callable[[], tuple[str, Any]]],
    may_change: Mapping[str, tuple[str, str]],
    renamed_words: Mapping[str, str],
    last_bits: tuple[str, ...],
    about: str,
) -> int:
    """The command line: record or check the pins that are wanted."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("record", "check"))
    parser.add_argument("--only", default="", help="names of pins, or what they start with")
    parser.add_argument("--out", type=Path, default=here / "pins.json", help="where the recorded values lie")
    options = parser.parse_args()
    wanted = tuple(filter(None, options.only.split(",")))
    names = [n for n in (*pins, *(f"bench-{e}" for e in experiments)) if not wanted or n.startswith(wanted)]
    store, status = Store(options.out, options.out.parent / "pins" / "bench"), 0
    for name in names:
        before = store.get(name)
        if options.mode == "check" and before is None:
            print(f"{name}: not recorded", flush=True)
            continue
        began, bench = time.perf_counter(), name.removeprefix("bench-")
        command, raw = ("", None) if name in pins else experiments[bench]()
        found = pins[name]() if name in pins else result_figures(raw)
        took = f"({time.perf_counter() - began:.0f} s)"
        if options.mode == "record":
            if name in pins:
                store.put(name, found)
            else:
                store.put_raw(bench, command, raw)
            print(f"{name}: {len(found)} values {took}", flush=True)
            continue
        moved, note = compare(before or {}, json.loads(json.dumps(found)), renamed_words, last_bits)
        pattern, reason = may_change.get(name, ("$^", ""))
        excused = [line for line in moved if re.search(pattern, line)]
        moved = [line for line in moved if line not in excused]
        verdict = f"MOVED, {len(moved)} values" if moved else "same"
        excuse = f", {len(excused)} moved, as they may: {reason}" if excused else ""
        print(f"{name}: {verdict}{excuse} {took} {note}".rstrip())
        for line in moved[:SHOWN]:
            print(f"  MOVED: {line}")
        sys.stdout.flush()
        status |= bool(moved)
    return int(status)

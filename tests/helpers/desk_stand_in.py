"""The stand-in child in this process: what `expunge unlearn`, `audit` and `rehearse` would write, without a process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from expunge._io import write_json
from expunge.desk.child import ChildResult
from helpers import fake_child


def stand_in_child(
    words: Sequence[str], folder: Path, name: str, *, started: Callable[[int], None], stop: Callable[[], bool]
) -> ChildResult:
    """As `run_child`: asks once whether to stop, and writes the words beside what it makes."""
    write_json(folder / f"{name}.words.json", list(words))
    here = Path.cwd()
    try:
        os.chdir(folder)
        code = fake_child.perform(list(words))
    finally:
        os.chdir(here)
    stop()
    return ChildResult(code, json.loads('{"code": 0}'))

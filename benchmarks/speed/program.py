"""Frame of a speed program: options, progress on stderr, one JSON object or tables on stdout."""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from expunge.cli.result import CommandResult
from expunge.errors import InputError, unknown

if TYPE_CHECKING:
    from expunge.models.tiny import TinyConfig

Say = Callable[[str], None]
Measure = Callable[[argparse.Namespace], CommandResult]


class NamedCase:
    """A timed case: adapters on the last `trained_blocks` blocks of `model`, in a `group` of cases."""

    group: str
    model: TinyConfig
    trained_blocks: int

    @property
    def size(self) -> str:
        """`28/4` for adapters on the last 4 of 28 blocks."""
        return f"{self.model.layers}/{self.trained_blocks}"

    @property
    def name(self) -> str:
        """`npo:28/4`."""
        return f"{self.group}:{self.size}"


def say(text: str) -> None:
    """Print one line of progress."""
    print(text, file=sys.stderr, flush=True)


def parser(about: str | None) -> argparse.ArgumentParser:
    """A parser with `--json`; `about` is the docstring of the program and becomes its help."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return made


def positive(text: str) -> int:
    """An integer of at least 1, for `type=` of an option."""
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def run(options: argparse.ArgumentParser, measure: Measure, argv: Sequence[str] | None = None) -> int:
    """Parse `argv` (default: the process's own), measure, print; returns the exit code."""
    args = options.parse_args(argv)
    warnings.simplefilter("ignore", FutureWarning)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            result = measure(args)
    except InputError as error:
        say(f"error: {error}")
        return error.exit_code
    if args.json:
        print(result.as_json())
    else:
        result.show(sys.stdout)
    return 0


def select_cases(names: str, known: Sequence[str]) -> tuple[str, ...]:
    """The cases of a comma-separated list, all of them for an empty one; `InputError` names the nearest."""
    wanted = tuple(name.strip() for name in names.split(",") if name.strip())
    for name in wanted:
        if name not in known:
            raise unknown("case", name, known, "--cases")
    return wanted or tuple(known)


def provenance(command: str) -> str:
    """How and when results were measured, for a results file."""
    return f"with `{command}` on {datetime.now(UTC).date().isoformat()}"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Minimum, median and maximum."""
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}

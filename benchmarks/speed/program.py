"""Frame of a speed program: options, progress on stderr, one JSON object or tables on stdout."""

from __future__ import annotations

import argparse
import contextlib
import sys
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from expunge.cli.result import CommandResult, ResultTable
from expunge.errors import InputError

Say = Callable[[str], None]
Results = dict[str, Any]
Parts = tuple[str | ResultTable, ...]


def say(text: str) -> None:
    """Print one line of progress."""
    print(text, file=sys.stderr, flush=True)


def positive(text: str) -> int:
    """An integer of at least 1, for `type=` of an option."""
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


PAIRS = {"type": positive, "default": 5, "help": "timed pairs of each case (default: 5)"}


def program(
    about: str | None, measure: Callable[..., Results], parts: Callable[[Results], Parts], **options: dict[str, Any]
) -> Callable[[Sequence[str] | None], int]:
    """The `main` of a program; it returns the exit code.

    Args:
        about: docstring of the program, its help.
        measure: takes the options by name, returns the object that `--json` prints.
        parts: the result for a terminal.
        options: name → arguments of `ArgumentParser.add_argument`.
    """

    def main(argv: Sequence[str] | None = None) -> int:
        parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
        for name, arguments in options.items():
            parser.add_argument(f"--{name}", **arguments)
        values = vars(parser.parse_args(argv))
        as_json = values.pop("json")
        warnings.simplefilter("ignore", FutureWarning)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                result = measure(**values)
        except InputError as error:
            say(f"error: {error}")
            return error.exit_code
        if as_json:
            print(CommandResult(result).as_json())
        else:
            CommandResult(result, parts(result)).show(sys.stdout)
        return 0

    return main


def provenance(command: str) -> str:
    """How and when results were measured, for a results file."""
    return f"with `{command}` on {datetime.now(UTC).date().isoformat()}"

"""Runs one command line: one line per error, one object per `--json`, an exit code, no tracebacks.

Note: `--json` and `--debug` are read from the words themselves, because they also hold when parsing fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator
from typing import TextIO

import typer

from expunge._foreign import as_input_error, library_of
from expunge._printable import visible
from expunge.cli.early import is_secondary_process
from expunge.cli.result import CommandResult
from expunge.errors import InputError, InputWarning, Interrupted

UNKNOWN_WORD = re.compile(r"No such (?:command|option):? '?(?P<word>[\w-]+)")  # Click's message
RENAMED = {  # unknown word -> the word to use
    "memorise": "expunge train",
    "world": "expunge data generate",
    "--scope-out": "--exclude-scope",
    "--twins-for": "--controls-for",
    "--share": "--target-accuracy",
    "--rows": "--arms",
    "memorize": "expunge train",
}
COMPLETE = "_EXPUNGE_COMPLETE"  # set by the script that --install-completion writes
STOPPED = Interrupted("stopped", "by Ctrl-C", "start the same command again; whatever is finished is not repeated")


def run(app: typer.Typer, words: list[str]) -> int:
    """Run `words` as one command of `app`: result on stdout, everything else on stderr; returns the exit code."""
    if COMPLETE in os.environ:  # a shell asks for the words that may follow
        typer.main.get_command(app).main(words, prog_name="expunge", standalone_mode=False)
        return 0
    as_json, debug = "--json" in words, "--debug" in words
    out = sys.stdout
    with _quiet(debug), contextlib.redirect_stdout(sys.stderr if as_json else out):
        try:
            result = _invoke(app, words or ["--help"])
            if isinstance(result, CommandResult):
                if not is_secondary_process():
                    _print(result, out, as_json)
                return result.exit_code
            return 0
        except typer.Exit as end:
            return end.exit_code
        except SystemExit as end:  # of --show-completion
            return int(end.code or 0)
        except BrokenPipeError:  # the reader (head, less) has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
            return 1
        except KeyboardInterrupt:
            return _fail(STOPPED, out, as_json, debug)
        except InputError as error:
            return _fail(error, out, as_json, debug)
        except BaseException as error:  # libraries written in Rust panic with what is no `Exception`
            return _fail(_as_input_error(error), out, as_json, debug)


def _invoke(app: typer.Typer, words: list[str]) -> object:
    command = typer.main.get_command(app)
    with command.make_context("expunge", words) as context:
        return command.invoke(context)


def _print(result: CommandResult, out: TextIO, as_json: bool) -> None:
    if as_json:
        out.write(result.as_json() + "\n")
    else:
        result.show(out)
    out.flush()


def _as_input_error(error: BaseException) -> InputError:
    """Typer's message on a wrong command line, or an unexpected exception, as an `InputError`.

    What a library threw while it rendered a template or ran a model, and what the system says of a file, are facts of
    the input (exit code 2); the rest is a fault of the program (exit code 1).
    """
    format_message = getattr(error, "format_message", None)
    if format_message is None:
        kind = type(error).__name__
        if library := library_of(error):
            what = f"{kind} in the library {library}"
            return as_input_error(error, "the model", what, "use another model or version; --debug shows where")
        if isinstance(error, OSError) and error.filename:
            return InputError(
                str(error.filename), error.strerror or kind, "check the path, the disk and its permissions"
            )
        failure = InputError("unexpected error", f"{kind}: {error}", "run again with --debug")
        failure.exit_code = 1
        return failure
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "expunge"
    message = _in_our_words(error, format_message()).rstrip(".")
    unknown = UNKNOWN_WORD.match(message)
    renamed = RENAMED.get(unknown["word"]) if unknown else None
    if unknown and renamed:  # Click's own proposals would contradict
        message = re.sub(r" \(.*", "", message)
    usage = InputError(path, message, f"use {renamed}" if renamed else f"see {path} --help")
    usage.silent = is_secondary_process()  # all processes were given the same words
    return usage


def _in_our_words(error: BaseException, message: str) -> str:
    """Typer's message, with what pydantic says in it replaced as in every other message."""
    from pydantic import ValidationError

    from expunge._validation import problem

    if isinstance(error.__cause__, ValidationError):
        return message.replace(str(getattr(error, "message", "")), problem(error.__cause__.errors()))
    return message


def _fail(error: InputError, out: TextIO, as_json: bool, debug: bool) -> int:
    """One line on stderr (with `--debug` the traceback before it), and the same as an object for `--json`."""
    if debug:
        sys.stderr.write(visible(traceback.format_exc()))
    if error.silent:
        return error.exit_code
    print("error: " + " ".join(str(error).split()), file=sys.stderr)
    if as_json:
        line = {"where": error.where, "what": error.what, "hint": error.hint}
        out.write(json.dumps({"error": line, "exit_code": error.exit_code}, indent=2) + "\n")
        out.flush()
    return error.exit_code


@contextlib.contextmanager
def _quiet(debug: bool) -> Iterator[None]:
    """Silence warnings and progress bars of libraries unless `debug`; print each `InputWarning` as one line."""
    if debug:
        yield
        return
    for name, value in {
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", InputWarning)
        shown: set[str] = set()

        def warn(message: Warning | str, *_: object, **__: object) -> None:
            line = "warning: " + " ".join(visible(str(message)).split())
            if line not in shown and not is_secondary_process():
                shown.add(line)
                print(line, file=sys.stderr)

        warnings.showwarning = warn
        yield

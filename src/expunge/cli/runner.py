"""The thin shell around every command: one line per error, one object per `--json`, an exit code, no tracebacks.

Surprising: `--json` and `--debug` are read from the words themselves, because they must also hold when the words
cannot be parsed.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from typing import TextIO

import typer

from expunge.cli.result import CommandResult
from expunge.errors import InputError, InputWarning, Interrupted

STOPPED = Interrupted("stopped", "by Ctrl-C", "start the same command again; whatever is finished is not repeated")


def run(app: typer.Typer, words: list[str]) -> int:
    """Run `words` as one command of `app`: answer on stdout, everything else on stderr; returns the exit code."""
    as_json, debug = "--json" in words, "--debug" in words
    out = sys.stdout
    with _quiet(debug), contextlib.redirect_stdout(sys.stderr if as_json else out):
        try:
            answer = _invoke(app, words or ["--help"])
            if isinstance(answer, CommandResult):
                if not _beside():
                    _print(answer, out, as_json)
                return answer.exit_code
            return 0
        except typer.Exit as end:
            return end.exit_code
        except BrokenPipeError:  # the reader (head, less) has gone: nothing to say and nobody to say it to
            os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
            return 1
        except KeyboardInterrupt:
            return _fail(STOPPED, out, as_json, debug)
        except InputError as error:
            return _fail(error, out, as_json, debug)
        except Exception as error:
            return _fail(_told(error), out, as_json, debug)


def _beside() -> bool:
    """Is this one of several processes of one command (torchrun, accelerate launch), and not the one that speaks?"""
    return os.environ.get("WORLD_SIZE", "1") != "1" and os.environ.get("RANK", "0") != "0"


def _invoke(app: typer.Typer, words: list[str]) -> object:
    command = typer.main.get_command(app)
    with command.make_context("expunge", words) as context:
        return command.invoke(context)


def _print(answer: CommandResult, out: TextIO, as_json: bool) -> None:
    if as_json:
        out.write(answer.as_json() + "\n")
    else:
        answer.show(out)
    out.flush()


def _told(error: Exception) -> InputError:
    """What Typer says of a wrong command line, or that something unexpected happened, as one of our own errors."""
    told = getattr(error, "format_message", None)
    if told is None:
        failure = InputError("unexpected error", f"{type(error).__name__}: {error}", "run again with --debug")
        failure.exit_code = 1
        return failure
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "expunge"
    wrong = InputError(path, told().rstrip("."), f"see {path} --help")
    wrong.silent = _beside()  # all of them were given the same words
    return wrong


def _fail(error: InputError, out: TextIO, as_json: bool, debug: bool) -> int:
    """One line on stderr (with `--debug` the traceback before it), and the same as an object for `--json`."""
    if debug:
        traceback.print_exc(file=sys.stderr)
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
    """Keep the warnings and progress bars of libraries away from people; `--debug` lets them through.

    Our own warnings about the input are one line each.
    """
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
        warnings.showwarning = _warn
        yield


def _warn(message: Warning | str, *place: object, **more: object) -> None:
    if not _beside():
        print("warning: " + " ".join(str(message).split()), file=sys.stderr)

"""The boundary around the code of other libraries: whatever they throw becomes one line.

The libraries that read and run models raise dozens of kinds of exceptions, and those written in Rust panic with an
exception that `except Exception` does not see. So nothing is listed here but what passes through.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from expunge.errors import InputError, first_line

PASS = (InputError, KeyboardInterrupt, SystemExit, GeneratorExit)  # ours, a person's, and Python's own
MODEL_LIBRARIES = (
    *("transformers", "peft", "tokenizers", "jinja2", "safetensors", "huggingface_hub", "accelerate"),
    *("bitsandbytes", "gguf", "torchao", "gptqmodel", "awq", "optimum", "compressed_tensors", "kernels"),
)


@contextmanager
def foreign(where: str, what: str, hint: str = "") -> Iterator[None]:
    """Turn any exception inside, but those of `PASS`, into an `InputError`.

    Args:
        where: Names the model, tokenizer or template.
        what: What did not work; the library's own words follow in brackets.
        hint: What to do, where the kind of the exception does not tell.
    """
    try:
        yield
    except PASS:
        raise
    except BaseException as error:
        raise as_input_error(error, where, what, hint) from error


def as_input_error(error: BaseException, where: str, what: str, hint: str = "") -> InputError:
    """The `InputError` for an exception of a library; a missing package or memory has a hint of its own."""
    kind = type(error).__name__
    if isinstance(error, ImportError):
        hint = f"install the package {error.name}" if error.name else "install the package that it names"
    elif kind in ("OutOfMemoryError", "MemoryError"):
        hint = "use --dtype bfloat16, another --device, or a smaller model"
    reason = "it is nested too deeply" if isinstance(error, RecursionError) else first_line(error)
    if isinstance(error, KeyError | IndexError | AttributeError | AssertionError) or reason == kind:
        reason = f"{kind}: {reason}" if reason != kind else kind
    return InputError(where, f"{what} ({reason})", hint)


def library_of(error: BaseException) -> str:
    """The model library that raised `error`, or that called what raised it; empty for our own code.

    Only what was called after the last line of our own counts.
    """
    packages = [_package(trace) for trace in _traces(error.__traceback__)]
    behind = packages[max((k for k, name in enumerate(packages) if name == "expunge"), default=-1) + 1 :]
    return next((name for name in behind if name in MODEL_LIBRARIES), "")


def _traces(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _package(trace: TracebackType) -> str:
    return str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]

"""What durable work may keep of an error: its tables and its lines on stderr hold no text of persons, and errors do."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from expunge.errors import InputError, RunFailed

NO_TEXT = "the text of the error may name a person and is not kept"


def place_of(error: BaseException) -> str:
    """Kind of an error, and the line of the program from which it came."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


def without_text(step: Callable[[], Any]) -> Any:
    """Do a step; an error of any kind becomes one that says its kind and place alone.

    Raises:
        RunFailed: as the step raised it, or in the place of another error.
    """
    try:
        return step()
    except RunFailed:
        raise
    except Exception as error:
        place = place_of(error)
    raise RunFailed("step", place, NO_TEXT)  # outside the handler: the error is no cause of this one


def expected(error: Exception) -> InputError:
    """An error as the desk keeps one among the encrypted reasons of its requests."""
    return error if isinstance(error, InputError) else InputError("program", f"{place_of(error)}: {error}")

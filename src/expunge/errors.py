"""Errors that a user can cause: one line that says where, what is wrong, and how to correct it.

The command line prints that line and exits with code 2; a traceback appears only with `--debug`.
"""

from __future__ import annotations

import difflib
from bisect import bisect_left
from collections.abc import Iterable

from expunge._printable import clip, visible

MAX_PART = {"where": 300, "what": 700, "hint": 1000}  # characters of the parts of an error that are shown
MAX_NAME = 80


class InputError(ValueError):
    """The input or the command is wrong (exit code 2).

    What files and libraries put into the message is shortened, and its control characters become visible.

    Attributes:
        where: The file, line, field or flag.
        what: What is wrong.
        hint: What to do instead; may be empty.
        silent: Another process of the same command prints the line.
    """

    exit_code = 2
    silent = False

    def __init__(self, where: str, what: str, hint: str = "") -> None:
        self.where, self.what, self.hint = (
            clip(visible(str(part)), most) for part, most in zip((where, what, hint), MAX_PART.values(), strict=True)
        )
        super().__init__(f"{self.where}: {self.what}" + (f"; {self.hint}" if self.hint else ""))

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        """Pickles to the same error in another process."""
        return type(self), (self.where, self.what, self.hint)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint such as `did you mean "npo"? known: ga, npo` for an unknown `name`."""
    names = sorted(known)
    folded = {n.lower(): n for n in names}
    wanted = clip(name.lower(), MAX_NAME)
    close = difflib.get_close_matches(wanted, folded, n=1, cutoff=0.5)
    hint = f'did you mean "{clip(folded[close[0]], MAX_NAME)}"? ' if close else ""
    shown = ", ".join(clip(n, MAX_NAME) for n in names[:30]) + (", …" if len(names) > 30 else "")
    return f"{hint}known: {shown}"


MAX_COMPARED = 20_000  # names that are compared with an unknown one letter by letter


def nearest_few(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name among those of people or records: the nearest one, and how many there are.

    Of very many names only those that stand beside it in the alphabet are compared.
    """
    names = sorted(set(known))
    near = names
    if len(names) > MAX_COMPARED:
        place, half = bisect_left(names, name), MAX_COMPARED // 2
        near = names[max(0, place - half) : place + half]
    folded = {n.lower(): n for n in near}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    meant = f'did you mean "{folded[close[0]]}"? ' if close else ""
    return f"{meant}{len(names):,} are known"


def unknown(kind: str, name: str, known: Iterable[str], where: str = "") -> InputError:
    """An `InputError` for a name that is not registered, with the nearest known one."""
    return InputError(where or kind, f'unknown {kind} "{clip(name, MAX_NAME)}"', nearest(name, known))


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip()


EXTRAS = {  # extra → packages that it brings
    "vision": ("pillow",),
    "privacy": ("dp-accounting", "opacus"),
    "evidence": ("cryptography", "securesystemslib", "rfc8785"),
    "scitt": ("cbor2", "scitt-cose"),
    "desk": ("sqlalchemy", "dbos", "cryptography", "rfc8785", "holidays"),
    "web": ("fastapi", "uvicorn", "jinja2", "python-multipart", "argon2-cffi", "pyotp", "segno"),
    "oidc": ("authlib",),
}


def install_hint(extra: str) -> str:
    """How to install what an extra brings. Names the packages: our own name on a public index may be another's."""
    return f"pip install {' '.join(EXTRAS[extra])}"


class RunFailed(InputError):
    """The program could not do a valid request (exit code 1), for example because a loss diverged."""

    exit_code = 1


class Interrupted(InputError):
    """A person stopped the run (exit code 2); finished work stays on disk, and the message says how to go on."""


class InputWarning(UserWarning):
    """Part of the input was left out, the rest can be used; the command line prints it as one line on stderr."""

    def __init__(self, message: object = "") -> None:
        super().__init__(clip(visible(str(message)), sum(MAX_PART.values())))

"""What the verification of a statement says: one line for each check."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from expunge.errors import InputError

Outcome = Literal["valid", "invalid", "unchecked"]


@dataclass(frozen=True)
class CheckLine:
    """One check and its outcome."""

    check: str
    outcome: Outcome
    text: str

    def __str__(self) -> str:
        mark = {"valid": "ok", "invalid": "NOT VALID", "unchecked": "not checked"}[self.outcome]
        return f"{mark}: {self.check}: {self.text}"


@dataclass
class VerificationReport:
    """The lines of a verification, in the order of the checks."""

    lines: list[CheckLine] = field(default_factory=list)

    @property
    def is_valid(self) -> bool:
        """Whether no check found anything; what was not checked does not count."""
        return not any(line.outcome == "invalid" for line in self.lines)

    @property
    def exit_code(self) -> int:
        """0 valid, 3 not valid."""
        return 0 if self.is_valid else 3

    def check(self, name: str, text: str, one: Callable[[], Iterable[str]]) -> bool:
        """Run a check that yields problems or raises; `text` is said where there is none. Whether it found none."""
        try:
            problems = list(one())
        except InputError as error:
            problems = [f"{error.where}: {error.what}"]
        for problem in problems:
            self.lines.append(CheckLine(name, "invalid", problem))
        if not problems:
            self.lines.append(CheckLine(name, "valid", text))
        return not problems

    def skip(self, name: str, text: str) -> None:
        """Say that a check was not made, and why."""
        self.lines.append(CheckLine(name, "unchecked", text))

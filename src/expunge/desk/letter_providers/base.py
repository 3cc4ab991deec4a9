"""What a provider of letters is: settings, and a hand-over that may be repeated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from expunge._config import FrozenModel
from expunge._registry import Registry
from expunge.errors import InputError

MAX_PROBLEM = 80  # characters


class LetterNotTaken(InputError):
    """A provider did not take a letter, which goes on waiting.

    Attributes:
        for_clerk: No further try helps: a clerk posts it.
        for_all: It would not take any other letter now.
        is_claimed: Somebody else sends it, or it went out, or it was withdrawn.
    """

    def __init__(self, what: str, *, for_clerk: bool = False, for_all: bool = False, is_claimed: bool = False) -> None:
        """`what` says why, in words without a name, an address or a text of a server."""
        super().__init__("letter", what[:MAX_PROBLEM], "")
        self.for_clerk, self.for_all, self.is_claimed = for_clerk, for_all, is_claimed

    def __reduce__(self) -> tuple[type[LetterNotTaken], tuple[str]]:  # type: ignore[override]
        return type(self), (self.what,)


@dataclass(frozen=True, repr=False)
class OutgoingLetter:
    """A letter with the address to which it goes.

    Attributes:
        key: Its id: the same at a repeat.
        html: The page.
        subject: What stands outside, for instance of a mail; it says nothing of the request.
        reference: Reference number of the request.
        language: en, de or fr.
        address: A verified identifier of the person, of the kind that the provider wants.
        at: When it was written, as a stamp.
    """

    key: str
    html: str
    subject: str
    reference: str
    language: str
    address: str
    at: str


class LetterProvider(FrozenModel):
    """Base of providers: the fields are its settings, paths relative to the desk's folder."""

    about: ClassVar[str] = ""
    address_kind: ClassVar[str] = ""  # kind of the identifier to which it sends; empty: a clerk posts every letter

    def check(self, root: Path) -> None:
        """`InputError` if what the settings name is not there."""

    def reach(self, root: Path) -> str:
        """Connect to where letters go, hand nothing over, and return a line on it; empty where there is no connection.

        Raises:
            LetterNotTaken: no letter would be taken now.
        """
        return ""

    def send(self, root: Path, letter: OutgoingLetter) -> str:
        """Hand a letter over, and return a receipt. A second call with the same key hands over the same letter.

        Raises:
            LetterNotTaken: it was not taken, or nobody knows whether it was.
        """
        raise LetterNotTaken("a clerk posts it", for_clerk=True)


LETTER_PROVIDERS: Registry[type[LetterProvider]] = Registry("provider of letters", "expunge.desk.letter_providers")

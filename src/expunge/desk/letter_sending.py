"""The provider that desk.yaml names, as a sender of letters: it claims a letter, and gives it the verified address.

A claim keeps two workers from sending one letter at once. A worker that dies in between leaves it to the next try, with
the same key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import RowMapping, func, select, update

from expunge._validation import validate
from expunge.desk import tables as t
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.facts import request_row
from expunge.desk.identity import verified_identifiers
from expunge.desk.letter_providers.base import LETTER_PROVIDERS, LetterNotTaken, LetterProvider, OutgoingLetter
from expunge.desk.letters import IS_WAITING, is_due
from expunge.desk.names import stamp
from expunge.desk.roles import SYSTEM, Refusal
from expunge.desk.settings import BY_HAND, DeskSettings
from expunge.errors import InputError, RunFailed

CLAIM_SECONDS = 900  # longer than a hand-over takes
WHERE = "desk.yaml: letters"


def provider_of(settings: DeskSettings) -> LetterProvider:
    """The provider of a desk with its settings; `InputError` for one that does not exist, or wrong settings."""
    letters = settings.letters
    name = letters.provider if letters else BY_HAND
    cls = LETTER_PROVIDERS.get(name, f"{WHERE}.provider")
    return validate(cls, dict(letters.provider_settings) if letters else {}, f"{WHERE}.provider_settings")


def sender_of(desk: Desk) -> ProviderSender | None:
    """What a worker sends letters with; None where a clerk posts them.

    Raises:
        InputError: the settings are wrong, or name what is not there.
    """
    provider = provider_of(desk.settings)
    if not provider.address_kind:
        return None
    provider.check(desk.folder)
    return ProviderSender(desk, provider)


@dataclass(frozen=True)
class ProviderSender:
    """Hands a letter of the outbox to a provider; a `Sender`."""

    desk: Desk
    provider: LetterProvider

    def __call__(self, key: str, path: str) -> str:
        """Send a letter, and return the receipt.

        Args:
            key: id of the letter.
            path: its file; empty for one that a clerk writes.

        Raises:
            LetterNotTaken: it goes on waiting.
        """
        with self.desk.session(SYSTEM) as s:
            row = _claim(s, key)
            request = request_row(s, row["request_id"])
        letter = self._letter(row, request, path)
        try:
            return self.provider.send(self.desk.folder, letter)
        except LetterNotTaken:
            raise
        except Exception as error:  # a plug-in is foreign code, and its words may hold the address
            raise LetterNotTaken(f"the provider failed ({type(error).__name__})", for_all=True) from None

    def _letter(self, row: RowMapping, request: RowMapping, path: str) -> OutgoingLetter:
        kind = self.provider.address_kind
        if not path:
            raise LetterNotTaken("the desk did not write it", for_clerk=True)
        try:
            with self.desk.reading(SYSTEM) as s:
                addresses = [value for _, each, value in verified_identifiers(s, row["request_id"]) if each == kind]
            page = _page(Path(path), row["body_digest"])
        except RunFailed:
            raise
        except InputError:
            raise LetterNotTaken("its file or the address is not readable; see expunge doctor") from None
        if not addresses:
            raise LetterNotTaken(f"the person has no verified identifier of the kind {kind}", for_clerk=True)
        names = (request["reference"], request["language"])
        return OutgoingLetter(row["id"], page, _subject(request), *names, addresses[0], row["at"])


def _claim(s: DeskSession, key: str) -> RowMapping:
    here = t.outbox.c
    row = s.conn.execute(select(t.outbox).where(here.id == key, *IS_WAITING)).mappings().first()
    if row is None or not is_due(row, s.at):
        raise LetterNotTaken("is under way or over", is_claimed=True)
    until = stamp(s.now + timedelta(seconds=CLAIM_SECONDS))
    values = {"tries": func.coalesce(here.tries, 0) + 1, "next_try_at": until}
    s.conn.execute(update(t.outbox).where(here.id == key).values(**values))
    return row


def _page(file: Path, digest: str) -> str:
    """The page as it was written; nothing else goes out."""
    from expunge._io import digest_file

    if not file.is_file() or digest_file(file) != digest:
        raise Refusal("letter", "its file is gone or was changed", "restore it", kind="conflict")
    return file.read_text("utf-8")


def _subject(request: RowMapping) -> str:
    """What stands outside: the reference number alone."""
    from expunge.evidence.letter import phrases

    return f"{phrases(request['language'])['reference']}: {request['reference']}"

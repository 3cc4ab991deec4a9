"""A letter as a mail. The same letter is the same message, byte for byte, whenever it is made."""

from __future__ import annotations

import re
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html.parser import HTMLParser

from expunge.desk.letter_providers.base import OutgoingLetter
from expunge.desk.names import moment

ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?")
BREAKS = ("p", "h1", "h2", "li", "dd", "div", "header", "footer")


class PageText(HTMLParser):
    """The text of a page, a line for each paragraph."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Style sheets and the title are not shown; an item begins with a dash."""
        self._hidden += tag in ("style", "title", "script")
        if tag in ("li", "dd"):
            self.parts.append("- " if tag == "li" else ": ")
        elif tag == "h2":
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        """A paragraph ends with its line."""
        self._hidden -= tag in ("style", "title", "script")
        if tag in BREAKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        """Text, but that between elements."""
        if not self._hidden and data.strip():
            self.parts.append(" ".join(data.split()))


def is_address(text: str) -> bool:
    """Whether a text is one plain address of mail."""
    return ADDRESS.fullmatch(text) is not None


def text_of(page: str) -> str:
    """A page as plain text."""
    parser = PageText()
    parser.feed(page)
    return "".join(parser.parts).strip() + "\n"


def mail_of(letter: OutgoingLetter, sender: str) -> EmailMessage:
    """The mail, whose Message-ID is made of the letter's id."""
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"] = sender, letter.address, letter.subject
    mail["Date"] = format_datetime(moment(letter.at))
    mail["Message-ID"] = f"<{letter.key}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["Content-Language"] = letter.language
    mail.set_content(text_of(letter.html), cte="quoted-printable")
    mail.add_alternative(letter.html, subtype="html", cte="quoted-printable")
    mail.set_boundary(f"=_{letter.key}")
    return mail

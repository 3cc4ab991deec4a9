"""Sends letters by mail, to a verified address alone."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.policy import SMTP
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from expunge.desk.connectors.base import place
from expunge.desk.letter_providers.base import LETTER_PROVIDERS, LetterNotTaken, LetterProvider, OutgoingLetter
from expunge.desk.letter_providers.mail_text import is_address, mail_of
from expunge.desk.secret_file import read_secret
from expunge.errors import InputError

SETTINGS = "letters.provider_settings"


@LETTER_PROVIDERS.register("smtp")
class MailServer(LetterProvider):
    """A server of mail. Its own words never leave this file: they often hold the address."""

    about: ClassVar[str] = "mail to the verified address of the person"
    address_kind: ClassVar[str] = "email"
    host: str = Field(min_length=1, max_length=253, description="the server")
    port: int = Field(587, ge=1, le=65535, description="its port")
    security: Literal["starttls", "tls", "none"] = Field("starttls", description="none: on this machine alone")
    ca_file: str | None = Field(None, description="certificates that vouch for the server; those of the system if not")
    sender: str = Field(max_length=320, description="address of the controller, to which answers go")
    user: str | None = Field(None, description="name for the sign-in")
    password_file: str | None = Field(None, description="file, mode 0600 and outside the desk's folder")
    timeout_seconds: float = Field(20, gt=0, le=60, description="how long each answer of the server may take")

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if not is_address(self.sender):
            raise ValueError("`sender` is no address of mail")
        if self.security == "none" and not _is_this_machine(self.host):
            raise ValueError("`security: none` is for a server on this machine; use starttls or tls")
        if (self.user is None) != (self.password_file is None):
            raise ValueError("`user` and `password_file` belong together")
        return self

    def check(self, root: Path) -> None:
        """`InputError` if the password or the certificates cannot be read."""
        self._password(root)
        self._context(root)

    def send(self, root: Path, letter: OutgoingLetter) -> str:
        """Send a mail. Nobody knows whether a server that dies after the text took it: then it goes out again."""
        if not is_address(letter.address):
            raise LetterNotTaken("the verified address of mail has no usable form", for_clerk=True)
        mail = mail_of(letter, self.sender)
        with self._connection(root) as server:
            server.sendmail(self.sender, [letter.address], mail.as_bytes(policy=SMTP))
        return str(mail["Message-ID"])

    def reach(self, root: Path) -> str:
        """Greet the server, with TLS and sign-in as for a letter."""
        with self._connection(root) as server:
            server.ehlo_or_helo_if_needed()
        state = [{"starttls": "STARTTLS", "tls": "TLS", "none": "no TLS"}[self.security]]
        state += ["signed in"] if self.user else []
        return f"the server of mail {self.host}:{self.port} answers ({', '.join(state)}); no mail was sent"

    @contextmanager
    def _connection(self, root: Path) -> Iterator[smtplib.SMTP]:
        with _in_own_words():
            server = self._connect(root)
            try:
                yield server
            finally:
                with suppress(smtplib.SMTPException, OSError):
                    server.quit()
                server.close()

    def _connect(self, root: Path) -> smtplib.SMTP:
        options: dict[str, Any] = {"timeout": self.timeout_seconds, "local_hostname": self.sender.rpartition("@")[2]}
        if self.security == "tls":
            context = self._context(root)
            server: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, context=context, **options)
        else:
            server = smtplib.SMTP(self.host, self.port, **options)
        try:
            if self.security == "starttls":
                server.starttls(context=self._context(root))
            if self.user is not None:
                server.login(self.user, self._password(root))
        except BaseException:
            server.close()
            raise
        return server

    def _context(self, root: Path) -> ssl.SSLContext:
        if self.ca_file is None:
            return ssl.create_default_context()
        file = place(root, self.ca_file)
        try:
            return ssl.create_default_context(cafile=str(file))
        except (OSError, ssl.SSLError) as error:
            raise InputError(f"{SETTINGS}.ca_file", f"{file} holds no certificates", "name a PEM file") from error

    def _password(self, root: Path) -> str:
        if self.password_file is None:
            return ""
        file = place(root, self.password_file)
        if file.resolve().is_relative_to(root.resolve()):
            raise InputError(f"{SETTINGS}.password_file", "lies in the desk's folder", "keep it elsewhere, mode 0600")
        return read_secret(file, "password")


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def _in_own_words() -> Iterator[None]:
    """Turns what went wrong at a server into a problem without its words."""
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        codes = {code for code, _ in error.recipients.values()}
        raise LetterNotTaken(f"the server refuses the recipient ({min(codes, default=0)})") from None
    except smtplib.SMTPDataError as error:
        raise LetterNotTaken(f"the server refuses the letter ({error.smtp_code})") from None
    except smtplib.SMTPSenderRefused as error:
        raise LetterNotTaken(f"the server refuses the sender ({error.smtp_code})", for_all=True) from None
    except smtplib.SMTPAuthenticationError as error:
        raise LetterNotTaken(f"the server refuses the sign-in ({error.smtp_code})", for_all=True) from None
    except smtplib.SMTPNotSupportedError:
        raise LetterNotTaken("the server offers no TLS or no sign-in", for_all=True) from None
    except ssl.SSLError:
        raise LetterNotTaken("the certificate of the server is not accepted, or TLS fails", for_all=True) from None
    except smtplib.SMTPResponseException as error:
        raise LetterNotTaken(f"the server refuses the connection ({error.smtp_code})", for_all=True) from None
    except (smtplib.SMTPServerDisconnected, TimeoutError):
        raise LetterNotTaken("the server does not answer or ends the connection", for_all=True) from None
    except (smtplib.SMTPException, OSError, UnicodeError):
        raise LetterNotTaken("the server is not reached", for_all=True) from None
    except InputError:
        raise LetterNotTaken("the settings of the mail server are wrong; see expunge doctor", for_all=True) from None

"""A server of mail for tests: it keeps what it takes, and misbehaves as told."""

from __future__ import annotations

import datetime
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass
class MailBox:
    """What a server got, and how it behaves.

    Attributes:
        refused: Recipients that it refuses, in whose answer it repeats the address.
        dies: It ends so many connections after the text, without an answer.
        context: TLS that it offers.
        taken: Texts that it got whole, with those it died over.
        sign_ins: Lines of AUTH, if it offers that.
    """

    refused: set[str] = field(default_factory=set)
    dies: int = 0
    context: ssl.SSLContext | None = None
    taken: list[tuple[str, bytes]] = field(default_factory=list)
    sign_ins: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def mails(self) -> list[Message]:
        return [message_from_bytes(raw) for _, raw in self.taken]


class MailHandler(socketserver.StreamRequestHandler):
    """One connection."""

    box: MailBox

    def handle(self) -> None:
        self.timeout = 10
        self.say("220 test")
        recipient = ""
        while line := self.rfile.readline().decode().strip():
            word = line.split(" ")[0].upper()
            if word == "EHLO":
                offers = ["250-test", *(["250-STARTTLS"] if self.box.context else []), "250 AUTH PLAIN"]
                self.say("\r\n".join(offers))
            elif word == "STARTTLS" and self.box.context:
                self.say("220 go")
                self.request = self.box.context.wrap_socket(self.request, server_side=True)
                self.setup()
            elif word == "AUTH":
                self.box.sign_ins.append(line)
                self.say("235 ok")
            elif word == "RCPT":
                recipient = line[line.index("<") + 1 : line.index(">")]
                self.say(f"550 no {recipient} here" if recipient in self.box.refused else "250 ok")
            elif word == "DATA":
                self.say("354 go")
                if not self.take(recipient):
                    return
            elif word == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")

    def take(self, recipient: str) -> bool:
        lines: list[bytes] = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b"."))
        self.box.taken.append((recipient, b"".join(lines)))
        if self.box.dies:
            self.box.dies -= 1
            return False
        self.say("250 taken")
        return True

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


class MailListener(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that ends the connection is part of the tests."""


@contextmanager
def mail_server(box: MailBox) -> Iterator[MailBox]:
    """Run a server on this machine."""
    handler = type("BoundHandler", (MailHandler,), {"box": box})
    with MailListener(("127.0.0.1", box.port), handler) as server:
        box.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield box
        finally:
            server.shutdown()


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """(file with a certificate for this machine, TLS of a server that has it)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, private = folder / "cert.pem", folder / "key.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, private)
    return pem, context

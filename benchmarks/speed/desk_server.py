"""A served demo desk for `desk_pages`, in a process of its own: many requests, and sessions without a sign-in."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed.desk_inbox import fill
from expunge.desk.desk import Desk
from expunge.desk.people import people
from expunge.desk.roles import SYSTEM
from expunge.errors import RunFailed

PORT = 8799
MAX_OF_PERSON = 9  # sessions
PAGE = 50


@dataclass(frozen=True)
class Served:
    """A desk that is served.

    Attributes:
        cookie: Name of the cookie of a session.
        sessions: Values of that cookie.
        references: Of all requests.
        open_references: Of those that are neither closed nor told.
    """

    cookie: str
    sessions: list[str]
    references: list[str]
    open_references: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{PORT}"

    @property
    def pages(self) -> int:
        """Pages of the inbox."""
        return max(1, len(self.references) // PAGE)

    @classmethod
    @contextmanager
    def start(cls, folder: Path, requests: int, sessions: int) -> Iterator[Served]:
        """Serve a desk until the end of the block; it is filled up to `requests` first."""
        words = [sys.executable, "-m", "benchmarks.speed.desk_server", str(folder), str(requests), str(sessions)]
        server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            if not line:
                raise RunFailed("server", "did not start", f"try: {' '.join(words[1:])}")
            yield cls(**json.loads(line))
        finally:
            server.terminate()
            server.wait(30)


def serve(folder: str, requests: str, sessions: str) -> None:
    """Print cookie, sessions and references as one line, then serve."""
    from expunge.web.accounts import stamps_of
    from expunge.web.app import make_app
    from expunge.web.context import context_of
    from expunge.web.cookies import cookie_name
    from expunge.web.server import listen, run_server
    from expunge.web.settings import WebSettings

    desk = Desk.open(folder)
    references, open_references = fill(desk, int(requests))
    settings = WebSettings(port=PORT)
    at = listen(settings)
    app = make_app(desk, settings)
    context = context_of({"type": "http", "app": app})
    tokens = []
    with desk.reading(SYSTEM) as s:
        for name, roles in people(s).items():
            stamp = next(iter(stamps_of(s, name)), None)
            tokens += [context.sessions.begin(name, roles[0], stamp) for _ in range(MAX_OF_PERSON) if stamp]
    if len(tokens) <= int(sessions):
        raise RunFailed("readers", f"are at most {len(tokens) - 1}", "give fewer")
    values = {"cookie": cookie_name(settings, "session"), "sessions": tokens, "references": references}
    values["open_references"] = open_references
    print(json.dumps(values), flush=True)
    run_server(app, at)


if __name__ == "__main__":
    serve(*sys.argv[1:])

"""Worker processes of tests as forks of one process that has imported everything: a start costs no seconds of imports.

`python -m helpers.desk_forks` is that process. It has no threads and no connections; each line that it reads is an
order, and each line that it writes the answer.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass
class Fork:
    """A worker process, with the methods of `subprocess.Popen` that tests use.

    Attributes:
        pid: Number of the process.
        out: File to which it prints.
    """

    pid: int
    out: Path

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        code: int | None = ask({"code_of": self.pid})
        return code

    def wait(self, timeout: float = 60) -> int:
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise TimeoutError(f"the worker still runs after {timeout} s")
            time.sleep(0.05)
        return code

    def communicate(self, timeout: float = 60) -> tuple[str, None]:
        """What it printed, once it has ended."""
        self.wait(timeout)
        return self.out.read_text(), None

    def terminate(self) -> None:
        """Ask it to end."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, also while it is frozen; nothing if it has ended, since its number may be another's."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def fork_worker(words: list[str], out: Path, err: Path, env: dict[str, str]) -> Fork:
    """Start `helpers.desk_worker` with these words and this environment, in a session of its own."""
    return Fork(ask({"words": words, "out": str(out), "err": str(err), "env": env}), out)


@cache
def _server() -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "helpers.desk_forks"]
    paths = [str(Path(__file__).resolve().parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True)


def ask(order: dict[str, Any]) -> Any:
    """Give an order to the process that forks; it ends with this one."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(order) + "\n")
    server.stdin.flush()
    return json.loads(server.stdout.readline())


def serve() -> None:
    """Fork workers, and keep their exit codes; a worker that ended is no zombie, which others would take for alive."""
    from helpers import desk_worker

    codes: dict[int, int] = {}

    def reap(*_: Any) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                codes[ended[0]] = os.waitstatus_to_exitcode(ended[1])

    signal.signal(signal.SIGCHLD, reap)
    for line in sys.stdin:
        order = json.loads(line)
        if "code_of" in order:
            answer = codes.get(order["code_of"])
        else:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
            if (answer := os.fork()) == 0:
                become(order, desk_worker.main)
            codes.pop(answer, None)  # of an earlier process with this number
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        print(json.dumps(answer), flush=True)


def become(order: dict[str, Any], main: Any) -> None:
    """In the fork: be the worker."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        os.setsid()
        os.environ.clear()
        os.environ.update(order["env"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(order["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
        os.dup2(os.open(order["err"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
        main(*order["words"])
        code = 0
    except BaseException as error:
        traceback.print_exc()
        print("SQLite says", getattr(getattr(error, "orig", error), "sqlite_errorname", "nothing"), file=sys.stderr)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()

"""A PostgreSQL server of the tests' own, from the system's package: a socket in a temporary folder, no port."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

FOLDERS = ("/usr/lib/postgresql",)
OWNER = "postgres"  # a server does not run as root


def program(name: str) -> str | None:
    """A program of the newest installed PostgreSQL; None if there is none."""
    for root in FOLDERS:
        found = sorted(Path(root).glob(f"*/bin/{name}"))
        if found:
            return str(found[-1])
    return shutil.which(name)


@cache
def problem() -> str:
    """Why there is no PostgreSQL here; empty if there is."""
    if find_spec("psycopg") is None:
        return "psycopg is not installed"
    if program("initdb") is None or program("pg_ctl") is None:
        return "PostgreSQL is not installed"
    if os.getuid() == 0:
        try:
            pwd.getpwnam(OWNER)
        except KeyError:
            return f"no user {OWNER} to run the server"
    return ""


def as_owner(*words: str) -> None:
    """Run a program as somebody who is not root."""
    user = {"user": OWNER, "group": OWNER, "extra_groups": []} if os.getuid() == 0 else {}
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd="/", **user)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def server() -> Iterator[str]:
    """URL of a running server, without a database in it; it is gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    folder.chmod(0o755)
    data = folder / "data"
    data.mkdir()
    if os.getuid() == 0:
        shutil.chown(folder, OWNER)
        shutil.chown(data, OWNER)
    data.chmod(0o700)
    try:
        as_owner(str(program("initdb")), "-D", str(data), "-U", "expunge", "-A", "trust", "--no-sync", "-E", "UTF8")
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off -c max_connections=100"
        as_owner(str(program("pg_ctl")), "-D", str(data), "-l", str(folder / "log"), "-w", "-o", options, "start")
        yield f"postgresql://expunge@/{{name}}?host={folder}"
    finally:
        if (data / "postmaster.pid").exists():
            as_owner(str(program("pg_ctl")), "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def new_database(url: str, name: str) -> str:
    """URL of a fresh database of a server."""
    import psycopg

    with psycopg.connect(url.format(name="postgres"), autocommit=True) as conn:
        conn.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        conn.execute(f'CREATE DATABASE "{name}"')
    return url.format(name=name)

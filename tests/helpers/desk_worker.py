"""A worker process of the tests: a real worker with the stand-in child, which posts letters into a folder.

python -m helpers.desk_worker DESK NAME [SHIFT]: SHIFT hours are added to the clock. With DEAD_SECONDS in the
environment a worker counts as dead after so many seconds; with ENDLESS it does not end when nothing is due. DEBUG_LOG
writes every line of a log to stderr; RAISE_AT names a function that raises RAISE_WHAT.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from expunge.desk import child, clock_watch, leases
from expunge.desk import worker as worker_module
from expunge.desk.desk import Desk
from expunge.desk.worker import DeskWorker, leave
from expunge.desk.workshop import Workshop

child.ENTRY = "helpers.fake_child"
clock_watch.check_reference = lambda s: None  # the clock of these workers is ahead on purpose


def post_into(folder: Path) -> Callable[[str, str], str]:
    """A provider that knows repeats by their key, and writes down each delivery."""

    def send(key: str, request_id: str) -> str:
        folder.mkdir(exist_ok=True)
        try:
            with (folder / key).open("x") as stream:
                stream.write(request_id)
        except FileExistsError:
            return "known"
        return "accepted"

    return send


def shifted(hours: float) -> Callable[[], datetime]:
    return lambda: datetime.now(UTC) + timedelta(hours=hours)


def die_at(place: str, when: str, folder: Path) -> None:
    """End the process at a function of the certify step, once: before it is called, or after."""
    name, _, function = place.rpartition(".")
    module: Any = importlib.import_module(name)
    original = getattr(module, function)

    def dying(*words: Any, **options: Any) -> Any:
        inside = any(frame.function in ("certify", "make_certificates") for frame in inspect.stack())
        if not inside or (folder / "died").exists():
            return original(*words, **options)
        if when == "after":
            original(*words, **options)
        (folder / "died").write_text(place)
        os._exit(9)

    setattr(module, function, dying)
    for user in ("expunge.desk.run_steps", "expunge.desk.certificates"):
        loaded = sys.modules.get(user)
        if loaded is not None and hasattr(loaded, function):
            setattr(loaded, function, dying)


def raise_at(place: str, message: str) -> None:
    """Let a function of the program raise what no code of the desk expects."""
    name, _, function = place.rpartition(".")

    def failing(*words: Any, **options: Any) -> Any:
        raise ValueError(message)

    setattr(importlib.import_module(name), function, failing)


def main(folder: str, name: str, shift: str = "0") -> None:
    desk = Desk.open(folder, shifted(float(shift)))
    if seconds := os.environ.get("DEAD_SECONDS"):
        leases.DEAD_SECONDS = float(seconds)
        worker_module.HEARTBEAT_SECONDS = float(seconds) / 6
    if place := os.environ.get("DIE_AT"):
        die_at(place, os.environ["DIE_WHEN"], desk.folder)
    if place := os.environ.get("RAISE_AT"):
        raise_at(place, os.environ["RAISE_WHAT"])
    if os.environ.get("DEBUG_LOG"):
        logging.basicConfig(level=logging.DEBUG)
    shop = Workshop(desk, name, sender=post_into(desk.folder / "letters"))
    worker = DeskWorker(shop, round_seconds=0.2, clock=clock_watch.ClockWatch(is_confirmed=True))

    def stop(number: int, frame: FrameType | None) -> None:
        worker.stop()

    signal.signal(signal.SIGTERM, stop)
    worker.start()
    (desk.folder / "started").touch()
    worker.run(until_idle="ENDLESS" not in os.environ)
    if worker.stopped:
        worker.sign_off()
    else:
        print("idle", flush=True)
    leave()


if __name__ == "__main__":
    main(*sys.argv[1:])

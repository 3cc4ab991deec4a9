"""`expunge doctor`: what a run needs and what is there. Exit code 1 if something required is missing.

Requirements are read from the installed package.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from expunge._printable import pluralize
from expunge.cli.result import CommandResult, ResultTable

PYTHON = (3, 11)
GIB = 2**30


@dataclass(frozen=True)
class PackageState:
    """A required package: wanted and installed version; with `extra` it is optional."""

    name: str
    wanted: str
    installed: str | None
    extra: str = ""

    @property
    def fine(self) -> bool:
        return self.installed is not None and satisfies(self.installed, self.wanted)

    @property
    def state(self) -> str:
        if self.fine:
            return "ok"
        what = "missing" if self.installed is None else "another version"
        return f"{what} (optional: {self.extra})" if self.extra else what


def doctor(
    desk: Annotated[Path | None, typer.Option("--desk", help="Check this desk instead: log, assets, work.")] = None,
) -> CommandResult:
    """Check Python, packages, memory, disk and devices; or a desk."""
    if desk is not None:
        return check_desk(desk)
    states = packages(requires("expunge") or [])
    problems = [f"{p.name}{p.wanted}: {p.state}" for p in states if not p.fine and not p.extra]
    if sys.version_info < PYTHON:
        problems.append(f"Python {platform.python_version()}: {'.'.join(map(str, PYTHON))} or newer is required")
    about = machine()
    summary = "everything required is there"
    if problems:
        wanted = " ".join(f"'{p.name}{p.wanted}'" for p in states if not p.fine and not p.extra)
        repair = [f"repair with: python -m pip install {wanted}"] if wanted else []
        summary = "\n".join(["missing or wrong:", *problems, *repair])
    rows = [(p.name, p.wanted, p.installed, p.state) for p in states]
    listed = {
        p.name: {"wanted": p.wanted, "installed": p.installed, "state": p.state, "required": not p.extra}
        for p in states
    }
    return CommandResult(
        {"ok": not problems, "problems": problems, "machine": about, "packages": listed},
        (
            ResultTable(("machine", ""), list(about.items())),
            ResultTable(("package", "wanted", "installed", "state"), rows),
            summary,
        ),
        1 if problems else 0,
    )


def check_desk(folder: Path) -> CommandResult:
    """Log, assets, workers and stranded work of a desk, and a connection to its server of mail."""
    from expunge.cli.desk_options import check_installed, open_desk

    opened = open_desk(folder)
    check_installed("dbos")
    from expunge.desk.condition import desk_condition
    from expunge.desk.letter_condition import reach_provider
    from expunge.desk.worker import workflow_database
    from expunge.desk.workflows import VERSION

    condition = desk_condition(opened, VERSION, workflow_database(opened))
    problems = condition["problems"]
    letters, is_reached = reach_provider(opened)
    if not is_reached:
        problems.append(letters)
    head = f"log: {pluralize(condition['log_rows'], 'row')}, head {condition['log_head']}"
    lines = problems or ["the desk is in order"]
    return CommandResult(
        {"ok": not problems, **condition},
        (*lines, *([letters] if letters and is_reached else []), head),
        1 if problems else 0,
    )


def packages(requirements: list[str]) -> list[PackageState]:
    """The requirements of a package (`torch==2.13.0`, `pytest>=8; extra == "dev"`) and what is installed of them."""
    rows = []
    for text in requirements:
        wish, _, marker = text.partition(";")
        wish = re.sub(r"\[.*?\]", "", wish).strip()
        name = re.match(r"[\w.-]+", wish)
        extra = re.search(r"extra == ['\"]([\w-]+)", marker)
        if name and name[0] != "expunge":  # an extra that asks for another one
            wanted = wish[len(name[0]) :].strip()
            rows.append(PackageState(name[0], wanted, installed_version(name[0]), extra[1] if extra else ""))
    return rows


def installed_version(name: str) -> str | None:
    """Version of an installed distribution, None if there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def satisfies(version: str, wanted: str) -> bool:
    """Whether a version is one of those wanted; without `packaging` any version counts."""
    if not wanted or find_spec("packaging") is None:
        return True
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted).contains(version, prereleases=True)


def machine() -> dict[str, Any]:
    """What a run would use: Python, cores, threads, memory and disk in GiB, device."""
    from expunge import __version__
    from expunge.models.threads import choose_threads

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return {
        "expunge": __version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": cores,
        "load": round(load, 2),
        "threads": os.environ.get("EXPUNGE_THREADS") or choose_threads(cores, load),
        "memory_gib": _memory("SC_PHYS_PAGES"),
        "memory_free_gib": _memory("SC_AVPHYS_PAGES"),
        "disk_free_gib": round(shutil.disk_usage(Path.cwd()).free / GIB, 1),
        "device": _device(),
    }


def _memory(pages: str) -> float | None:
    """GiB, or None where the system does not say."""
    if pages not in getattr(os, "sysconf_names", {}):
        return None
    return round(os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE") / GIB, 1)


def _device() -> str:
    """The device that a run takes, or why there is none."""
    try:
        import torch
    except Exception as error:  # a broken installation can raise anything
        return f"none (torch cannot be imported: {error})"
    return f"cuda ({torch.cuda.get_device_name(0)})" if torch.cuda.is_available() else "cpu"

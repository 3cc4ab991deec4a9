"""What the guard over earlier requests leaves in the folders of later runs: audits, scopes, marks and messages."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

PREFIX = "guard-"


def guard_folder(request_id: str) -> str:
    """Name of the folder with the audit of an earlier request, in that of a run."""
    return f"{PREFIX}{request_id}"


def guard_files(runs: Path, request_id: str) -> list[Path]:
    """Everything about one earlier request in the folders of all runs."""
    name = guard_folder(request_id)
    return [path for path in runs.glob(f"*/{name}*") if path.name == name or path.name.startswith(f"{name}.")]


def guarded_requests(runs: Path) -> set[str]:
    """The earlier requests of which something lies in the folder of a run."""
    return {_request(path) for path in runs.glob(f"*/{PREFIX}*")}


def guards_without(folder: Path, requests: Collection[str]) -> list[Path]:
    """What lies in the folder of a run about other earlier requests than these."""
    return [path for path in folder.glob(f"{PREFIX}*") if _request(path) not in requests]


def _request(path: Path) -> str:
    return path.name.removeprefix(PREFIX).split(".")[0]

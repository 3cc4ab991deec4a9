"""What the files of an audit of the desk say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expunge._io import digest_file


def is_audited(folder: Path, name: str) -> bool:
    """Whether an audit was finished by whoever worked here before, and is as it was: it is not made a second time."""
    mark, file = folder / f"{name}.done", folder / name / "audit.json"
    return mark.is_file() and file.is_file() and mark.read_text("utf-8") == digest_file(file)


def guard_status(audit_folder: Path, content: dict[str, Any]) -> str:
    """`passed`, `failed` or `none`: whether the requests before are still forgotten."""
    from expunge.audit.request_file import load_history

    if not content["after_run"]:
        return "none"
    history = load_history(audit_folder)
    return "passed" if history and not history.back else "failed"

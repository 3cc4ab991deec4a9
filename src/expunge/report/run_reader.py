"""What a report takes from the directory of an unlearning run: recipe, method, and the losses of every step.

A run that worked on another split or another model than the audit is refused: its curve would be evidence of
nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from expunge._io import read_json
from expunge.audit.check_result import Number
from expunge.audit.schema import AuditFile
from expunge.errors import InputError


class TrainingStep(BaseModel):
    """One line of `events.jsonl`: losses are means over the batch, None where they were not computed."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    step: int
    phase: int = 0
    forget: Number = None
    retain: Number = None


@dataclass(frozen=True)
class RunRecord:
    """A run directory; `recipe` is the YAML as it stands, empty if there is none."""

    method: str
    status: str
    seconds: float | None
    recipe: str
    steps: tuple[TrainingStep, ...]


def read_run(given: Path | str, audit: AuditFile) -> RunRecord:
    """Read a run directory and check that the audit is about it; `InputError` otherwise."""
    folder = Path(given)
    if not (folder / "run.json").is_file():
        raise InputError(
            str(folder),
            "is not the directory of an unlearning run (no run.json)",
            "give the folder that holds recipe.yaml and events.jsonl, or leave the run out",
        )
    about = read_json(folder / "run.json")
    identity = about.get("identity") if isinstance(about, dict) else None
    if not isinstance(identity, dict):
        raise InputError(str(folder / "run.json"), "names no identity", "the file was changed; run again")
    audited = {"split": audit.split_digest, "model": audit.models["original"].digest}
    for name, digest in audited.items():
        if identity.get(name) != digest:
            raise InputError(
                str(folder),
                f"is not the audited run: it worked on another {name}",
                "give the run whose result was audited",
            )
    seconds = about.get("seconds")
    return RunRecord(
        method=str(about.get("method", "")),
        status=str(about.get("status", "")),
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        recipe=_text(folder / "recipe.yaml"),
        steps=_steps(folder / "events.jsonl"),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(str(path), f"could not be read ({error})") from error


def _steps(path: Path) -> tuple[TrainingStep, ...]:
    """Steps in order; a last line that a kill cut short is left out."""
    lines = _text(path).splitlines()
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(TrainingStep.model_validate(json.loads(line)))
        except json.JSONDecodeError as error:
            if number == len(lines):
                break
            raise InputError(f"{path}:{number}", f"not valid JSON ({error.msg})", "the file was changed") from error
        except ValidationError as error:
            raise InputError(f"{path}:{number}", "is not a step of a run", "the file was changed") from error
    return tuple(found)
